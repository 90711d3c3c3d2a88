import { randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { compareStores } from '#feature_store/retrieval/consistency';
import { ConsistencyMonitor } from '#feature_store/retrieval/consistency_monitor';
import { createOnlineStore } from '#feature_store/stores';
import { startAll } from '#kernel/lifecycle';
import { DAY_MS, eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { keyOf } from '../../support/entity_keys.ts';
import { serviceAddress } from '../service_address.ts';

test('what differs between Redis and PostgreSQL is counted, and shown', async () => {
  const redisUrl = new URL(serviceAddress('TEST_REDIS_URL'));
  const postgresUrl = new URL(serviceAddress('TEST_POSTGRES_URL'));
  const view = { ...fraudView, view: `v${randomUUID().replaceAll('-', '')}` };
  const base = { log: silentLogger, clock: systemClock, views: [view] };
  const redis = redisConfigSchema.parse({ host: redisUrl.hostname, port: Number(redisUrl.port) });
  const online = createOnlineStore(base, { kind: 'redis', ...redis, keyPrefix: `consistency-${randomUUID()}` });
  const postgres = { host: postgresUrl.hostname, port: Number(postgresUrl.port), database: 'postgres' };
  const offline = createOfflineDatabase(base, { kind: 'postgres', ...postgresConfigSchema.parse(postgres) });
  const services = await startAll([online, offline], new AbortController().signal);
  const row = (entity: number, ageMs: number, sum = 1): FeatureRow => ({
    view: view.view,
    version: 1,
    entityKey: keyOf(`e${entity}`),
    eventTime: eventTime(Date.now() - ageMs),
    computedAt: processingTime(Date.now()),
    values: { amount: sum, merchant_category: 'cash' },
  });
  const stores = { online, offline, clock: systemClock };
  expect(await compareStores(view, stores, 10)).toMatchObject({ entities: 0, share: 1 });
  const rows = Array.from({ length: 100 }, (_, index) => row(index, 1_000));
  await online.write(rows);
  await offline.features.write(rows);
  // One is too old to be served: no difference.
  await offline.features.write([row(1_000, 40 * DAY_MS)]);
  expect(await compareStores(view, stores, 1_000)).toEqual({
    ...{ entities: 100, values: 200, share: 1, missing: 0, behind: 0, ahead: 0 },
    examples: [],
  });
  expect((await compareStores(view, stores, 7)).entities).toBeLessThanOrEqual(7);
  await offline.features.write([row(0, 10, 2), row(500, 10)]);
  await online.write([row(1, 5, 3)]);
  const differing = await compareStores(view, stores, 1_000);
  expect(differing).toMatchObject({ entities: 101, values: 202, missing: 1, behind: 1, ahead: 1 });
  expect(differing.share).toBeCloseTo(198 / 202, 9);
  expect(differing.examples).toContainEqual({ entity: keyOf('e0'), feature: 'amount', online: 1, offline: 2 });

  const metrics = createMetricsRegistry({ process: false });
  const monitor = new ConsistencyMonitor({ ...base, ...stores, metrics }, { intervalMs: 20, sample: 1_000 });
  await monitor.start();
  const shown = `feature_store_consistency_share{view="${view.view}@1"} ${198 / 202}`;
  const giveUpAt = Date.now() + 10_000;
  while (!(await metrics.metrics()).includes(shown.slice(0, -4))) {
    expect(Date.now()).toBeLessThan(giveUpAt);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await monitor.stop();
  await services[Symbol.asyncDispose]();
}, 30_000);
