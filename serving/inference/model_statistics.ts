import { type LatencyCounts, LatencyHistogram } from '#monitoring/latency_histogram';
import type { Registry } from '#monitoring/metrics';
import type { ActiveModel } from '../models/model_slot.ts';

/** What the versions of a model have computed, in milliseconds, since the process began. */
export interface VersionStatistics {
  readonly name: string;
  readonly version: number;
  requests: number;
  rows: number;
  requestMs: number;
  queueMs: number;
  inferMs: number;
  failures: number;
  failureMs: number;
  readonly latency: LatencyCounts;
  /** Since the epoch. */
  lastAtMs: number;
}

/** Sums of requests and rows by version, as the Open Inference Protocol's statistics extension has them. */
export class ModelStatistics {
  readonly #latency: LatencyHistogram<'model' | 'version'>;
  readonly #versions = new Map<string, VersionStatistics>();
  /** The same, by what is at hand for every request. */
  readonly #known = new WeakMap<object, VersionStatistics>();

  constructor(metrics: Registry) {
    this.#latency = new LatencyHistogram({
      name: 'model_latency_seconds',
      help: 'From the rows of a request ready to the output of the version ready, waiting for other requests included',
      labelNames: ['model', 'version'],
      registers: [metrics],
    });
  }

  #of(active: ActiveModel): VersionStatistics {
    const known = this.#known.get(active);
    if (known !== undefined) return known;
    const { name, version } = active;
    const key = `${name}/${version}`;
    let found = this.#versions.get(key);
    if (found === undefined) {
      const none = { requests: 0, rows: 0, requestMs: 0, queueMs: 0, inferMs: 0, failures: 0, failureMs: 0 };
      const latency = this.#latency.countsOf({ model: name, version: String(version) });
      found = { name, version, ...none, lastAtMs: 0, latency };
      this.#versions.set(key, found);
    }
    this.#known.set(active, found);
    return found;
  }

  /** @param tookMs - from the rows ready to their output ready, of which `queueMs` were waited */
  succeed(active: ActiveModel, rows: number, tookMs: number, queueMs = 0): void {
    const sums = this.#of(active);
    sums.requests += 1;
    sums.rows += rows;
    sums.requestMs += tookMs;
    sums.latency.observeMs(tookMs);
    sums.queueMs += queueMs;
    sums.inferMs += tookMs - queueMs;
    sums.lastAtMs = Date.now();
  }

  fail(active: ActiveModel, tookMs: number): void {
    const sums = this.#of(active);
    sums.failures += 1;
    sums.failureMs += tookMs;
  }

  /** Returns the versions of a model that have computed something, or of all models. */
  of(name: string | undefined): readonly VersionStatistics[] {
    return [...this.#versions.values()].filter((each) => name === undefined || each.name === name);
  }
}
