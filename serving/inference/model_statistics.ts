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
  /** Since the epoch. */
  lastAtMs: number;
}

/** Sums of requests and rows by version, as the Open Inference Protocol's statistics extension has them. */
export class ModelStatistics {
  readonly #versions = new Map<string, VersionStatistics>();
  /** The same, by what is at hand for every request. */
  readonly #known = new WeakMap<object, VersionStatistics>();

  #of(active: ActiveModel): VersionStatistics {
    const known = this.#known.get(active);
    if (known !== undefined) return known;
    const { name, version } = active;
    const key = `${name}/${version}`;
    let found = this.#versions.get(key);
    if (found === undefined) {
      const none = { requests: 0, rows: 0, requestMs: 0, queueMs: 0, inferMs: 0, failures: 0, failureMs: 0 };
      found = { name, version, ...none, lastAtMs: 0 };
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
