import { type Cluster, type Redis, ReplyError } from 'ioredis';
import { type FailureClass, failureClassOf, redisFailure } from '#connectors/failure_class';
import { connectRedis, type RedisClient } from '#connectors/redis/client';
import type { RedisConfig } from '#connectors/redis/config';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces, type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import { CounterLimitError, LARGEST_COUNT, OnlineStoreError, UnknownViewError } from '../../errors.ts';
import type { OnlineStore, WriteResult } from '../online_store.ts';
import type { StoreContents } from '../store_contents.ts';
import { TurnReads } from '../turn_reads.ts';
import { RedisContents } from './redis_contents.ts';
import { moveToEntityKeys, type PackedRow } from './redis_entity_keys.ts';
import { countersKey, rowKey } from './redis_keys.ts';
import { RowCodec, type RowLayout, unpack } from './row_codec.ts';

/**
 * KEYS the rows' keys; ARGV for each: event time, packed row, ttl in ms (0: for ever). A packed row begins with its event time and when it was computed, and one GET reads all of
 * it. Returns how many were written; where a newer row is there, or one of the same time that was computed later, none is.
 */
const COMPARE_AND_SET = `
local written = 0
for index, key in ipairs(KEYS) do
  local at = ARGV[3 * index - 2]
  local packed = ARGV[3 * index - 1]
  local heldAt, heldComputed = string.match(redis.call('GETRANGE', key, 0, 50), '^(%-?%d+) (%-?%d+) ')
  local isOlder = false
  if heldAt then
    local order = tonumber(heldAt) - tonumber(at)
    local computed = string.match(packed, '^%-?%d+ (%-?%d+) ')
    isOlder = order > 0 or (order == 0 and computed and tonumber(heldComputed) > tonumber(computed))
  end
  if not isOlder then
    if ARGV[3 * index] == '0' then
      redis.call('SET', key, packed)
    else
      redis.call('SET', key, packed, 'PX', ARGV[3 * index])
    end
    written = written + 1
  end
end
return written`;

/** Rows of one script: others' commands wait for it, a tenth of a millisecond or two. */
const ROWS_A_SCRIPT = 20;

const HEALTH_KEY_TTL_MS = 60_000;

type ScriptedRedis = RedisClient & {
  headwaterCompareAndSet(keys: number, ...keysAndArguments: (string | number)[]): Promise<number>;
};

/** @throws when the master is away, has become a replica, or cannot keep more */
async function checkMaster(master: Redis): Promise<void> {
  const text = await master.info();
  const value = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(text)?.[1];
  const address = `${master.options.host}:${master.options.port}`;
  if (value('role') === 'slave') throw new Error(`READONLY ${address} has become a replica`);
  const [used, limit] = [Number(value('used_memory')), Number(value('maxmemory'))];
  if (limit > 0 && used >= limit && value('maxmemory_policy') === 'noeviction')
    throw new Error(`OOM command not allowed: ${address} uses ${used} of ${limit} bytes and evicts nothing`);
}

/**
 * Each row in one value, which names the definitions it was computed by; an older event time never replaces a newer one, whatever order writes
 * come in. On one server, or on a cluster.
 */
export class RedisOnlineStore implements OnlineStore {
  readonly kind = 'redis';
  readonly name = 'online store (Redis)';
  readonly #redis: ScriptedRedis;
  readonly #reads: TurnReads | undefined;
  readonly contents: StoreContents;
  readonly #config: RedisConfig;
  readonly #prefix: string;
  readonly #log: Logger;
  readonly #codecs: ReadonlyMap<string, RowCodec>;
  /** Layouts that others have written rows with; undefined where they are not known any more. */
  readonly #foreign = new Map<string, Promise<RowLayout | undefined>>();

