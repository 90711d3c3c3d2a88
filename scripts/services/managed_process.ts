import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export { freePort } from '#connectors/http/free_port';

export interface ProcessSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly logFile: string;
  /** Asked again and again until it is true. */
  readonly isReady: () => Promise<boolean>;
  readonly readyWithinMs: number;
  readonly stopSignal?: NodeJS.Signals;
}

/** A started server: stop it by its own process id. */
export interface ManagedProcess {
  stop(): Promise<void>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  /** Kills it as a crash does, waits, and starts it again on what it has left on disk. */
  restart(downMs: number): Promise<void>;
  /** Stops it as a machine that pauses does, and lets it continue. */
  pause(downMs: number): Promise<void>;
}

/** A process that was started here. */
export interface StartedProcess extends ManagedProcess {
  /** Of the process as it was started last. */
  readonly pid: number | undefined;
}

/** A server under test: how it is reached, and how it ends. */
export interface RunningServer extends ManagedProcess {
  readonly env: Readonly<Record<string, string>>;
}

export type StartServer = (dataFolder: string) => Promise<RunningServer>;

const POLL_MS = 200;
const KILL_AFTER_MS = 10_000;

/** @throws when the process ends or is not ready in time; the message holds the end of its log */
export async function startProcess(spec: ProcessSpec): Promise<StartedProcess> {
  let running = await launch(spec);
  return {
    get pid() {
      return running.pid;
    },
    stop: () => running.stop(spec.stopSignal ?? 'SIGTERM'),
    kill: () => running.stop('SIGKILL'),
    async restart(downMs) {
      await running.stop('SIGKILL');
      await sleep(downMs);
      running = await launch(spec);
    },
    async pause(downMs) {
      running.signal('SIGSTOP');
      await sleep(downMs);
      running.signal('SIGCONT');
    },
  };
}

interface Launched {
  readonly pid: number | undefined;
  signal(signal: NodeJS.Signals): void;
  stop(signal: NodeJS.Signals): Promise<void>;
}

async function launch(spec: ProcessSpec): Promise<Launched> {
  const log = createWriteStream(spec.logFile, { flags: 'a' });
  const child = spawn(spec.command, [...spec.args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...spec.env },
    ...(spec.cwd === undefined ? {} : { cwd: spec.cwd }),
  });
  child.stdout?.pipe(log);
  child.stderr?.pipe(log);
  let ended = false;
  let failure: Error | undefined;
  child.on('error', (error) => {
    failure = error;
    ended = true;
  });
  child.on('exit', () => {
    ended = true;
  });
  const stop = (signal: NodeJS.Signals): Promise<void> => stopChild(child, () => ended, signal);
  const signal = (name: NodeJS.Signals): void => void child.kill(name);
  const giveUpAt = Date.now() + spec.readyWithinMs;
  for (;;) {
    if (!ended && (await spec.isReady().catch(() => false))) return { pid: child.pid, stop, signal };
    if (ended || Date.now() > giveUpAt) {
      await stop('SIGTERM');
      const tail = await readFile(spec.logFile, 'utf8').catch(() => '');
      const what = ended ? 'ended before it was ready' : `was not ready within ${spec.readyWithinMs / 1_000} s`;
      throw new Error(
        `${spec.name} ${what}${failure === undefined ? '' : `: ${failure.message}`}\n${tail.slice(-2_000)}`,
      );
    }
    await sleep(POLL_MS);
  }
}

async function stopChild(child: ChildProcess, hasEnded: () => boolean, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded()) return;
  child.kill(signal);
  const killAt = Date.now() + KILL_AFTER_MS;
  while (!hasEnded()) {
    if (Date.now() > killAt) child.kill('SIGKILL');
    await sleep(50);
  }
}

export function acceptsConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
