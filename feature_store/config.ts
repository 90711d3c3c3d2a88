import { z } from 'zod';
import { duration } from '#configs/duration';
import { extensionSchema } from '#configs/extension';
import { dynamoDbConfigSchema } from '#connectors/dynamodb/config';
import { accessSettings } from '#connectors/http/config';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import type { Duration } from '#kernel/times/duration';
import { tlsSchema } from '#monitoring/http/tls_config';

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
  dynamoDbConfigSchema.extend({
    kind: z.literal('dynamodb'),
    /** Predictions are written to a table beside that of features as well, for other applications, and expire after `ttl`. */
    predictions: z.strictObject({ ttl: duration.default('90d' as Duration) }).optional(),
  }),
  extensionSchema,
]);
export type OnlineStoreConfig = z.infer<typeof onlineStoreConfigSchema>;

/** A store of the project's own that has the rows of features; what else the platform keeps stays in the database. */
const features = extensionSchema.optional();

export const offlineStoreConfigSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('pglite'), directory: z.string().min(1), features }),
  postgresConfigSchema.extend({ kind: z.literal('postgres'), features }),
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
