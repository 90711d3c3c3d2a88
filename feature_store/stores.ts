import { type MethodList, resolveExtension, withMethods } from '#configs/extension';
import { openDynamoDb } from '#connectors/dynamodb/when_used';
import { createPostgresPool } from '#connectors/postgres/pool';
import { createRedis } from '#connectors/redis/client';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { OfflineStoreConfig, OnlineStoreConfig } from './config.ts';
import { PgliteExecutor } from './database/pglite_executor.ts';
import { PostgresExecutor } from './database/postgres_executor.ts';
import { SqlDatabase } from './database/sql_database.ts';
import type { FeatureView } from './definitions/feature_view.ts';
import { viewId } from './definitions/values/feature_row.ts';
import { type OfflineStoreExtension, OWN_STORE_METHODS, type OwnOfflineStore } from './offline/define_offline_store.ts';
import type { OnlineStoreExtension } from './online/define_online_store.ts';
import { DynamoDbOnlineStore } from './online/dynamodb/dynamodb_store.ts';
import { MemoryOnlineStore } from './online/memory_store.ts';
import type { OnlineStore } from './online/online_store.ts';
import { RedisOnlineStore } from './online/redis/redis_store.ts';

interface Deps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly views: readonly FeatureView[];
}

const ONLINE_METHODS: MethodList<OnlineStore> = {
  ...{
    start: true,
    drain: true,
    stop: true,
    write: true,
    read: true,
    increment: true,
    readCounters: true,
    erase: true,
  },
};

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
    const deps = { log, clock, views, ttlMs: ttlsOf(views), namespace: config.namespace };
    return withMethods(`online store "${extension.name}"`, extension.create(deps, settings), ONLINE_METHODS);
  }
  if (config.kind === 'memory') return new MemoryOnlineStore({ log, clock, ttlMs: ttlsOf(views), views }, config);
  if (config.kind === 'dynamodb') return new DynamoDbOnlineStore({ open: openDynamoDb, clock, views }, config);
  const { kind: _, keyPrefix, refill: __, ...redis } = config;
  return new RedisOnlineStore({ redis: createRedis(redis, log), views, log }, { redis, keyPrefix });
}

/** @param stores - of the project. @returns undefined where the database has the rows. @throws {@link ConfigError} for a store that the project lacks, its settings, or methods */
export function createOwnOfflineStore(
  { log, views }: Pick<Deps, 'log' | 'views'>,
  { features: config }: OfflineStoreConfig,
  stores: readonly OfflineStoreExtension[],
): OwnOfflineStore | undefined {
  if (config === undefined) return undefined;
  const { extension, settings } = resolveExtension('offlineStore.features', 'stores.offline', stores, config);
  const created = extension.create({ log, views, namespace: config.namespace }, settings);
  return withMethods(`offline store "${extension.name}"`, created, OWN_STORE_METHODS);
}

export function createDatabase({ log, views }: Pick<Deps, 'log' | 'views'>, config: OfflineStoreConfig): SqlDatabase {
  const sql =
    config.kind === 'pglite'
      ? new PgliteExecutor(config.directory)
      : new PostgresExecutor(createPostgresPool(config, log), config.schema);
  return new SqlDatabase({ sql, log, views }, config.kind);
}
