const WEIGHT = 0.05;
/** Times the usual: more is what one measurement does not stand for. */
const MOST = 3;
/** Below that, differences do not matter, ms. */
const LEAST_MS = 0.0005;

/** What something usually takes: a moving average that one moment in which the process was held up hardly changes. */
export class UsualTime {
  #ms = 0;

  get ms(): number {
    return this.#ms;
  }

  add(ms: number): void {
    if (this.#ms === 0) this.#ms = ms;
    else this.#ms += WEIGHT * (Math.min(ms, MOST * Math.max(this.#ms, LEAST_MS)) - this.#ms);
  }
}
