import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { startRedisCluster } from '#scripts/services/servers';
import { keyOf } from '../../support/entity_keys.ts';
import { type OpenStores, openStores } from '../../support/servers/online_stores.ts';
import { type RedisServer, startRedisServer, until } from '../../support/servers/redis_servers.ts';
import { serviceAddress } from '../service_address.ts';

// Redis is emptied while it is used: reads stay right, and it is filled again by itself.

let folder: string;
let server: RedisServer;
const opened: OpenStores[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'refill-'));
  server = await startRedisServer(folder, 'single');
});
afterEach(async () => {
  for (const stores of opened.splice(0)) await stores.close();
});
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const postgres = () => new URL(serviceAddress('TEST_POSTGRES_URL'));
const open = async (settings: Parameters<typeof openStores>[2] = {}, redis: object = { port: server.port }) => {
  const stores = await openStores(redis, postgres(), settings);
  opened.push(stores);
  return stores;
};
const metric = async ({ metrics }: OpenStores, name: string): Promise<number> =>
  Number(new RegExp(`^${name} (\\S+)`, 'm').exec(await metrics.metrics())?.[1]);
const complete = (stores: OpenStores) => until(async () => stores.contents.isComplete);
const keysOf = (count: number) =>
  Array.from({ length: count }, (_, index) => keyOf(`entity-${String(index).padStart(5, '0')}`));

async function writeAll(
  { store, offline, row }: OpenStores,
  keys: readonly EntityKey[],
  amount: number,
): Promise<void> {
  const rows = keys.map((key) => row(key, amount));
  await Promise.all([store.write(rows), offline.features.write(rows)]);
}

test('FLUSHALL under load: every read is right from the first one on, and Redis is full again without a command', async () => {
  const stores = await open();
  const { store, online, view, row, offline } = stores;
  await complete(stores);
  const keys = keysOf(3_000);
  await writeAll(stores, keys, 1);
  let reads = 0;
  let isOver = false;
  const newest = new Map(keys.map((key) => [key, 1]));
  const reader = (async () => {
    for (let at = 0; !isOver; at = (at + 7) % keys.length) {
      const some = [keys[at] as EntityKey, keyOf('nobody'), keys[(at + 1) % keys.length] as EntityKey];
      const before = some.map((key) => newest.get(key));
      const found = await store.read(view, some);
      for (const [index, amount] of before.entries())
        expect(Number(found[index]?.values.amount ?? 0)).toBeGreaterThanOrEqual(amount ?? 0);
      reads += 1;
      await sleep(1);
    }
  })();
  // The stream goes on meanwhile: its newer rows must not be replaced by history's.
  const writer = (async () => {
    for (let at = 0; !isOver; at = (at + 1) % keys.length) {
      const key = keys[at] as EntityKey;
      const next = row(key, (newest.get(key) ?? 0) + 1);
      await Promise.all([store.write([next]), offline.features.write([next])]);
      newest.set(key, Number(next.values.amount));
      await sleep(2);
    }
  })();
  const flushedAt = Date.now();
  const before = reads;
  await server.cli('flushall');
  // At once: not only after the next check.
  expect((await store.read(view, [keys.at(-1) as EntityKey]))[0]?.values.amount).toBe(1);
  await until(async () => !stores.contents.isComplete, 5_000);
  await complete(stores);
  process.stdout.write(`filled ${Date.now() - flushedAt} ms after FLUSHALL, ${reads - before} reads meanwhile\n`);
  isOver = true;
  await Promise.all([reader, writer]);
  // In Redis itself, the newest of each.
  const held = await online.read(view, keys);
  expect(held.map((found) => found?.values.amount)).toEqual(keys.map((key) => newest.get(key)));
  expect(await metric(stores, 'online_store_warmup_rows_total')).toBeGreaterThanOrEqual(keys.length);
  expect(await metric(stores, 'online_store_history_lookups_total')).toBeGreaterThan(0);
  expect(await metric(stores, 'online_store_complete')).toBe(1);
  expect(await metric(stores, 'online_store_warmup_share')).toBe(1);
}, 120_000);

test('a miss is trusted while the store is complete, and costs history nothing', async () => {
  const stores = await open();
  await complete(stores);
  const before = await metric(stores, 'online_store_history_lookups_total');
  for (let read = 0; read < 20; read += 1)
    expect(await stores.store.read(stores.view, [keyOf('nobody')])).toEqual([undefined]);
  expect(await metric(stores, 'online_store_history_lookups_total')).toBe(before);
}, 60_000);

