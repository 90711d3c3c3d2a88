import { randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { FallbackOnlineStore } from '#feature_store/online/fallback_store';
import { createOnlineStore, ttlsOf } from '#feature_store/stores';
import { startAll } from '#kernel/lifecycle';
import { DAY_MS, eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { keyOf } from '../../support/entity_keys.ts';
import { FaultProxy } from '../../support/servers/fault_proxy.ts';
import { serviceAddress } from '../service_address.ts';

test('while Redis does not answer, reads come from PostgreSQL, soon without waiting; then from Redis again', async () => {
  const redisUrl = new URL(serviceAddress('TEST_REDIS_URL'));
  const postgresUrl = new URL(serviceAddress('TEST_POSTGRES_URL'));
  const proxy = await FaultProxy.start(Number(redisUrl.port));
  const metrics = createMetricsRegistry({ process: false });
  const base = { log: silentLogger, clock: systemClock, metrics, views: [fraudView] };
  const redis = redisConfigSchema.parse({ host: '127.0.0.1', port: proxy.port, commandTimeoutMs: 300 });
  const online = createOnlineStore(base, { kind: 'redis', ...redis, keyPrefix: `fallback-${randomUUID()}` });
  const postgres = { host: postgresUrl.hostname, port: Number(postgresUrl.port), database: 'postgres' };
  const offline = createOfflineDatabase(base, { kind: 'postgres', ...postgresConfigSchema.parse(postgres) });
  const store = new FallbackOnlineStore(online, { ...base, offline, ttlMs: ttlsOf([fraudView]) });
  const services = await startAll([offline, store], new AbortController().signal);

  const own = randomUUID().slice(0, 8);
  const row = (entity: string, ageMs: number): FeatureRow => ({
    view: 'fraud',
    version: 1,
    entityKey: keyOf(`${own}-${entity}`),
    eventTime: eventTime(Date.now() - ageMs),
    computedAt: processingTime(Date.now()),
    values: { amount: ageMs },
  });
  const rows = [row('a', 1_000), row('b', 2_000)];
  await store.write(rows);
  await offline.features.write([...rows, row('old', 40 * DAY_MS)]);
  const keys = ['a', 'unknown', 'old', 'b', 'a'].map((name) => keyOf(`${own}-${name}`));
  const expected = [1_000, undefined, undefined, 2_000, 1_000];
  const amounts = async () => (await store.read(fraudView, keys)).map((found) => found?.values.amount);
  expect(await amounts()).toEqual(expected);

  proxy.weather = { kind: 'black hole' };
  for (let read = 0; read < 4; read += 1) expect(await amounts()).toEqual(expected);
  // The circuit is open: nobody waits for Redis any more.
  const begin = performance.now();
  expect(await amounts()).toEqual(expected);
  expect(performance.now() - begin).toBeLessThan(250);
  const text = await metrics.metrics();
  expect(text).toMatch(/circuit_open\{target="online store reads"\} 1/);
  expect(text).toMatch(/online_store_fallbacks_total 5/);

  proxy.weather = { kind: 'fine' };
  const giveUpAt = Date.now() + 15_000;
  while (!/circuit_open\{target="online store reads"\} 0/.test(await metrics.metrics())) {
    expect(await amounts()).toEqual(expected);
    expect(Date.now()).toBeLessThan(giveUpAt);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(await amounts()).toEqual(expected);
  await services[Symbol.asyncDispose]();
  await proxy.stop();
}, 60_000);
