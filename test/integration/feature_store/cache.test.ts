import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { CachedOnlineStore } from '#feature_store/online/cached_store';
import { FallbackOnlineStore } from '#feature_store/online/fallback_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { createOnlineStore, ttlsOf } from '#feature_store/stores';
import { type RunningServices, startAll } from '#kernel/lifecycle';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { keyOf } from '../../support/entity_keys.ts';
import { FaultProxy } from '../../support/servers/fault_proxy.ts';
import { serviceAddress } from '../service_address.ts';

// The cache of a process before Redis, and before PostgreSQL while Redis is away.

const TTL_MS = 400;
const START = Date.now() - 60_000;
const own = randomUUID().slice(0, 8);
const keys = Array.from({ length: 50 }, (_, index) => keyOf(`${own}-${index}`));
const row = (index: number, amount: number): FeatureRow => ({
  ...{ view: 'fraud', version: 1, entityKey: keys[index] as FeatureRow['entityKey'], values: { amount } },
  ...{ eventTime: eventTime(START + amount), computedAt: processingTime(Date.now()) },
});
const base = { log: silentLogger, clock: systemClock, views: [fraudView] };
const open: RunningServices[] = [];
const started = async (...services: Parameters<typeof startAll>[0]): Promise<void> =>
  void open.push(await startAll(services, new AbortController().signal));

let offline: OfflineDatabase;
const postgres = new pg.Client({ connectionString: serviceAddress('TEST_POSTGRES_URL') });
beforeAll(async () => {
  const { hostname: host, port } = new URL(serviceAddress('TEST_POSTGRES_URL'));
  const config = postgresConfigSchema.parse({ host, port: Number(port), database: 'postgres' });
  offline = createOfflineDatabase(base, { kind: 'postgres', ...config });
  await started(offline);
  await postgres.connect();
  await postgres.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements');
});
afterAll(async () => {
  for (const services of open) await services[Symbol.asyncDispose]();
  await postgres.end();
});

/** A replica: a process with a cache before the Redis that all share. */
async function replica(port: number, keyPrefix: string) {
  const metrics = createMetricsRegistry({ process: false });
  const redis = redisConfigSchema.parse({ host: '127.0.0.1', port, commandTimeoutMs: 300 });
  const online = createOnlineStore(base, { kind: 'redis', ...redis, keyPrefix });
  const fallback = new FallbackOnlineStore(online, { ...base, offline, metrics, ttlMs: ttlsOf([fraudView]) });
  const cached = new CachedOnlineStore(fallback, metrics, { maxEntries: 1_000, ttlMs: TTL_MS });
  await started(cached);
  const hits = async (): Promise<number> => {
    const counter = metrics.getSingleMetric('cache_hits_total');
    return counter === undefined ? 0 : totalOf(counter as Parameters<typeof totalOf>[0]);
  };
  return { cached, fallback, hits };
}

const amountsOf = async (store: OnlineStore, at: readonly number[]): Promise<readonly unknown[]> => {
  const rows = await store.read(
    fraudView,
    at.map((index) => keys[index] as FeatureRow['entityKey']),
  );
  return rows.map((found) => found?.values.amount);
};

test('a second read is a hit; what one replica writes it reads at once, and every other within the time to live', async () => {
  const port = Number(new URL(serviceAddress('TEST_REDIS_URL')).port);
  const prefix = `cache-${own}`;
  const [first, second] = [await replica(port, prefix), await replica(port, prefix)];
  await first.cached.write([row(0, 1), row(1, 1)]);
  expect(await amountsOf(second.cached, [0, 1, 2])).toEqual([1, 1, undefined]);
  expect(await second.hits()).toBe(0);
  expect(await amountsOf(second.cached, [0, 1, 2])).toEqual([1, 1, undefined]);
  expect(await second.hits()).toBe(3);
  expect(await amountsOf(first.cached, [0])).toEqual([1]);
  await first.cached.write([row(0, 2), row(2, 2)]);
  const writtenMs = performance.now();
  expect(await amountsOf(first.cached, [0, 2])).toEqual([2, 2]);
  // An older row that arrives late changes nothing.
  await first.cached.write([row(0, 1)]);
  expect(await amountsOf(first.cached, [0])).toEqual([2]);
  while (String(await amountsOf(second.cached, [0, 1, 2])) !== '2,1,2') {
    expect(performance.now() - writtenMs).toBeLessThan(TTL_MS + 1_000);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
});

test('while Redis is away, the cache saves at least 80 % of the statements that PostgreSQL runs', async () => {
  await offline.features.write(keys.map((_, index) => row(index, index)));
  const proxy = await FaultProxy.start(Number(new URL(serviceAddress('TEST_REDIS_URL')).port));
  const { cached, fallback } = await replica(proxy.port, `away-${own}`);
  proxy.weather = { kind: 'black hole' };
  const callsOf = async (store: OnlineStore): Promise<number> => {
    await postgres.query('SELECT pg_stat_statements_reset()');
    for (let read = 0; read < 200; read += 1) expect(await amountsOf(store, [read % 10])).toEqual([read % 10]);
    const { rows } = await postgres.query<{ calls: string }>(
      "SELECT coalesce(sum(calls), 0) AS calls FROM pg_stat_statements WHERE query LIKE '%feature_rows%'",
    );
    return Number(rows[0]?.calls);
  };
  const without = await callsOf(fallback);
  const withCache = await callsOf(cached);
  process.stdout.write(`statements for 200 reads: ${without} without the cache, ${withCache} with it\n`);
  await proxy.stop();
  expect(without).toBeGreaterThanOrEqual(200);
  expect(withCache).toBeLessThanOrEqual(0.2 * without);
});
