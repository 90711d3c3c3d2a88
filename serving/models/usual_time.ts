const WEIGHT = 0.05;
/** Times the usual: more is what one measurement does not stand for. */
const MOST = 3;
/** Below that, differences do not matter, ms. */
const LEAST_MS = 0.0005;

/** The fastest of so many is where it begins: the first ones are slow until V8 has optimised them, and say nothing of what is to come. */
const FIRST = 20;

/** What something usually takes: a moving average that one moment in which the process was held up hardly changes. */
export class UsualTime {
  #ms = 0;
  #count = 0;

  get ms(): number {
    return this.#ms;
  }

  add(ms: number): void {
    this.#count += 1;
    if (this.#count <= FIRST) this.#ms = this.#count === 1 ? ms : Math.min(this.#ms, ms);
    else this.#ms += WEIGHT * (Math.min(ms, MOST * Math.max(this.#ms, LEAST_MS)) - this.#ms);
  }
}
