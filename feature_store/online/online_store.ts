import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow, ViewReference } from '#feature_store/definitions/values/feature_row';
import type { Service } from '#kernel/lifecycle';
import type { StoreContents } from './store_contents.ts';

/** What became of rows that were written. */
export interface WriteResult {
  /** Rows that are in the store, or were until another one of the same call replaced them. */
  readonly written: number;
  /** Rows refused because the store already held a newer event time for that entity and view, or the call did; and expired ones. */
  readonly stale: number;
}

/** Latest row per entity and view. A row never replaces one with a later event time; equal times replace. */
export interface OnlineStore extends Service {
  readonly kind: string;
  /** What it knows of its completeness; absent where no other process can empty it. */
  readonly contents?: StoreContents;
  /** Durable when resolved (as durable as the store is); safe to repeat. */
  write(rows: readonly FeatureRow[]): Promise<WriteResult>;
  /** One answer per key, in order; undefined when the entity has no row or it is older than the view's ttl. */
  read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]>;
  /**
   * Adds to a counter of an entity, beside its features, at once however many ask. Counted again when repeated: for what may be counted
   * without events, such as attempts.
   *
   * @param by - an integer; 0 reads
   * @returns what it is then; counters begin at 0
   * @throws {CounterLimitError} in the platform's own stores, where that is beyond ±`LARGEST_COUNT`; the counter stays as it was
   */
  increment(entityKey: EntityKey, counter: string, by: number): Promise<number>;
  /** An entity's counters by name. */
  readCounters(entityKey: EntityKey): Promise<Readonly<Record<string, number>>>;
  /**
   * Reads and writes something of its own. Absent where the store is of this process.
   * @throws {PlatformError} while the store does not answer, is read-only or full
   */
  checkHealth?(): Promise<void>;
  /** Forgets an entity: its rows of these views, and its counters. @returns how many rows there were */
  erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number>;
}
