import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { OfflineStores } from '#feature_store/offline_stores';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { Gauge, type Registry } from '#monitoring/metrics';
import { compareStores } from './consistency.ts';

interface Deps {
  readonly online: OnlineStore;
  readonly offline: Pick<OfflineStores, 'features'>;
  readonly views: readonly FeatureView[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** Compares both stores now and then, on a sample of each view's entities, and tells by a metric how far they agree. */
export class ConsistencyMonitor implements Service {
  readonly name = 'consistency of the stores';
  readonly #deps: Deps;
  readonly #settings: { readonly intervalMs: number; readonly sample: number };
  readonly #share: Gauge<'view'>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(deps: Deps, settings: { readonly intervalMs: number; readonly sample: number }) {
    this.#deps = deps;
    this.#settings = settings;
    this.#log = deps.log.child({ component: 'feature_store.consistency' });
    this.#share = new Gauge({
      name: 'feature_store_consistency_share',
      help: 'Share of values that are the same online and in history, of a sample of entities',
      labelNames: ['view'],
      registers: [deps.metrics],
    });
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.compare());
    }, this.#settings.intervalMs);
    this.#timer.unref();
  }

  /** Compares every view once; what fails is logged, and the metric stays. */
  async compare(): Promise<void> {
    for (const view of this.#deps.views) {
      if (this.#timer === undefined) return;
      try {
        const { share, entities, examples } = await compareStores(view, this.#deps, this.#settings.sample);
        if (entities === 0) continue;
        this.#share.set({ view: viewId(view) }, share);
        if (share < 1) this.#log.info({ view: viewId(view), share, example: examples[0] }, 'stores.differ');
      } catch (error) {
        this.#log.warn({ view: viewId(view), error }, 'consistency.not_compared');
      }
    }
  }

  async drain(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  stop(): Promise<void> {
    return this.drain();
  }
}
