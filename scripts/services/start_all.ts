import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#kernel/errors';
import { CONTAINERS, dockerAnswers } from './docker.ts';
import { cacheFolder, say } from './install.ts';
import type { RunningServer } from './managed_process.ts';
import { SERVERS } from './servers.ts';

export interface StartedServers {
  /** TEST_* variables of those that run. */
  readonly env: Readonly<Record<string, string>>;
  /** Names and reasons of those that do not. */
  readonly failures: readonly string[];
  stop(): Promise<void>;
}

/** Starts the servers named, one after the other (they are busy while they start), through Docker when an engine answers. */
export async function startServers(names: readonly string[]): Promise<StartedServers> {
  await mkdir(cacheFolder, { recursive: true });
  const base = await mkdtemp(join(tmpdir(), 'headwater-servers-'));
  // PostgreSQL runs as another user and must be able to reach its folder.
  await chmod(base, 0o755);
  const running: RunningServer[] = [];
  const failures: string[] = [];
  const docker = await dockerAnswers();
  say(
    docker
      ? 'a Docker engine answers: containers where there is an image'
      : 'no Docker engine answers: starting servers natively',
  );
  for (const name of names) {
    const start = (docker ? CONTAINERS[name] : undefined) ?? SERVERS[name];
    if (start === undefined)
      throw new RangeError(`"${name}" is not a server; servers are ${Object.keys(SERVERS).join(', ')}`);
    const startedMs = Date.now();
    const folder = join(base, name);
    await mkdir(folder);
    try {
      running.push(await start(folder));
      say(`${name} runs after ${((Date.now() - startedMs) / 1_000).toFixed(1)} s`);
    } catch (error) {
      failures.push(`${name}: ${messageOf(error)}`);
      say(`${name} COULD NOT BE STARTED: ${messageOf(error)}`);
    }
  }
  return {
    env: Object.assign({}, ...running.map(({ env }) => env)) as Record<string, string>,
    failures,
    async stop() {
      await Promise.all(running.splice(0).map((server) => server.stop()));
      await rm(base, { recursive: true, force: true });
    },
  };
}

export const ALL_SERVERS: readonly string[] = Object.keys(SERVERS);
