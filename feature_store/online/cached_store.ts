import { LRUCache } from 'lru-cache';
import type { EntityKey } from '#feature_store/definitions/entity_key';
import { type FeatureRow, replaces, type ViewReference, viewId } from '#feature_store/definitions/feature_row';
import { Counter, type Registry } from '#monitoring/metrics';
import type { OnlineStore, WriteResult } from './online_store.ts';

/** What an entity without a row is cached as. */
const ABSENT = Symbol('absent');

/**
 * A cache in the process before another online store: bounded, with a time to live, one read under way per key however many
 * ask. Rows written through it are refreshed at once; those written by other processes show after `ttlMs` at the latest.
 */
export class CachedOnlineStore implements OnlineStore {
  readonly kind: string;
  readonly name: string;
  readonly #inner: OnlineStore;
  readonly #cache: LRUCache<string, FeatureRow | typeof ABSENT>;
  readonly #loading = new Map<string, Promise<FeatureRow | undefined>>();
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
    const result = await this.#inner.write(rows);
    for (const row of rows) {
      const key = cacheKey(row, row.entityKey);
      const held = this.#cache.get(key);
      // Absent from the cache stays absent: what is never read need not be kept.
      if (held === undefined) continue;
      if (held === ABSENT || replaces(row, held)) this.#cache.set(key, row);
    }
    return result;
  }

  async read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    return Promise.all(entityKeys.map((entityKey) => this.#readOne(view, entityKey)));
  }

  #readOne(view: ViewReference, entityKey: EntityKey): FeatureRow | undefined | Promise<FeatureRow | undefined> {
    const key = cacheKey(view, entityKey);
    const held = this.#cache.get(key);
    if (held !== undefined) {
      this.#hits.inc();
      return held === ABSENT ? undefined : held;
    }
    this.#misses.inc();
    const underWay = this.#loading.get(key);
    if (underWay !== undefined) return underWay;
    const loading = this.#inner
      .read(view, [entityKey])
      .then(([row]) => {
        this.#cache.set(key, row ?? ABSENT);
        return row;
      })
      .finally(() => this.#loading.delete(key));
    this.#loading.set(key, loading);
    return loading;
  }

  increment(entityKey: EntityKey, counter: string, by: number): Promise<number> {
    return this.#inner.increment(entityKey, counter, by);
  }

  readCounters(entityKey: EntityKey): Promise<Readonly<Record<string, number>>> {
    return this.#inner.readCounters(entityKey);
  }

  async erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number> {
    const erased = await this.#inner.erase(views, entityKey);
    for (const view of views) this.#cache.delete(cacheKey(view, entityKey));
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

const cacheKey = (view: ViewReference, entityKey: EntityKey): string => `${viewId(view)}\u0000${entityKey}`;
