import { randomUUID } from 'node:crypto';
import calculateSlot from 'cluster-key-slot';
import type { Cluster, Redis } from 'ioredis';
import type { RedisClient } from '#connectors/redis/client';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { RefillProgress, StoreContents } from '../store_contents.ts';

const SLOTS = 16_384;
/** Marks of a cluster, spread evenly over its slots: every master with 1/64 of the slots in a row holds one. */
const CLUSTER_MARKS = 64;
/** Progress of a refill that is not resumed is of no use after that. */
const PROGRESS_TTL_MS = 86_400_000;

/** KEYS[1] the lock, KEYS[2] the progress; ARGV: owner, progress, ttl in ms. Fences off a worker that has lost its lock. */
const SAVE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1`;
/** KEYS[1] the lock; ARGV: owner, ttl in ms. */
const LOCK = `
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;
const UNLOCK = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;
/** KEYS[1] a mark; ARGV: what it must hold, what it becomes. */
const REPLACE_MARK = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`;

const COMPLETE = 'complete:';
const FILLING = 'filling:';

type Scripted = RedisClient & {
  headwaterRefillSave(lock: string, progress: string, ...rest: (string | number)[]): Promise<number>;
  headwaterRefillLock(lock: string, owner: string, ttlMs: number): Promise<number>;
  headwaterRefillUnlock(lock: string, owner: string): Promise<number>;
  headwaterReplaceMark(mark: string, from: string, to: string): Promise<number>;
};

/**
 * Completeness of a Redis, kept in it: `<prefix>:{refill}:mark` on one server, a mark in each 64th of the slots on a cluster. A refill sets every
 * mark to `filling:<token>` when it begins, and turns it into `complete:<server ids>` when it ends, which fails where the mark has gone: a store
 * that is emptied while it is filled can never count as complete. A server that was restarted or replaced has another id, and is filled again:
 * what it lost at the end is not known. Progress of releases before entity keys names a place among other keys, and is not resumed.
 */
export class RedisContents implements StoreContents {
  isComplete = false;
  readonly #redis: Scripted;
  readonly #prefix: string;
  readonly #marks: readonly string[];
  readonly #prepare: () => Promise<void>;
  /** What the marks hold while the store is complete. */
  #expected: string | undefined;
  #confirming = new Map<string, Promise<string | null>>();

  /** @param prepare - writes what else must be in a store that was emptied */
  constructor(redis: RedisClient, prefix: string, prepare: () => Promise<void>) {
    this.#prepare = prepare;
    redis.defineCommand('headwaterRefillSave', { numberOfKeys: 2, lua: SAVE });
    redis.defineCommand('headwaterRefillLock', { numberOfKeys: 1, lua: LOCK });
    redis.defineCommand('headwaterRefillUnlock', { numberOfKeys: 1, lua: UNLOCK });
    redis.defineCommand('headwaterReplaceMark', { numberOfKeys: 1, lua: REPLACE_MARK });
    this.#redis = redis as Scripted;
    this.#prefix = `${prefix}:{refill}`;
    this.#marks = redis.isCluster ? clusterMarks(prefix) : [`${this.#prefix}:mark`];
  }

  async check(): Promise<boolean> {
    const [expected, marks] = await Promise.all([this.#identity(), this.#readMarks()]);
    this.isComplete = marks.every((mark) => mark === expected);
    this.#expected = this.isComplete ? expected : undefined;
    if (!this.isComplete) await this.#prepare();
    return this.isComplete;
  }

  #readMarks(): Promise<readonly (string | null)[]> {
    return Promise.all(this.#marks.map((mark) => this.#redis.get(mark)));
  }

  /** Of the servers that hold the rows: it changes when one is restarted or another one takes over. */
  async #identity(): Promise<string> {
    const servers = this.#redis.isCluster ? (this.#redis as Cluster).nodes('master') : [this.#redis as Redis];
    const ids = await Promise.all(
      servers.map(async (server) => /^run_id:(\w+)/m.exec(await server.info('server'))?.[1] ?? ''),
    );
    return `${COMPLETE}${ids.sort().join(',')}`;
  }

  async confirmMissing(entityKeys: readonly EntityKey[]): Promise<boolean> {
    const expected = this.#expected;
    if (expected === undefined) return false;
    const marks = new Set(entityKeys.map((key) => this.#markOf(key)));
    const held = await Promise.all([...marks].map((mark) => this.#readMark(mark)));
    if (held.every((mark) => mark === expected)) return true;
    this.isComplete = false;
    this.#expected = undefined;
    return false;
  }

  #markOf(entityKey: EntityKey): string {
    if (this.#marks.length === 1) return this.#marks[0] as string;
    // An entity's rows lie in the slot of its key.
    const slot = calculateSlot(`{${entityKey}}`);
    return this.#marks[Math.floor((slot * CLUSTER_MARKS) / SLOTS)] as string;
  }

  /** Reads that are made in one turn of the event loop share the question; a later one asks anew. */
  #readMark(mark: string): Promise<string | null> {
    let reading = this.#confirming.get(mark);
    if (reading === undefined) {
      reading = this.#redis.get(mark);
      this.#confirming.set(mark, reading);
      queueMicrotask(() => this.#confirming.delete(mark));
    }
    return reading;
  }

  async lock(owner: string, ttlMs: number): Promise<boolean> {
    return (await this.#redis.headwaterRefillLock(`${this.#prefix}:lock`, owner, ttlMs)) === 1;
  }

  async unlock(owner: string): Promise<void> {
    await this.#redis.headwaterRefillUnlock(`${this.#prefix}:lock`, owner);
  }

  async begin(owner: string): Promise<RefillProgress> {
    const text = await this.#redis.get(`${this.#prefix}:entity-progress`);
    const identity = await this.#identity();
    const held = text === null ? undefined : (JSON.parse(text) as RefillProgress & { readonly identity: string });
    if (held?.identity === identity && (await this.#isFilling(held.token))) return held;
    const progress = { token: randomUUID(), done: [], rows: 0 };
    await Promise.all(this.#marks.map((mark) => this.#redis.set(mark, `${FILLING}${progress.token}`)));
    await this.save(owner, progress);
    return progress;
  }

  async #isFilling(token: string): Promise<boolean> {
    return (await this.#readMarks()).every((mark) => mark === `${FILLING}${token}`);
  }

  async save(owner: string, progress: RefillProgress): Promise<boolean> {
    const [identity, isFilling] = await Promise.all([this.#identity(), this.#isFilling(progress.token)]);
    if (!isFilling) return false;
    const text = JSON.stringify({ ...progress, identity });
    const [lock, key] = [`${this.#prefix}:lock`, `${this.#prefix}:entity-progress`];
    return (await this.#redis.headwaterRefillSave(lock, key, owner, text, PROGRESS_TTL_MS)) === 1;
  }

  async finish(owner: string, progress: RefillProgress): Promise<boolean> {
    const text = await this.#redis.get(`${this.#prefix}:entity-progress`);
    const begun = text === null ? undefined : (JSON.parse(text) as { readonly identity: string });
    const identity = await this.#identity();
    if (begun?.identity !== identity || !(await this.save(owner, progress))) return false;
    const replaced = await Promise.all(
      this.#marks.map((mark) => this.#redis.headwaterReplaceMark(mark, `${FILLING}${progress.token}`, identity)),
    );
    if (replaced.some((done) => done !== 1)) return false;
    await this.#redis.del(`${this.#prefix}:entity-progress`);
    return this.check();
  }
}

/** A key in each 64th of the slots, found by trying numbers. */
function clusterMarks(prefix: string): readonly string[] {
  const marks: string[] = [];
  for (let number = 0, left = CLUSTER_MARKS; left > 0; number += 1) {
    const key = `${prefix}:refill-mark:{${number}}`;
    const part = Math.floor((calculateSlot(key) * CLUSTER_MARKS) / SLOTS);
    if (marks[part] !== undefined) continue;
    marks[part] = key;
    left -= 1;
  }
  return marks;
}
