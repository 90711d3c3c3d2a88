import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { bootId } from './boot_id.ts';

/** Names one process so that another one can tell whether it still runs. */
export interface ProcessIdentity {
  readonly host: string;
  /** Run of the operating system; empty where there is no such id. */
  readonly bootId: string;
  /** Within which `pid` counts: containers have their own. Empty where there is no such thing. */
  readonly pidNamespace: string;
  readonly pid: number;
  /** Clock ticks from the boot to the start of the process: a pid that was given again has another. Empty where it is unknown. */
  readonly startTime: string;
}

function readOr(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

/** Field 22 of /proc/PID/stat; the name before it may hold anything. */
const startTimeOf = (pid: number): string =>
  readOr(() => {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  });

const namespaceOf = (): string => readOr(() => readlinkSync('/proc/self/ns/pid'));

export const thisProcess = (): ProcessIdentity => ({
  host: hostname(),
  bootId: bootId(),
  pidNamespace: namespaceOf(),
  pid: process.pid,
  startTime: startTimeOf(process.pid),
});

/**
 * Returns whether a process runs; undefined where its pid says nothing here: it belongs to another machine or container, and may be any
 * process of this one.
 */
export function isRunning({ host, bootId: boot, pidNamespace, pid, startTime }: ProcessIdentity): boolean | undefined {
  const here = thisProcess();
  if (boot === '' || pidNamespace === '') {
    if (host !== here.host || boot !== here.bootId || pidNamespace !== here.pidNamespace) return undefined;
  } else if (boot !== here.bootId || pidNamespace !== here.pidNamespace) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const started = startTimeOf(pid);
  return startTime === '' || started === '' || started === startTime;
}
