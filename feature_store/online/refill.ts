import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';
import type { ErasureStore } from '#feature_store/erasure/erasure_store';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import { writeUnerased } from '#feature_store/online/write_unerased';
import { messageOf } from '#kernel/errors';
import type { Service } from '#kernel/lifecycle';
import type { HealthSource, HealthState } from '#monitoring/health';
import type { Logger } from '#monitoring/log';
import { Counter, Gauge, type Registry } from '#monitoring/metrics';
import type { OnlineStore } from './online_store.ts';
import type { RefillProgress, StoreContents } from './store_contents.ts';

export interface RefillDeps {
  /** The store itself, without a cache before it. */
  readonly online: Pick<OnlineStore, 'write' | 'read' | 'erase'> & { readonly contents: StoreContents };
  readonly offline: {
    readonly features: Pick<OfflineStore, 'newestRows' | 'rowsComputedSince'>;
    readonly erasures: Pick<ErasureStore, 'read'>;
  };
  readonly views: readonly ViewReference[];
  readonly log: Logger;
  readonly metrics: Registry;
}

export interface RefillSettings {
  /** At most so many rows a second, so that live reads and writes keep their latency. */
  readonly rowsPerSecond?: number;
  /** How often the store's marks are looked at. */
  readonly checkEveryMs?: number;
  /** A process that should not do the work waits so long for another one to begin, ms. */
  readonly standbyMs?: number;
  /** Rows may become durable in history so long after they were written online: those computed since are looked at once more, ms. */
  readonly settleMs?: number;
}

const CHECK_EVERY_MS = 5_000;
const LOCK_MS = 15_000;
const PAGE_ROWS = 500;
const ROWS_PER_SECOND = 20_000;
/** A sink writes a row at most so long after it was computed, or its job restarts and computes it again. */
const LONGEST_DELIVERY_MS = 660_000;
/** Longer than a sink waits between two tries. */
const SETTLE_MS = 12_000;
/** Of its time a refill works at most a third, and leaves the stores to others for the rest. */
const REST_FOR_WORK = 2;

class RefillEndedError extends Error {}

/**
 * Watches whether the online store is complete, and fills it from history when it was emptied: every entity's newest row, through
 * compare-and-set, so that what the stream writes meanwhile stays. One worker at a time works, by a lock in the store; where one stops, the next
 * resumes. Reads are right meanwhile (see FallbackOnlineStore).
 */
export class OnlineStoreRefill implements Service, HealthSource {
  readonly kind = 'job';
  readonly name = 'online store refill';
  readonly #deps: RefillDeps;
  readonly #settings: RefillSettings;
  readonly #log: Logger;
  readonly #owner = randomUUID();
  readonly #stopped = new AbortController();
  readonly #rows: Counter;
  readonly #share: Gauge;
  readonly #runningGauge: Gauge;
  #running: Promise<void> | undefined;
  #incompleteSinceMs: number | undefined;
  #isWorking = false;
  #written = 0;
  #error: string | undefined;

