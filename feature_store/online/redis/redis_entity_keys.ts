import { Cluster, type Redis } from 'ioredis';
import type { RedisClient } from '#connectors/redis/client';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { entityKeyFromPrevious } from '#feature_store/definitions/values/previous_entity_key';
import type { Logger } from '#monitoring/log';
import { keysFromPrevious } from '../previous_keys.ts';
import { countersKey, rowKey } from './redis_keys.ts';

/** Keys of one turn of a scan: few enough that other commands do not wait. */
const KEYS_A_TURN = 500;
const EXAMPLES = 5;
/** For a while a `\\` before these kept slots apart: it may be of the id, or not. */
const MAYBE_ESCAPED = /^\\(?:$|[}\\])/;

interface Settings {
  readonly keyPrefix: string;
  readonly views: readonly FeatureView[];
  /** Writes packed rows where no newer ones are. */
  readonly write: (rows: readonly PackedRow[]) => Promise<unknown>;
  readonly log: Logger;
}

/** A packed row, and where it goes. */
export interface PackedRow {
  readonly key: string;
  readonly entityKey: EntityKey;
  readonly eventTime: number;
  readonly packed: string;
  readonly ttlMs: number;
}

/**
 * Gives rows and counters of releases before entity keys their keys of now: `PREFIX:user@1:{x9}` becomes `PREFIX:row:user@1:{user:x9}`, once for each view
 * (`PREFIX:entity-keys` lists those that are done). Repeating any part of it changes nothing, so that several processes may begin at once and one that was killed
 * is made up for. What is ambiguous is logged and left; rows of it expire.
 */
export async function moveToEntityKeys(redis: RedisClient, settings: Settings): Promise<void> {
  const { keyPrefix, views, log } = settings;
  const doneKey = `${keyPrefix}:entity-keys`;
  const done = new Set(await redis.smembers(doneKey));
  const open = new Map(views.map((view) => [viewId(view), view] as const).filter(([id]) => !done.has(id)));
  if (open.size === 0) return;
  const left: string[] = [];
  let moved = 0;
  const counters = new Set<string>();
  for await (const keys of scan(redis, `${globLiteral(keyPrefix)}:*`)) {
    const rows: { readonly before: string; readonly after: string; readonly entityKey: EntityKey }[] = [];
    for (const before of keys) {
      const [, id = '', entity = ''] = /^([^:]+):\{(.*)\}$/s.exec(before.slice(keyPrefix.length + 1)) ?? [];
      if (id === 'counters') counters.add(entity);
      const view = open.get(id);
      if (view === undefined) continue;
      const read = MAYBE_ESCAPED.test(entity) ? undefined : entityKeyFromPrevious(view, entity);
      if (read !== undefined && 'key' in read)
        rows.push({ before, after: rowKey(keyPrefix, view, read.key), entityKey: read.key });
      else left.push(before);
    }
    moved += await moveRows(redis, rows, settings);
  }
  const countersLeft = await moveCounters(redis, [...counters], settings);
  await redis.sadd(doneKey, ...open.keys());
  if (moved > 0) log.info({ moved }, 'online_store.moved_to_entity_keys');
  for (const [kind, keys] of [
    ['rows', left],
    ['counters', countersLeft],
  ] as const) {
    if (keys.length > 0)
      log.warn({ kind, keys: keys.length, examples: keys.slice(0, EXAMPLES) }, 'online_store.entity_keys_left');
  }
}

async function moveRows(
  redis: RedisClient,
  rows: readonly { readonly before: string; readonly after: string; readonly entityKey: EntityKey }[],
  { write }: Settings,
): Promise<number> {
  const held = await Promise.all(
    rows.map(async ({ before, after, entityKey }) => {
      // Not GET: rows of still earlier releases are hashes, which are not read any more.
      const [[packed = null], ttlMs] = await Promise.all([redis.mget(before), redis.pttl(before)]);
      const eventTime = Number(packed?.slice(0, packed.indexOf(' ')));
      // -1: it never expires; -2: it is gone.
      if (packed === null || ttlMs === -2 || Number.isNaN(eventTime)) return undefined;
      return { before, row: { key: after, entityKey, eventTime, packed, ttlMs: Math.max(0, ttlMs) } };
    }),
  );
  const kept = held.filter((row) => row !== undefined);
  if (kept.length > 0) await write(kept.map(({ row }) => row));
  await Promise.all(kept.map(({ before }) => redis.del(before)));
  return kept.length;
}

/** A counter names no view: it is of the one entity that there are rows of. @returns those that stay */
async function moveCounters(
  redis: RedisClient,
  entities: readonly string[],
  { keyPrefix, views }: Settings,
): Promise<readonly string[]> {
  const left: string[] = [];
  for (const entity of entities) {
    const before = `${keyPrefix}:counters:{${entity}}`;
    const known: EntityKey[] = [];
    for (const key of MAYBE_ESCAPED.test(entity) ? [] : keysFromPrevious(views, entity)) {
      const found = await Promise.all(views.map((view) => redis.exists(rowKey(keyPrefix, view, key))));
      if (found.some((rows) => rows > 0)) known.push(key);
    }
    const [only, ...others] = known;
    if (only === undefined || others.length > 0) {
      left.push(before);
      continue;
    }
    // A counter that is there has been moved before, and may have been counted since.
    for (const [counter, value] of Object.entries(await redis.hgetall(before))) {
      await redis.hsetnx(countersKey(keyPrefix, only), counter, value);
    }
    await redis.del(before);
  }
  return left;
}

async function* scan(redis: RedisClient, match: string): AsyncGenerator<readonly string[]> {
  const nodes: readonly Redis[] = redis instanceof Cluster ? redis.nodes('master') : [redis];
  for (const node of nodes) {
    let cursor = '0';
    do {
      const [next, keys] = await node.scan(cursor, 'MATCH', match, 'COUNT', KEYS_A_TURN);
      cursor = next;
      if (keys.length > 0) yield keys;
    } while (cursor !== '0');
  }
}

const globLiteral = (text: string): string => text.replace(/[\\*?[\]]/g, '\\$&');
