import { LRUCache } from 'lru-cache';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces, type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';
import { Counter, type Registry } from '#monitoring/metrics';
import type { OnlineStore, WriteResult } from './online_store.ts';

/** What an entity without a row is cached as. */
const ABSENT = Symbol('absent');
type Held = FeatureRow | typeof ABSENT;
/** In place of what was erased while it was read or written: the store alone knows which came first. */
const UNSURE = Symbol('unsure');

/**
 * A cache in the process before another online store: bounded, with a time to live. What it lacks of a batch is read as one, and a key that is being read is not read again. Rows
 * written or erased through it are so at once, also where an older row is being read; those written by other processes show after `ttlMs` at the latest.
 */
export class CachedOnlineStore implements OnlineStore {
  readonly kind: string;
  readonly name: string;
  readonly #inner: OnlineStore;
  readonly #cache: LRUCache<string, Held>;
  /** Batches that are being read, by each of their keys. */
  readonly #loading = new Map<string, Promise<ReadonlyMap<string, Held>>>();
  /** What was written or erased of them meanwhile. */
  readonly #overtaking = new Map<string, FeatureRow | typeof UNSURE>();
  /** Writes under way, each with the keys that were erased meanwhile. */
  readonly #writes = new Set<Set<string>>();
  readonly #hits: Counter;
  readonly #misses: Counter;

  constructor(inner: OnlineStore, metrics: Registry, settings: { maxEntries: number; ttlMs: number }) {
    this.#inner = inner;
    this.kind = inner.kind;
    this.name = inner.name;
    this.#cache = new LRUCache({ max: settings.maxEntries, ttl: settings.ttlMs });
    const registers = [metrics];
    this.#hits = new Counter({ name: 'cache_hits_total', help: 'Feature rows served from the process', registers });
    this.#misses = new Counter({ name: 'cache_misses_total', help: 'Feature rows read from the store', registers });
  }

  start(signal: AbortSignal): Promise<void> {
    return this.#inner.start(signal);
  }

  async write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    const erased = new Set<string>();
    this.#writes.add(erased);
    try {
      const result = await this.#inner.write(rows);
      for (const row of rows) this.#written(row, erased);
      return result;
    } finally {
      this.#writes.delete(erased);
    }
  }

  #written(row: FeatureRow, erased: ReadonlySet<string>): void {
    const key = cacheKey(viewId(row), row.entityKey);
    if (erased.has(key)) {
      this.#forget(key);
      return;
    }
    // Absent from the cache stays absent: what is never read need not be kept.
    const held = this.#cache.get(key);
    if (held !== undefined) this.#cache.set(key, newerOf(row, held));
    if (!this.#loading.has(key)) return;
    const overtaking = this.#overtaking.get(key);
    if (overtaking !== UNSURE) this.#overtaking.set(key, newerOf(row, overtaking));
  }

  #forget(key: string): void {
    this.#cache.delete(key);
    if (this.#loading.has(key)) this.#overtaking.set(key, UNSURE);
  }

  async read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    const id = viewId(view);
    const keys = entityKeys.map((entityKey) => cacheKey(id, entityKey));
    const found = keys.map((key) => this.#cache.get(key));
    const lacks = found.flatMap((held, at) => (held === undefined ? [at] : []));
    this.#hits.inc(keys.length - lacks.length);
    if (lacks.length > 0) {
      this.#misses.inc(lacks.length);
      this.#load(view, new Map(lacks.map((at) => [keys[at] as string, entityKeys[at] as EntityKey])));
      const loads = lacks.map((at) => this.#loading.get(keys[at] as string));
      for (const [index, at] of lacks.entries()) found[at] = (await loads[index])?.get(keys[at] as string);
    }
    return found.map((held) => (held === ABSENT ? undefined : held));
  }

  /** Begins to read what is not being read. */
  #load(view: ViewReference, entities: Map<string, EntityKey>): void {
    for (const key of entities.keys()) if (this.#loading.has(key)) entities.delete(key);
    if (entities.size === 0) return;
    const loading = this.#readInner(view, entities);
    // Each reader sees the failure.
    loading.catch(() => {});
    for (const key of entities.keys()) this.#loading.set(key, loading);
  }

  async #readInner(view: ViewReference, entities: ReadonlyMap<string, EntityKey>): Promise<ReadonlyMap<string, Held>> {
    const found = new Map<string, Held>();
    try {
      const rows = await this.#inner.read(view, [...entities.values()]);
      for (const [at, key] of [...entities.keys()].entries()) {
        const read: Held = rows[at] ?? ABSENT;
        const overtaking = this.#overtaking.get(key);
        const held = overtaking === undefined || overtaking === UNSURE ? read : newerOf(overtaking, read);
        found.set(key, held);
        if (overtaking !== UNSURE) this.#cache.set(key, held);
      }
    } finally {
      for (const key of entities.keys()) {
        this.#loading.delete(key);
        this.#overtaking.delete(key);
      }
    }
    return found;
  }

  increment(entityKey: EntityKey, counter: string, by: number): Promise<number> {
    return this.#inner.increment(entityKey, counter, by);
  }

  readCounters(entityKey: EntityKey): Promise<Readonly<Record<string, number>>> {
    return this.#inner.readCounters(entityKey);
  }

  async erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number> {
    const erased = await this.#inner.erase(views, entityKey);
    for (const view of views) {
      const key = cacheKey(viewId(view), entityKey);
      this.#forget(key);
      for (const write of this.#writes) write.add(key);
    }
    return erased;
  }

  async checkHealth(): Promise<void> {
    await this.#inner.checkHealth?.();
  }

  drain(signal: AbortSignal): Promise<void> {
    return this.#inner.drain(signal);
  }

  stop(): Promise<void> {
    return this.#inner.stop();
  }
}

/** The row that counts; where there was none, the new one does. */
const newerOf = (row: FeatureRow, held: Held | undefined): FeatureRow =>
  held === undefined || held === ABSENT || replaces(row, held) ? row : held;

const cacheKey = (view: string, entityKey: EntityKey): string => `${view}\u0000${entityKey}`;