test('one worker at a time; where one stops, the next resumes; emptied again half-way, it begins again', async () => {
  const first = await open({ rowsPerSecond: 2_000, own: 'resumed' });
  await complete(first);
  const keys = keysOf(5_000);
  await writeAll(first, keys, 3);
  await server.cli('flushall');
  const written = () => metric(first, 'online_store_warmup_rows_total');
  await until(async () => (await written()) >= 1_000);
  expect(first.refill.state()).toMatchObject({ status: 'degraded', reason: expect.stringContaining('rows so far') });
  // A second process waits.
  const second = await open({ rowsPerSecond: 1_000_000, own: 'resumed' });
  await sleep(600);
  expect(await metric(second, 'online_store_warmup_rows_total')).toBe(0);
  await opened.splice(opened.indexOf(first), 1)[0]?.close();
  const done = await written();
  expect(done).toBeLessThan(keys.length);
  await complete(second);
  // It did what was left, and in the end once more what was computed lately.
  expect(await metric(second, 'online_store_warmup_rows_total')).toBeLessThanOrEqual(
    keys.length - done + 500 + keys.length,
  );
  expect((await second.online.read(second.view, keys)).every((row) => row?.values.amount === 3)).toBe(true);

  const third = await open({ rowsPerSecond: 5_000, own: 'resumed' });
  await opened.splice(opened.indexOf(second), 1)[0]?.close();
  await server.cli('flushall');
  await until(async () => (await metric(third, 'online_store_warmup_rows_total')) >= 1_000);
  await server.cli('flushall');
  await sleep(300);
  expect(third.contents.isComplete).toBe(false);
  expect((await third.store.read(third.view, [keys[0] as EntityKey]))[0]?.values.amount).toBe(3);
  await complete(third);
  expect((await third.online.read(third.view, keys)).every((row) => row?.values.amount === 3)).toBe(true);
}, 180_000);

test('a server that was restarted without its data is filled again; keys have a ttl, and there is one connection', async () => {
  const stores = await open();
  await complete(stores);
  const keys = keysOf(200);
  await writeAll(stores, keys, 5);
  await server.restart(500);
  await until(async () => (await stores.store.read(stores.view, keys)).every((row) => row?.values.amount === 5));
  await until(async () => !stores.contents.isComplete || (await stores.online.read(stores.view, keys)).every(Boolean));
  await complete(stores);
  expect((await stores.online.read(stores.view, keys)).every((row) => row?.values.amount === 5)).toBe(true);
  // CN-11
  const rowKey = `${stores.keyPrefix}:row:${stores.view.view}@1:{${keys[0]}}`;
  const ttlS = Number(await server.cli('ttl', rowKey));
  expect(ttlS).toBeGreaterThan(0);
  expect(ttlS).toBeLessThanOrEqual(stores.view.ttlMs / 1_000);
  await Promise.all(
    Array.from({ length: 500 }, (_, index) => stores.store.read(stores.view, [keys[index % 200] as EntityKey])),
  );
  const clients = (await server.cli('client', 'list')).split('\n').filter((line) => line.includes('name=headwater'));
  expect(clients).toHaveLength(1);
}, 120_000);

test('one node of a cluster is emptied: it alone is enough to look into history, and all of it comes back', async () => {
  const clusterFolder = mkdtempSync(join(tmpdir(), 'refill-cluster-'));
  const cluster = await startRedisCluster(clusterFolder);
  try {
    const nodes = (cluster.env.TEST_REDIS_CLUSTER as string).split(',');
    const stores = await open({}, { cluster: nodes });
    await complete(stores);
    const keys = keysOf(300);
    await writeAll(stores, keys, 9);
    const { execFileSync } = await import('node:child_process');
    execFileSync('redis-cli', ['-p', (nodes[1] as string).split(':')[1] as string, 'flushall']);
    expect((await stores.store.read(stores.view, keys)).every((row) => row?.values.amount === 9)).toBe(true);
    await until(async () => !stores.contents.isComplete, 5_000);
    await complete(stores);
    expect((await stores.online.read(stores.view, keys)).every((row) => row?.values.amount === 9)).toBe(true);
  } finally {
    for (const stores of opened.splice(0)) await stores.close();
    await cluster.stop();
    rmSync(clusterFolder, { recursive: true, force: true });
  }
}, 180_000);
