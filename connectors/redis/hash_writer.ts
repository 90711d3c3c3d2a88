import { ReplyError } from 'ioredis';
import { messageOf } from '#kernel/errors';
import { ConnectionError, RecordRefusedError, TargetError } from '../errors.ts';
import { failureClassOf, redisFailure } from '../failure_class.ts';
import type { RedisClient } from './client.ts';

export interface HashSettings<T> {
  /** The key of a value's hash. */
  readonly keyOf: (value: T) => string;
  /** Its fields; null and undefined are left out, objects become JSON. */
  readonly fieldsOf: (value: T) => Readonly<Record<string, unknown>>;
  /** A value replaces one of the same or a smaller number, and no other: values may come in any order. Kept in the field `_order`. */
  readonly orderOf?: (value: T) => number;
  readonly ttlMs?: number;
}

const ORDER_FIELD = '_order';

/** KEYS[1] the hash; ARGV: its order or '', ttl in ms or '', then fields and values. Returns 1 when written, 0 when a newer one is there. */
const REPLACE_HASH = `
if ARGV[1] ~= '' then
  local held = redis.call('HGET', KEYS[1], '${ORDER_FIELD}')
  if held and tonumber(held) > tonumber(ARGV[1]) then return 0 end
end
redis.call('DEL', KEYS[1])
for at = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], '${ORDER_FIELD}', ARGV[1]) end
if ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`;

type ScriptedRedis = RedisClient & { headwaterReplaceHash(key: string, ...rest: string[]): Promise<number> };

/**
 * Writes each value as a hash, the batch in one pipeline; a hash is replaced whole, at once. Writing values again changes nothing.
 *
 * @returns what {@link writeTo} takes as `write`
 */
export function redisHashes<T>(redis: RedisClient, settings: HashSettings<T>): (values: readonly T[]) => Promise<void> {
  redis.defineCommand('headwaterReplaceHash', { numberOfKeys: 1, lua: REPLACE_HASH });
  const scripted = redis as ScriptedRedis;
  const { keyOf, fieldsOf, orderOf, ttlMs } = settings;
  const write = async (value: T): Promise<void> => {
    const key = keyOf(value);
    const fields = Object.entries(fieldsOf(value)).filter(([, field]) => field !== null && field !== undefined);
    const flat = fields.flatMap(([name, field]) => [
      name,
      typeof field === 'object' ? JSON.stringify(field) : String(field),
    ]);
    const order = orderOf === undefined ? '' : String(orderOf(value));
    try {
      await scripted.headwaterReplaceHash(key, order, ttlMs === undefined ? '' : String(Math.ceil(ttlMs)), ...flat);
    } catch (error) {
      const failure = error instanceof ReplyError ? redisFailure(messageOf(error)) : failureClassOf(error);
      if (failure === 'record') throw new RecordRefusedError('Redis', 'hashes', key, messageOf(error));
      if (failure === 'target') throw new TargetError('Redis', error);
      throw new ConnectionError('Redis', error);
    }
  };
  return async (values) => {
    // All are answered before any failure is thrown: nothing of a batch is still under way when it is tried again.
    const results = await Promise.allSettled(values.map(write));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  };
}
