import type { Redis } from 'ioredis';
import { connectRedis } from '#connectors/redis/client';
import type { RedisConfig } from '#connectors/redis/config';
import { rowJson } from '#feature_store/definitions/encode_row';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/feature_row';
import { OnlineStoreError } from '../errors.ts';
import type { OnlineStore, WriteResult } from './online_store.ts';

/**
 * KEYS the rows' keys; ARGV for each: event time, row as JSON, ttl in ms. A key holds `<event time> <json>`, so that one GET reads all of a
 * row. Returns how many were written; where a newer row is there, none is.
 */
const COMPARE_AND_SET = `
local written = 0
for index, key in ipairs(KEYS) do
  local at = ARGV[3 * index - 2]
  local held = redis.call('GETRANGE', key, 0, 20)
  local heldAt = tonumber(string.match(held, '^(%-?%d+) '))
  if not heldAt or heldAt <= tonumber(at) then
    redis.call('SET', key, at .. ' ' .. ARGV[3 * index - 1], 'PX', ARGV[3 * index])
    written = written + 1
  end
end
return written`;

/** Rows of one script: others' commands wait for it, a tenth of a millisecond or two. */
const ROWS_A_SCRIPT = 20;

interface ScriptedRedis extends Redis {
  headwaterCompareAndSet(keys: number, ...keysAndArguments: (string | number)[]): Promise<number>;
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
    deps.redis.defineCommand('headwaterCompareAndSet', { lua: COMPARE_AND_SET });
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
    // Of an entity's rows the newest one stays, whatever comes before it.
    const newest = new Map<string, FeatureRow>();
    let replaced = 0;
    for (const row of rows) {
      const key = rowKey(this.#prefix, row, row.entityKey);
      const held = newest.get(key);
      if (held !== undefined && held.eventTime > row.eventTime) continue;
      if (held !== undefined) replaced += 1;
      newest.set(key, row);
    }
    const keys: string[] = [];
    const values: (string | number)[] = [];
    for (const [key, row] of newest) {
      const ttlMs = Math.ceil((this.#ttlMs.get(viewId(row)) ?? 0) - Math.max(0, nowMs - row.eventTime));
      // Already past its ttl: nobody could read it.
      if (ttlMs <= 0) continue;
      keys.push(key);
      values.push(row.eventTime, rowJson(row), ttlMs);
    }
    const scripts: Promise<number>[] = [];
    for (let from = 0; from < keys.length; from += ROWS_A_SCRIPT) {
      const some = keys.slice(from, from + ROWS_A_SCRIPT);
      const theirs = values.slice(3 * from, 3 * (from + some.length));
      scripts.push(this.#redis.headwaterCompareAndSet(some.length, ...some, ...theirs));
    }
    try {
      const results = await Promise.all(scripts);
      const written = results.reduce((sum, result) => sum + result, replaced);
      return { written, stale: rows.length - written };
    } catch (error) {
      throw new OnlineStoreError(`write ${rows.length} rows`, error);
    }
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