  constructor(
    deps: { redis: RedisClient; views: readonly FeatureView[]; log: Logger },
    settings: { redis: RedisConfig; keyPrefix: string },
  ) {
    deps.redis.defineCommand('headwaterCompareAndSet', { lua: COMPARE_AND_SET });
    this.#redis = deps.redis as ScriptedRedis;
    // Of a cluster, keys of one command must lie in one slot.
    this.#reads = deps.redis.isCluster ? undefined : new TurnReads(deps.redis as Redis);
    this.#config = settings.redis;
    this.#prefix = settings.keyPrefix;
    this.#log = deps.log.child({ component: 'feature_store.online' });
    this.contents = new RedisContents(deps.redis, settings.keyPrefix, () => this.#writeLayouts());
    this.#codecs = new Map(deps.views.map((view) => [viewId(view), new RowCodec(view)]));
  }

  async start(): Promise<void> {
    await connectRedis(this.#redis, this.#config);
    await this.#writeLayouts();
    // Before the first read, and not whenever a store was emptied: what comes back has keys of now.
    await moveToEntityKeys(this.#redis, {
      keyPrefix: this.#prefix,
      views: [...this.#codecs.values()].map(({ view }) => view),
      write: (rows) => Promise.all(this.#scripts(rows).map((some) => this.#compareAndSet(some))),
      log: this.#log,
    });
  }

  async #writeLayouts(): Promise<void> {
    const layouts = [...this.#codecs.values()].map(({ fingerprint, layout }) =>
      this.#redis.set(this.#layoutKey(fingerprint), JSON.stringify(layout)),
    );
    await Promise.all(layouts);
  }

  #layoutKey(fingerprint: string): string {
    return `${this.#prefix}:layout:${fingerprint}`;
  }

  #codecOf(view: ViewReference): RowCodec {
    const codec = this.#codecs.get(viewId(view));
    if (codec === undefined) throw new UnknownViewError(viewId(view), [...this.#codecs.keys()]);
    return codec;
  }

  async write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    const nowMs = Date.now();
    // Of an entity's rows the newest one stays, whatever comes before it.
    const newest = new Map<string, FeatureRow>();
    let replaced = 0;
    for (const row of rows) {
      const key = rowKey(this.#prefix, row, row.entityKey);
      const held = newest.get(key);
      if (held !== undefined && !replaces(row, held)) continue;
      if (held !== undefined) replaced += 1;
      newest.set(key, row);
    }
    const entries: PackedRow[] = [];
    for (const [key, row] of newest) {
      const codec = this.#codecOf(row);
      const { ttlMs: viewTtlMs } = codec.view;
      // Redis drops a key when its time is up: a row that is exactly as old as the ttl is still read.
      const ttlMs = viewTtlMs === 0 ? 0 : Math.ceil(viewTtlMs - Math.max(0, nowMs - row.eventTime)) + 1;
      // Already past its ttl: no read would return it.
      if (viewTtlMs === 0 || ttlMs > 0)
        entries.push({ key, entityKey: row.entityKey, eventTime: row.eventTime, packed: codec.encode(row), ttlMs });
    }
    try {
      const results = await Promise.all(this.#scripts(entries).map((some) => this.#compareAndSet(some)));
      const written = results.reduce((sum, result) => sum + result, replaced);
      return { written, stale: rows.length - written };
    } catch (error) {
      throw new OnlineStoreError(`write ${rows.length} rows`, error, failureOf(error));
    }
  }

  /** A script's keys must lie in one slot of a cluster: an entity's do. */
  #scripts(entries: readonly PackedRow[]): readonly (readonly PackedRow[])[] {
    const groups = new Map<string, PackedRow[]>();
    for (const entry of entries) {
      const together = this.#redis.isCluster ? entry.entityKey : '';
      const group = groups.get(together);
      if (group === undefined) groups.set(together, [entry]);
      else group.push(entry);
    }
    const scripts: (readonly PackedRow[])[] = [];
    for (const group of groups.values()) {
      for (let from = 0; from < group.length; from += ROWS_A_SCRIPT)
        scripts.push(group.slice(from, from + ROWS_A_SCRIPT));
    }
    return scripts;
  }

  #compareAndSet(entries: readonly PackedRow[]): Promise<number> {
    const values: (string | number)[] = [];
    for (const { eventTime, packed, ttlMs } of entries) values.push(eventTime, packed, ttlMs);
    return this.#redis.headwaterCompareAndSet(entries.length, ...entries.map(({ key }) => key), ...values);
  }

  async read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    if (entityKeys.length === 0) return [];
    const codec = this.#codecOf(view);
    const keys = entityKeys.map((key) => rowKey(this.#prefix, view, key));
    try {
      const values = await this.#get(keys);
      const rows = new Array<FeatureRow | undefined>(keys.length).fill(undefined);
      let waiting: Promise<void>[] | undefined;
      for (let index = 0; index < keys.length; index += 1) {
        const text = values[index];
        const packed = typeof text === 'string' ? unpack(text) : undefined;
        if (packed === undefined) continue;
        const entityKey = entityKeys[index] as EntityKey;
        if (packed.layout === codec.fingerprint) rows[index] = codec.decode(entityKey, packed);
        else {
          waiting ??= [];
          waiting.push(
            this.#layoutOf(packed.layout).then((layout) => {
              if (layout !== undefined) rows[index] = codec.decode(entityKey, packed, layout);
            }),
          );
        }
      }
      if (waiting !== undefined) await Promise.all(waiting);
      return rows;
    } catch (error) {
      throw new OnlineStoreError(`read ${entityKeys.length} rows of ${viewId(view)}`, error);
    }
  }

