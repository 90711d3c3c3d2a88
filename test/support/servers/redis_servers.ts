import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { acceptsConnections, freePort, type ManagedProcess, startProcess } from '#scripts/services/managed_process';

const run = promisify(execFile);

export interface RedisServer extends ManagedProcess {
  readonly port: number;
  readonly address: string;
  /** Runs a command with redis-cli. */
  cli(...command: string[]): Promise<string>;
}

/** Starts a Redis of a test's own. @param args - command line of redis-server */
export async function startRedisServer(
  folder: string,
  name: string,
  args: readonly string[] = [],
): Promise<RedisServer> {
  const port = await freePort();
  const own = join(folder, `${name}-${port}`);
  mkdirSync(own, { recursive: true });
  const server = await startProcess({
    name: `Redis ${name}`,
    command: 'redis-server',
    args: ['--port', String(port), '--bind', '127.0.0.1', '--dir', own, '--save', '', ...args],
    logFile: join(own, 'server.log'),
    isReady: () => acceptsConnections(port),
    readyWithinMs: 20_000,
  });
  return { ...server, port, address: `127.0.0.1:${port}`, cli: (...command) => cli(port, ...command) };
}

async function cli(port: number, ...command: string[]): Promise<string> {
  return (await run('redis-cli', ['-p', String(port), ...command])).stdout.trim();
}

export interface SentinelGroup {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly { readonly address: string }[];
  stop(): Promise<void>;
}

const PASSWORD = 'sentinel-secret';
export const SENTINEL_PASSWORD = PASSWORD;

/** A master, a replica and three sentinels (with a password) that fail over after a second. */
export async function startSentinelGroup(folder: string): Promise<SentinelGroup> {
  const master = await startRedisServer(folder, 'master');
  const replica = await startRedisServer(folder, 'replica', ['--replicaof', '127.0.0.1', String(master.port)]);
  await until(async () => (await replica.cli('info', 'replication')).includes('master_link_status:up'));
  const sentinels = await Promise.all(
    [0, 1, 2].map(async (number) => {
      const port = await freePort();
      const own = join(folder, `sentinel-${number}`);
      mkdirSync(own);
      const file = join(own, 'sentinel.conf');
      writeFileSync(
        file,
        [
          `port ${port}`,
          'bind 127.0.0.1',
          `dir ${own}`,
          `requirepass ${PASSWORD}`,
          `sentinel sentinel-pass ${PASSWORD}`,
          `sentinel monitor features 127.0.0.1 ${master.port} 2`,
          'sentinel down-after-milliseconds features 1000',
          'sentinel failover-timeout features 5000',
          '',
        ].join('\n'),
      );
      const server = await startProcess({
        name: `sentinel ${number}`,
        command: 'redis-server',
        args: [file, '--sentinel'],
        logFile: join(own, 'server.log'),
        isReady: () => acceptsConnections(port),
        readyWithinMs: 20_000,
      });
      return { ...server, port, address: `127.0.0.1:${port}` };
    }),
  );
  // They find each other and the replica through the master.
  for (const { port } of sentinels) {
    await until(async () => {
      const { stdout } = await run('redis-cli', ['-p', String(port), '-a', PASSWORD, 'sentinel', 'master', 'features']);
      const lines = stdout.split('\n');
      const value = (name: string): string | undefined => lines[lines.indexOf(name) + 1];
      return value('num-slaves') === '1' && value('num-other-sentinels') === '2';
    });
  }
  const stop = async (): Promise<void> => {
    for (const server of [...sentinels, replica, master]) await server.stop();
  };
  return { master, replica, sentinels, stop };
}

export async function until(holds: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  for (const giveUpAt = Date.now() + withinMs; !(await holds().catch(() => false)); ) {
    if (Date.now() > giveUpAt) throw new Error(`it did not come to be within ${withinMs} ms: ${holds}`);
    await sleep(50);
  }
}
