import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { WatchedPlatform } from '../../support/platforms/watched_platform.ts';

// What stores and brokers do to a running platform, and what /health/ready answers. Outages of a minute are in test/recovery/outages.test.ts.

let watched: WatchedPlatform;
beforeAll(async () => {
  watched = await WatchedPlatform.start();
}, 240_000);
afterAll(() => watched?.stop(), 60_000);

test('every role names each dependency and each job of its process', async () => {
  await watched.send(3, 'first');
  for (const role of ['gateway', 'pipeline', 'features'] as const) {
    await watched.becomes(role, 200);
    const report = await watched.ready(role);
    expect(Object.keys(report.dependencies)).toEqual(
      expect.arrayContaining(['broker', 'disk', 'online store', 'offline store']),
    );
    expect(Object.keys(report.jobs)).toEqual(expect.arrayContaining(['feature pipeline', 'online store refill']));
  }
  await watched.everythingIsFound();
}, 120_000);

test('Redis at its memory limit: the pipeline is not ready and says why; features and gateway stay in rotation; rows wait', async () => {
  await watched.servers.redis.cli('config', 'set', 'maxmemory', '1mb');
  await watched.send(5, 'oom');
  await watched.becomes('pipeline', 503, /online store is down: .*OOM/);
  expect(await watched.ready('features')).toMatchObject({
    code: 200,
    status: 'degraded',
    dependencies: { 'online store': { status: 'down' } },
  });
  expect((await watched.ready('gateway')).code).toBe(200);
  expect(await watched.metricsOf('pipeline')).toMatch(
    /dependency_problem\{dependency="online store",problem="out_of_memory"\} 1/,
  );
  // The sink that refuses is named as well, once it has done so for a while.
  await watched.becomes(
    'pipeline',
    503,
    /feature pipeline is down: .*writing to online store has failed for \d+ s: .*OOM/,
  );
  expect((await fetch(`${watched.platform.urls.pipeline}/health/live`)).status).toBe(200);
  await watched.servers.redis.cli('config', 'set', 'maxmemory', '0');
  await watched.becomes('pipeline', 200);
  expect(await watched.metricsOf('pipeline')).toMatch(
    /dependency_problem\{dependency="online store",problem="out_of_memory"\} 0/,
  );
  await watched.everythingIsFound();
}, 180_000);

test('Redis has become a replica: read-only; once the address leads to a master again, writes go on', async () => {
  await watched.servers.redis.cli('replicaof', '127.0.0.1', '1');
  await watched.send(5, 'replica');
  await watched.becomes('pipeline', 503, /online store is down: .*READONLY/);
  expect((await watched.ready('features')).code).toBe(200);
  expect(await watched.metricsOf('pipeline')).toMatch(
    /dependency_problem\{dependency="online store",problem="read_only"\} 1/,
  );
  await watched.servers.redis.cli('replicaof', 'no', 'one');
  await watched.becomes('pipeline', 200);
  await watched.everythingIsFound();
}, 180_000);

test('PostgreSQL is read-only: rows wait and none is dead-lettered', async () => {
  const set = async (value: string): Promise<void> => {
    const client = new pg.Client({
      connectionString: watched.servers.postgres.env.TEST_POSTGRES_URL,
      options: '-c default_transaction_read_only=off',
    });
    await client.connect();
    await client.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
    await client.query('SELECT pg_reload_conf()');
    await client.end();
  };
  await set('on');
  await watched.send(5, 'readonly');
  await watched.becomes('pipeline', 503, /offline store is down: .*read-only/);
  expect((await watched.ready('features')).code).toBe(200);
  expect(await watched.metricsOf('pipeline')).toMatch(
    /dependency_problem\{dependency="offline store",problem="read_only"\} 1/,
  );
  await watched.becomes('pipeline', 503, /feature pipeline is down: .*read-only transaction/);
  await set('off');
  await watched.becomes('pipeline', 200);
  await watched.everythingIsFound();
  expect(await watched.metricsOf('pipeline')).not.toMatch(/events_failed_total\{reason="refused"\} [1-9]/);
}, 180_000);

test('the disk of the data directory is full: not ready, named; ready again once there is room', async () => {
  if (!watched.hasOwnDisk) return process.stdout.write('no right to mount: the full disk is not tried\n');
  writeFileSync(join(watched.dataDirectory, 'ballast'), Buffer.alloc(100 * 1024 * 1024));
  try {
    for (let mib = 0; mib < 40; mib += 1)
      writeFileSync(join(watched.dataDirectory, `more-${mib}`), Buffer.alloc(1024 * 1024));
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  }
  await watched.becomes('pipeline', 503, /disk is down: .*(ENOSPC|are free)/);
  await watched.becomes('gateway', 503, /disk is down/);
  expect((await watched.ready('features')).code).toBe(200);
  expect(await watched.metricsOf('pipeline')).toMatch(/dependency_problem\{dependency="disk",problem="full"\} 1/);
  for (const name of ['ballast', ...Array.from({ length: 40 }, (_, mib) => `more-${mib}`)])
    rmSync(join(watched.dataDirectory, name), { force: true });
  await watched.becomes('pipeline', 200);
  await watched.becomes('gateway', 200);
  await watched.send(3, 'room');
  await watched.everythingIsFound();
}, 180_000);
