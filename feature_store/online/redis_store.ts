import type { Redis } from 'ioredis';
import { connectRedis } from '#connectors/redis/client';
import type { RedisConfig } from '#connectors/redis/config';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/feature_row';
import { OnlineStoreError } from '../errors.ts';
import type { OnlineStore, WriteResult } from './online_store.ts';

/**
 * KEYS[1] the row's key; ARGV: event time, row as JSON, ttl in ms. A key holds `<event time> <json>`, so that one GET reads all of a
 * row. Returns 1 when written, 0 when a newer row is there.
 */
const COMPARE_AND_SET = `
local held = redis.call('GET', KEYS[1])
if held then
  local at = tonumber(string.match(held, '^(%-?%d+) '))
  if at and at > tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1`;

interface ScriptedRedis extends Redis {
  headwaterCompareAndSet(key: string, eventTime: number, row: string, ttlMs: number): Promise<number>;
}

/** Keys: `headwater:<view>@<version>:{<entity>}`, so that an entity's views share a cluster slot. */
const rowKey = (prefix: string, view: ViewReference, entityKey: string): string =>
  `${prefix}:${viewId(view)}:{${entityKey}}`;

/** Each row in one value; an older event time never replaces a newer one, whatever order writes come in. */
export class RedisOnlineStore implements OnlineStore {
  readonly kind = 'redis';
  readonly name = 'online store (Redis)';
  readonly #redis: ScriptedRedis;
  readonly #config: RedisConfig;
  readonly #prefix: string;
  readonly #ttlMs: ReadonlyMap<string, number>;

  constructor(
    deps: { redis: Redis; ttlMs: ReadonlyMap<string, number> },
    settings: { redis: RedisConfig; keyPrefix: string },
  ) {
    deps.redis.defineCommand('headwaterCompareAndSet', { numberOfKeys: 1, lua: COMPARE_AND_SET });
    this.#redis = deps.redis as ScriptedRedis;
    this.#config = settings.redis;
    this.#prefix = settings.keyPrefix;
    this.#ttlMs = deps.ttlMs;
  }

  async start(): Promise<void> {
    await connectRedis(this.#redis, this.#config);
  }

  async write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    const nowMs = Date.now();
    let written = 0;
    try {
      const results = await Promise.all(
        rows.map((row) => {
          const ttlMs = Math.ceil((this.#ttlMs.get(viewId(row)) ?? 0) - Math.max(0, nowMs - row.eventTime));
          // Already past its ttl: nobody could read it.
          if (ttlMs <= 0) return 0;
          const key = rowKey(this.#prefix, row, row.entityKey);
          return this.#redis.headwaterCompareAndSet(key, row.eventTime, JSON.stringify(row), ttlMs);
        }),
      );
      written = results.reduce<number>((sum, result) => sum + result, 0);
    } catch (error) {
      throw new OnlineStoreError(`write ${rows.length} rows`, error);
    }
    return { written, stale: rows.length - written };
  }

  async read(view: ViewReference, entityKeys: readonly string[]): Promise<readonly (FeatureRow | undefined)[]> {
    if (entityKeys.length === 0) return [];
    try {
      const values = await Promise.all(entityKeys.map((key) => this.#redis.get(rowKey(this.#prefix, view, key))));
      return values.map((value) =>
        value === null ? undefined : (JSON.parse(value.slice(value.indexOf(' ') + 1)) as FeatureRow),
      );
    } catch (error) {
      throw new OnlineStoreError(`read ${entityKeys.length} rows of ${viewId(view)}`, error);
    }
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    this.#redis.disconnect();
  }
}
