import { randomUUID } from 'node:crypto';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { FallbackOnlineStore } from '#feature_store/online/fallback_store';
import { OnlineStoreRefill, type RefillSettings } from '#feature_store/online/refill';
import { createOnlineStore, ttlsOf } from '#feature_store/stores';
import { type RunningServices, startAll } from '#kernel/lifecycle';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

/** A Redis before PostgreSQL with its refill, as the platform wires them, with a view of the test's own. */
export async function openStores(
  redis: object,
  postgresUrl: URL,
  { own = randomUUID().slice(0, 8), ...settings }: RefillSettings & { readonly own?: string } = {},
) {
  const view: FeatureView = { ...fraudView, view: `refill_${own}` };
  const metrics = createMetricsRegistry({ process: false });
  const base = { log: silentLogger, clock: systemClock, metrics, views: [view] };
  const config = { kind: 'redis' as const, ...redisConfigSchema.parse(redis), keyPrefix: `refill-${own}` };
  const online = createOnlineStore(base, config);
  const postgres = { host: postgresUrl.hostname, port: Number(postgresUrl.port), database: 'postgres' };
  const offline = createOfflineDatabase(base, { kind: 'postgres', ...postgresConfigSchema.parse(postgres) });
  const store = new FallbackOnlineStore(online, { ...base, offline, ttlMs: ttlsOf([view]) });
  const { contents } = online;
  if (contents === undefined) throw new Error('a Redis knows of its contents');
  const refill = new OnlineStoreRefill(
    {
      ...{ ...base, offline },
      online: {
        contents,
        write: (rows) => online.write(rows),
        read: (of, keys) => online.read(of, keys),
        erase: (of, key) => online.erase(of, key),
      },
    },
    { checkEveryMs: 200, settleMs: 300, ...settings },
  );
  const services: RunningServices = await startAll([store, offline, refill], new AbortController().signal);
  const row = (entityKey: EntityKey, amount: number, ageMs = 0): FeatureRow => ({
    ...{ view: view.view, version: view.version, entityKey, values: { amount } },
    ...{ eventTime: eventTime(Date.now() - ageMs), computedAt: processingTime(Date.now()) },
  });
  const close = async (): Promise<void> => {
    await services.drain(AbortSignal.timeout(5_000));
    await services[Symbol.asyncDispose]();
  };
  return { view, metrics, online, offline, store, contents, refill, row, close, keyPrefix: config.keyPrefix };
}

export type OpenStores = Awaited<ReturnType<typeof openStores>>;