  /** One command where that is possible: a promise a key costs more than the reading. */
  async #get(keys: readonly string[]): Promise<readonly (string | null)[]> {
    const [only] = keys as readonly [string];
    if (keys.length === 1) return [await (this.#reads?.get(only) ?? this.#redis.get(only))];
    if (this.#redis.isCluster) return Promise.all(keys.map((key) => this.#redis.get(key)));
    return (this.#redis as unknown as Redis).mget(keys as string[]);
  }

  async increment(entityKey: EntityKey, counter: string, by: number): Promise<number> {
    const key = countersKey(this.#prefix, entityKey);
    let value: number;
    try {
      value = Number(await this.#redis.hincrby(key, counter, by));
      // Redis counts with 64 bits, of which a number holds 53.
      if (Math.abs(value) > LARGEST_COUNT) await this.#redis.hincrby(key, counter, -by);
    } catch (error) {
      throw new OnlineStoreError(`count ${counter} of ${entityKey}`, error);
    }
    if (Math.abs(value) > LARGEST_COUNT) throw new CounterLimitError(counter, entityKey, by);
    return value;
  }

  async readCounters(entityKey: EntityKey): Promise<Readonly<Record<string, number>>> {
    try {
      const counts = await this.#redis.hgetall(countersKey(this.#prefix, entityKey));
      return Object.fromEntries(Object.entries(counts).map(([counter, value]) => [counter, Number(value)]));
    } catch (error) {
      throw new OnlineStoreError(`read the counters of ${entityKey}`, error);
    }
  }

  async erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number> {
    try {
      // One by one: a cluster has an entity's keys in one slot, but other commands may not count on it.
      const erased = await Promise.all(views.map((view) => this.#redis.del(rowKey(this.#prefix, view, entityKey))));
      await this.#redis.del(countersKey(this.#prefix, entityKey));
      return erased.reduce((sum, rows) => sum + rows, 0);
    } catch (error) {
      throw new OnlineStoreError(`erase ${entityKey}`, error);
    }
  }

  async checkHealth(): Promise<void> {
    try {
      await this.#redis.set(`${this.#prefix}:health`, String(Date.now()), 'PX', HEALTH_KEY_TTL_MS);
      // Of a cluster, each master takes writes or not.
      if (this.#redis.isCluster) await Promise.all((this.#redis as Cluster).nodes('master').map(checkMaster));
    } catch (error) {
      throw new OnlineStoreError('take a write', error);
    }
  }

  #layoutOf(fingerprint: string): Promise<RowLayout | undefined> {
    let layout = this.#foreign.get(fingerprint);
    if (layout === undefined) {
      layout = this.#redis.get(this.#layoutKey(fingerprint)).then((text) => {
        // A store that was emptied gets it again from the process that writes such rows.
        if (text === null) this.#foreign.delete(fingerprint);
        return text === null ? undefined : (JSON.parse(text) as RowLayout);
      });
      layout.catch(() => this.#foreign.delete(fingerprint));
      this.#foreign.set(fingerprint, layout);
    }
    return layout;
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    this.#redis.disconnect();
  }
}

const failureOf = (error: unknown): FailureClass =>
  error instanceof ReplyError ? redisFailure(messageOf(error)) : failureClassOf(error);
