import { BrokenCircuitError, type CircuitBreakerPolicy } from 'cockatiel';
import { createCircuit } from '#connectors/circuit';
import type { EntityKey } from '#feature_store/definitions/entity_key';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/feature_row';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { Counter, type Registry } from '#monitoring/metrics';
import { OfflineStoreError, OnlineStoreError } from '../errors.ts';
import type { OnlineStore, WriteResult } from './online_store.ts';

export interface FallbackDeps {
  readonly offline: Pick<OfflineStore, 'newestOf'>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Registry;
  /** By view id; rows older than that are not served. */
  readonly ttlMs: ReadonlyMap<string, number>;
}

const FAILURES_BEFORE_OPEN = 3;

/**
 * Reads from history while the online store does not answer: slower, and right. After three failures in a row the online store is left alone
 * for a second at a time, so that readers do not wait for it. Writes are not taken over: whoever writes waits until the store is back.
 */
export class FallbackOnlineStore implements OnlineStore {
  readonly kind: string;
  readonly name: string;
  readonly #inner: OnlineStore;
  readonly #deps: FallbackDeps;
  readonly #circuit: CircuitBreakerPolicy;
  readonly #historyCircuit: CircuitBreakerPolicy;
  readonly #fellBack: Counter;

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
  }

  start(signal: AbortSignal): Promise<void> {
    return this.#inner.start(signal);
  }

  write(rows: readonly FeatureRow[]): Promise<WriteResult> {
    return this.#inner.write(rows);
  }

  async read(view: ViewReference, entityKeys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    try {
      return await this.#circuit.execute(() => this.#inner.read(view, entityKeys));
    } catch (error) {
      if (!(error instanceof OnlineStoreError || error instanceof BrokenCircuitError)) throw error;
      this.#fellBack.inc();
      return this.#fallBack(view, entityKeys);
    }
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

  erase(views: readonly ViewReference[], entityKey: EntityKey): Promise<number> {
    return this.#inner.erase(views, entityKey);
  }

  async #readHistory(view: ViewReference, entityKeys: readonly EntityKey[]) {
    const { offline, clock, ttlMs } = this.#deps;
    const rows = new Map((await offline.newestOf(view, entityKeys)).map((row) => [row.entityKey, row]));
    const oldest = clock.now() - (ttlMs.get(viewId(view)) ?? Number.POSITIVE_INFINITY);
    return entityKeys.map((key) => {
      const row = rows.get(key);
      return row !== undefined && row.eventTime >= oldest ? row : undefined;
    });
  }

  drain(signal: AbortSignal): Promise<void> {
    return this.#inner.drain(signal);
  }

  stop(): Promise<void> {
    return this.#inner.stop();
  }
}
