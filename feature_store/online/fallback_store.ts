import { BrokenCircuitError, type CircuitBreakerPolicy } from 'cockatiel';
import { createCircuit } from '#connectors/circuit';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';
import { oldestReadable } from '#feature_store/definitions/values/ttl';
import type { ErasureStore } from '#feature_store/erasure/erasure_store';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { writeUnerased } from '#feature_store/online/write_unerased';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';
import { OfflineStoreError, OnlineStoreError } from '../errors.ts';
import type { OnlineStore, WriteResult } from './online_store.ts';
import type { StoreContents } from './store_contents.ts';

export interface FallbackDeps {
  readonly offline: {
    readonly features: Pick<OfflineStore, 'newestOf'>;
    readonly erasures: Pick<ErasureStore, 'read'>;
  };
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Registry;
  /** By view id; rows older than that are not served. */
  readonly ttlMs: ReadonlyMap<string, number>;
}

const FAILURES_BEFORE_OPEN = 3;

/**
 * Reads from history while the online store does not answer: slower, and right. After three failures in a row the online store is left alone
 * for a second at a time, so that readers do not wait for it. While the store is not known to be complete, as after FLUSHALL, a row that it lacks
 * comes from history as well. Writes are not taken over: a writer waits until the store is back.
 */
export class FallbackOnlineStore implements OnlineStore {
  readonly kind: string;
  readonly name: string;
  readonly #inner: OnlineStore;
  readonly #deps: FallbackDeps;
  readonly #circuit: CircuitBreakerPolicy;
  readonly #historyCircuit: CircuitBreakerPolicy;
  readonly #fellBack: Counter;
  readonly #lookedUp: Counter;
  #isWritingBack = false;

  constructor(inner: OnlineStore, deps: FallbackDeps) {
    this.#inner = inner;
    this.kind = inner.kind;
    this.name = inner.name;
    this.#deps = deps;
    const log = deps.log.child({ component: 'feature_store.online' });
    this.#circuit = createCircuit(
      { log, metrics: deps.metrics },
      {
        target: 'online store reads',
        failuresBeforeOpen: FAILURES_BEFORE_OPEN,
        isFailure: (error) => error instanceof OnlineStoreError,
      },
    );
    this.#historyCircuit = createCircuit(
      { log, metrics: deps.metrics },
      {
        target: 'history read instead',
        failuresBeforeOpen: FAILURES_BEFORE_OPEN,
        isFailure: (error) => error instanceof OfflineStoreError,
      },
    );
    this.#fellBack = new Counter({
      name: 'online_store_fallbacks_total',
      help: 'Reads answered from history because the online store did not answer',
      registers: [deps.metrics],
    });
    this.#lookedUp = new Counter({
      name: 'online_store_history_lookups_total',
      help: 'Rows looked up in history because the online store had been emptied and was not filled again',
      registers: [deps.metrics],
    });
  }

  start(signal: AbortSignal): Promise<void> {
    return this.#inner.start(signal);
  }

  write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    return this.#inner.write(rows);
  }

  async read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    let rows: readonly (FeatureRow | undefined)[];
    try {
      rows = await this.#circuit.execute(() => this.#inner.read(view, entityKeys));
    } catch (error) {
      if (!(error instanceof OnlineStoreError || error instanceof BrokenCircuitError)) throw error;
      this.#fellBack.inc();
      return this.#fallBack(view, entityKeys);
    }
    return this.#inner.contents === undefined ? rows : this.#withHistory(this.#inner.contents, view, entityKeys, rows);
  }

  /** Rows that a store which was emptied lacks, from history: no row is an answer of a complete store alone. */
  #withHistory(
    contents: StoreContents,
    view: ViewReference,
    entityKeys: readonly EntityKey[],
    rows: readonly (FeatureRow | undefined)[],
  ): readonly (FeatureRow | undefined)[] | Promise<readonly (FeatureRow | undefined)[]> {
    const missing = entityKeys.filter((_, index) => rows[index] === undefined);
    return missing.length === 0 ? rows : this.#readMissing(contents, view, missing, entityKeys, rows);
  }

  async #readMissing(
    contents: StoreContents,
    view: ViewReference,
    missing: readonly EntityKey[],
    entityKeys: readonly EntityKey[],
    rows: readonly (FeatureRow | undefined)[],
  ): Promise<readonly (FeatureRow | undefined)[]> {
    // What cannot be confirmed is not.
    if (contents.isComplete && (await contents.confirmMissing(missing).catch(() => false))) return rows;
    this.#lookedUp.inc(missing.length);
    const unique = [...new Set(missing)];
    const readAtMs = Date.now();
    const found = await this.#fallBack(view, unique);
    const byKey = new Map(unique.map((key, index) => [key, found[index]]));
    this.#writeBack(found, readAtMs);
    return entityKeys.map((key, index) => rows[index] ?? byKey.get(key));
  }

  /** What is read is online again without waiting for the refill; one batch at a time, the others are left to it. */
  #writeBack(found: readonly (FeatureRow | undefined)[], readAtMs: number): void {
    const rows = found.filter((row) => row !== undefined);
    if (this.#isWritingBack || rows.length === 0) return;
    this.#isWritingBack = true;
    writeUnerased({ online: this.#inner, offline: this.#deps.offline }, rows, readAtMs)
      .catch(() => {})
      .finally(() => {
        this.#isWritingBack = false;
      });
  }

  /** @throws {@link OnlineStoreError} at once while history does not answer either */
  async #fallBack(view: ViewReference, entityKeys: readonly EntityKey[]) {
    try {
      return await this.#historyCircuit.execute(() => this.#readHistory(view, entityKeys));
    } catch (error) {
      if (error instanceof BrokenCircuitError) throw new OnlineStoreError('read', error);
      throw error;
    }
  }

  increment(entityKey: EntityKey, counter: string, by: number): Promise<number> {
    return this.#inner.increment(entityKey, counter, by);
  }

  readCounters(entityKey: EntityKey): Promise<Readonly<Record<string, number>>> {
    return this.#inner.readCounters(entityKey);
  }

  erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number> {
    return this.#inner.erase(views, entityKey);
  }

  async #readHistory(view: ViewReference, entityKeys: readonly EntityKey[]) {
    const { offline, clock, ttlMs } = this.#deps;
    const rows = new Map((await offline.features.newestOf(view, entityKeys)).map((row) => [row.entityKey, row]));
    const oldest = oldestReadable(clock.now(), ttlMs.get(viewId(view)));
    return entityKeys.map((key) => {
      const row = rows.get(key);
      return row !== undefined && row.eventTime >= oldest ? row : undefined;
    });
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
