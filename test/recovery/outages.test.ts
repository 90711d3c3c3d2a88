import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { WatchedPlatform } from '../support/platforms/watched_platform.ts';

// Each server is away for a minute while events come in.

let watched: WatchedPlatform;
beforeAll(async () => {
  watched = await WatchedPlatform.start();
}, 240_000);
afterAll(() => watched?.stop(), 60_000);

test.each([
  ['Kafka', 'broker', 'kafka'],
  ['PostgreSQL', 'offline store', 'postgres'],
  ['Redis', 'online store', 'redis'],
] as const)(
  '%s is away for 60 s under load: named while it is, and nothing that was accepted is lost',
  async (name, dependency, server) => {
    const before = watched.accepted.length;
    let isOver = false;
    const load = (async () => {
      while (!isOver) {
        await watched.send(1, name);
        await sleep(50);
      }
    })();
    await sleep(500);
    const away = watched.servers[server].restart(60_000);
    const report = await watched.becomes('pipeline', 503, new RegExp(`${dependency} is down`), 40_000);
    expect(report.dependencies[dependency]?.status).toBe('down');
    if (dependency === 'broker')
      await watched.becomes('pipeline', 503, /feature pipeline is down: .*cannot be read/, 40_000);
    // With its spool the gateway takes events; features are read from the other store.
    expect((await watched.ready('gateway')).code).toBe(200);
    expect((await watched.ready('features')).code).toBe(200);
    await away;
    await watched.becomes('pipeline', 200, /.*/s, 90_000);
    await sleep(500);
    isOver = true;
    await load;
    expect(watched.accepted.length - before).toBeGreaterThan(200);
    await watched.everythingIsFound();
    process.stdout.write(
      `${name}: ${watched.accepted.length - before} events accepted around the outage, all in both stores\n`,
    );
  },
  300_000,
);