  constructor(deps: RefillDeps, settings: RefillSettings) {
    this.#deps = deps;
    this.#settings = settings;
    this.#log = deps.log.child({ component: 'feature_store.refill' });
    const registers = [deps.metrics];
    this.#rows = new Counter({
      name: 'online_store_warmup_rows_total',
      help: 'Rows put into the online store from history, after it was emptied',
      registers,
    });
    this.#share = new Gauge({
      name: 'online_store_warmup_share',
      help: 'Share of the views that the refill under way has finished; 1 while the online store is complete',
      registers,
    });
    this.#runningGauge = new Gauge({
      name: 'online_store_warmup_running',
      help: '1 while this process refills the online store',
      registers,
    });
    new Gauge({
      name: 'online_store_complete',
      help: '1 while the online store is known to hold the newest row of every entity; reads look into history otherwise',
      registers,
      collect(): void {
        this.set(deps.online.contents.isComplete ? 1 : 0);
      },
    });
  }

  #setRunning(isRunning: boolean): void {
    this.#isWorking = isRunning;
    this.#runningGauge.set(isRunning ? 1 : 0);
  }

  state(): HealthState {
    if (this.#deps.online.contents.isComplete) return { status: 'up' };
    const what = this.#isWorking ? `it is being filled: ${this.#written} rows so far` : 'another process fills it';
    const problem = this.#error === undefined ? '' : `; it has failed: ${this.#error}`;
    return {
      status: 'degraded',
      reason: `the online store is not complete, reads look into history; ${what}${problem}`,
    };
  }

  async start(): Promise<void> {
    await this.#checkOnce();
    this.#running = this.#watch();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopped;
    const { checkEveryMs = CHECK_EVERY_MS } = this.#settings;
    while (!signal.aborted) {
      await this.#checkOnce();
      await sleep(checkEveryMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** Looks at the store, and fills it when it is not complete. Never rejects. */
  async #checkOnce(): Promise<void> {
    const { contents } = this.#deps.online;
    const { standbyMs = 0 } = this.#settings;
    try {
      if (await contents.check()) {
        this.#incompleteSinceMs = undefined;
        this.#error = undefined;
        this.#share.set(1);
        return;
      }
      this.#incompleteSinceMs ??= Date.now();
      if (this.#running === undefined || Date.now() - this.#incompleteSinceMs < standbyMs) return;
      await this.#refill();
    } catch (error) {
      this.#setRunning(false);
      if (error instanceof RefillEndedError) {
        this.#log.warn({ reason: error.message }, 'online_store.refill_ended');
        return;
      }
      this.#error = messageOf(error);
      this.#log.warn({ error }, 'online_store.refill_failed');
    }
  }

  async #refill(): Promise<void> {
    const { online, views } = this.#deps;
    const { contents } = online;
    if (!(await contents.lock(this.#owner, LOCK_MS))) return;
    const beganMs = Date.now();
    let progress = await contents.begin(this.#owner);
    this.#setRunning(true);
    this.#written = progress.rows;
    this.#log.warn({ resumedAfterRows: progress.rows, views: views.length }, 'online_store.refill_begun');
    for (const view of views) {
      const id = viewId(view);
      if (progress.done.includes(id)) continue;
      this.#share.set(progress.done.length / views.length);
      progress = await this.#fillView(view, progress);
      progress = { token: progress.token, done: [...progress.done, id], rows: progress.rows };
      await this.#save(progress);
      this.#log.info({ view: id, rows: progress.rows, done: progress.done.length }, 'online_store.refill_view_done');
    }
    await this.#settle(beganMs);
    if (!(await contents.finish(this.#owner, progress)))
      throw new RefillEndedError('the online store was emptied again or has changed its server: it is filled anew');
    await contents.unlock(this.#owner);
    this.#share.set(1);
    this.#setRunning(false);
    this.#log.warn({ rows: this.#written, tookMs: Date.now() - beganMs }, 'online_store.refill_done');
  }

  async #fillView(view: ViewReference, from: RefillProgress): Promise<RefillProgress> {
    const { offline } = this.#deps;
    const id = viewId(view);
    let progress: RefillProgress = from.view === id ? from : { ...from, view: id, after: undefined };
    for (;;) {
      const beganMs = performance.now();
      const { after } = progress;
      const readAtMs = Date.now();
      const rows = await offline.features.newestRows(view, {
        limit: PAGE_ROWS,
        ...(after === undefined ? {} : { after }),
      });
      if (rows.length === 0) return progress;
      await this.#write(rows, readAtMs);
      progress = { ...progress, after: rows.at(-1)?.entityKey, rows: progress.rows + rows.length };
      await this.#save(progress);
      await this.#rest(rows.length, performance.now() - beganMs);
    }
  }

  async #write(rows: readonly FeatureRow[], readAtMs: number): Promise<void> {
    await writeUnerased(this.#deps, rows, readAtMs);
    this.#rows.inc(rows.length);
    this.#written += rows.length;
  }

  /** Renews the lock and keeps the place. @throws {RefillEndedError} when the work is not this worker's any more */
  async #save(progress: RefillProgress): Promise<void> {
    const { contents } = this.#deps.online;
    if (this.#stopped.signal.aborted) throw new RefillEndedError('this process stops; the next one resumes');
    if (!(await contents.lock(this.#owner, LOCK_MS))) throw new RefillEndedError('another process has taken over');
    if (!(await contents.save(this.#owner, progress)))
      throw new RefillEndedError('the online store was emptied again: it is filled anew');
  }

  async #rest(rows: number, workedMs: number): Promise<void> {
    const { rowsPerSecond = ROWS_PER_SECOND } = this.#settings;
    const atLeastMs = (rows / rowsPerSecond) * 1_000 - workedMs;
    const restMs = Math.max(atLeastMs, REST_FOR_WORK * workedMs);
    await sleep(restMs, undefined, { signal: this.#stopped.signal, ref: false }).catch(() => {});
  }

  /**
   * A row that was online before the store was emptied may have become durable in history only after its entity was passed: what was computed
   * shortly before and since is written once more.
   */
  async #settle(beganMs: number): Promise<void> {
    const { offline, views, online } = this.#deps;
    const { settleMs = SETTLE_MS } = this.#settings;
    const settleUntil = Date.now() + settleMs;
    while (Date.now() < settleUntil) {
      await sleep(Math.min(1_000, settleMs), undefined, { signal: this.#stopped.signal, ref: false }).catch(() => {});
      if (this.#stopped.signal.aborted) throw new RefillEndedError('this process stops; the next one resumes');
      await online.contents.lock(this.#owner, LOCK_MS);
    }
    for (const view of views) {
      let after: FeatureRow | undefined;
      for (;;) {
        const workBeganMs = performance.now();
        const since = beganMs - LONGEST_DELIVERY_MS;
        const readAtMs = Date.now();
        const rows = await offline.features.rowsComputedSince(view, since, { limit: PAGE_ROWS, after });
        if (rows.length === 0) break;
        await this.#write(rows, readAtMs);
        after = rows.at(-1);
        if (!(await online.contents.lock(this.#owner, LOCK_MS)))
          throw new RefillEndedError('another process has taken over');
        await this.#rest(rows.length, performance.now() - workBeganMs);
      }
    }
  }

  async drain(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    await this.#deps.online.contents.unlock(this.#owner).catch(() => {});
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }
}
