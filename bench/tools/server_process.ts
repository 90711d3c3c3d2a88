import { spawn } from 'node:child_process';
import { usageOf } from '#scripts/services/process_usage';

/** A measured server in a process of its own. */
export interface ServerProcess {
  readonly url: string;
  /** CPU time of all its threads since its start, ms; undefined where there is no /proc. */
  cpuMs(): Promise<number | undefined>;
  stop(): Promise<void>;
}

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
export const cpuMsOf = async (pid: number | undefined): Promise<number | undefined> => (await usageOf(pid))?.cpuMs;
