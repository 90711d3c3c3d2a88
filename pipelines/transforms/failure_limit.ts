/** When the features of a view fail for more than a share of its newest events, the view stops. */
export interface FailureLimit {
  /** 0 to 1. */
  readonly share: number;
  /** So many events are looked at before that. */
  readonly minEvents: number;
}

export const DEFAULT_FAILURE_LIMIT: FailureLimit = { share: 0.5, minEvents: 100 };

/** Older events weigh less: counts are halved when they reach so many times `minEvents`. */
const REMEMBERED = 10;

/** Counts how many of the newest events have failed. */
export class FailureShare {
  readonly #limit: FailureLimit;
  #events = 0;
  #failed = 0;
  #isExceeded = false;

  constructor(limit: FailureLimit) {
    this.#limit = limit;
  }

  /** Stays so once it was. */
  get isExceeded(): boolean {
    return this.#isExceeded;
  }

  /** What the counts are now, for messages. */
  get counts(): { readonly events: number; readonly failed: number } {
    return { events: this.#events, failed: this.#failed };
  }

  add(hasFailed: boolean): void {
    const { share, minEvents } = this.#limit;
    this.#events += 1;
    if (hasFailed) {
      this.#failed += 1;
      if (this.#events >= minEvents && this.#failed > share * this.#events) this.#isExceeded = true;
    }
    if (this.#events < REMEMBERED * minEvents) return;
    this.#events /= 2;
    this.#failed /= 2;
  }
}
