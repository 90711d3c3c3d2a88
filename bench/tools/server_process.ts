import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';

/** A measured server in a process of its own. */
export interface ServerProcess {
  readonly url: string;
  /** CPU time of all its threads since its start, ms; undefined where there is no /proc. */
  cpuMs(): Promise<number | undefined>;
  stop(): Promise<void>;
}

/** Linux counts CPU time in hundredths of a second. */
const MS_PER_TICK = 10;
/** Fields of /proc/PID/stat behind the name in parentheses: user and system time. */
const [USER, SYSTEM] = [11, 12];
const KILL_AFTER_MS = 10_000;

export interface ServerProcessOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Cores that its threads may run on, as taskset takes them: `0`, `0,1`; without it all. */
  readonly cores?: string;
}

/**
 * Starts a server that prints its address and then "ready".
 *
 * @throws where it ends before
 */
export async function startServerProcess(
  script: string,
  args: readonly string[],
  options: ServerProcessOptions = {},
): Promise<ServerProcess> {
  const node = [process.execPath, script, ...args];
  const [command = '', ...rest] =
    options.cores === undefined ? node : ['taskset', '--cpu-list', options.cores, ...node];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let output = '';
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-10_000);
      const address = /https?:\/\/\S+/.exec(output)?.[0];
      if (address !== undefined && /^ready/m.test(output)) resolve(address);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => reject(new Error(`${script} ended with code ${code}: ${output}`)));
  });
  return {
    url,
    cpuMs: () => cpuMsOf(child.pid),
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Returns the CPU time of all threads of a process since its start, ms; undefined where there is no /proc. */
export async function cpuMsOf(pid: number | undefined): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[USER]) + Number(fields[SYSTEM])) * MS_PER_TICK;
}
