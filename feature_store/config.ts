import { z } from 'zod';
import { extensionSchema, resolveExtension } from '#configs/extension';
import { accessSettings } from '#connectors/http/config';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { createPostgresPool } from '#connectors/postgres/pool';
import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import type { Clock } from '#kernel/time';
import { tlsSchema } from '#monitoring/http_app';
import type { Logger } from '#monitoring/log';
import { PgliteExecutor } from './database/pglite_executor.ts';
import { PostgresExecutor } from './database/postgres_executor.ts';
import { SqlDatabase } from './database/sql_database.ts';
import { viewId } from './definitions/feature_row.ts';
import type { FeatureView } from './definitions/feature_view.ts';
import type { OnlineStoreExtension } from './online/define_online_store.ts';
import { MemoryOnlineStore } from './online/memory_store.ts';
import type { OnlineStore } from './online/online_store.ts';
import { RedisOnlineStore } from './online/redis_store.ts';

/** Of every key. Braces would decide the cluster slot instead of the entity. */
const keyPrefix = z
  .string()
  .regex(/^[A-Za-z0-9_.:-]{1,64}$/, 'must have 1 to 64 letters, digits, "_", ".", ":" or "-"')
  .default('headwater');

export const onlineStoreConfigSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('memory'), file: z.string().min(1) }),
  redisConfigSchema.extend({
    kind: z.literal('redis'),
    keyPrefix,
    /** After FLUSHALL or an empty failover the newest rows come back from the offline store, at most so many a second. */
    refill: z.strictObject({ rowsPerSecond: z.int().positive().default(20_000) }).optional(),
  }),
  extensionSchema,
]);
export type OnlineStoreConfig = z.infer<typeof onlineStoreConfigSchema>;

export const offlineStoreConfigSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('pglite'), directory: z.string().min(1) }),
  postgresConfigSchema.extend({ kind: z.literal('postgres') }),
]);
export type OfflineStoreConfig = z.infer<typeof offlineStoreConfigSchema>;

export const cacheConfigSchema = z.strictObject({
  maxEntries: z.int().positive().default(100_000),
  ttlMs: z.int().positive().default(1_000),
});

export const featureApiConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8_083),
  ...accessSettings,
  tls: tlsSchema.optional(),
});
export type FeatureApiConfig = z.infer<typeof featureApiConfigSchema>;

interface Deps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly views: readonly FeatureView[];
}

export const ttlsOf = (views: readonly FeatureView[]): ReadonlyMap<string, number> =>
  new Map(views.map((view) => [viewId(view), view.ttlMs]));

/** @param stores - of the project. @throws {@link ConfigError} for a store that the project lacks, or its settings */
export function createOnlineStore(
  { log, clock, views }: Deps,
  config: OnlineStoreConfig,
  stores: readonly OnlineStoreExtension[] = [],
): OnlineStore {
  if (config.kind === 'extension') {
    const { extension, settings } = resolveExtension('onlineStore', 'stores.online', stores, config);
    return extension.create({ log, clock, views, ttlMs: ttlsOf(views), namespace: config.namespace }, settings);
  }
  if (config.kind === 'memory') return new MemoryOnlineStore({ log, clock, ttlMs: ttlsOf(views), views }, config);
  const { kind: _, keyPrefix, refill: __, ...redis } = config;
  return new RedisOnlineStore({ redis: createRedis(redis, log), views, log }, { redis, keyPrefix });
}

export function createDatabase({ log, views }: Pick<Deps, 'log' | 'views'>, config: OfflineStoreConfig): SqlDatabase {
  const sql =
    config.kind === 'pglite'
      ? new PgliteExecutor(config.directory)
      : new PostgresExecutor(createPostgresPool(config, log), config.schema);
  return new SqlDatabase({ sql, log, views }, config.kind);
}
