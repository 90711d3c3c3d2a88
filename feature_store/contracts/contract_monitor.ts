import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import type { Service } from '#kernel/lifecycle';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { Gauge, type Registry } from '#monitoring/metrics';
import { type ContractSources, checkContract } from './check_contract.ts';

interface Deps {
  readonly offline: ContractSources;
  readonly views: readonly FeatureView[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

/** Compares rows with the contracts of their views, again and again, and reports what is broken by a metric and in the log. */
export class ContractMonitor implements Service {
  readonly name = 'contracts of views';
  readonly #deps: Deps;
  readonly #intervalMs: number;
  readonly #broken: Gauge<'view' | 'term' | 'feature'>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(deps: Deps, { intervalMs }: { readonly intervalMs: number }) {
    this.#deps = deps;
    this.#intervalMs = intervalMs;
    this.#log = deps.log.child({ component: 'feature_store.contracts' });
    this.#broken = new Gauge({
      name: 'view_contract_broken',
      help: 'Whether rows of a view break a term of its contract: freshness, missing values of a feature, violations of rules',
      labelNames: ['view', 'term', 'feature'],
      registers: [deps.metrics],
    });
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.check());
    }, this.#intervalMs);
    this.#timer.unref();
  }

  /** Compares every view once; a view whose rows cannot be read is logged, and its metric stays. */
  async check(): Promise<void> {
    const { views, offline, clock } = this.#deps;
    for (const view of views) {
      try {
        for (const found of await checkContract(offline, view, clock.now())) {
          this.#broken.set({ view: found.view, term: found.term, feature: found.feature ?? '' }, found.holds ? 0 : 1);
          if (!found.holds) this.#log.warn({ ...found }, 'contract.broken');
        }
      } catch (error) {
        this.#log.warn({ view: viewId(view), error }, 'contract.not_checked');
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
