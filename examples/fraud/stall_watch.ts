/** Tells when work has stopped: a deadline that follows progress, so that a slow machine has as long as it needs. */
export class StallWatch {
  readonly #stalledAfterMs: number;
  readonly #now: () => number;
  #done = Number.NaN;
  #sinceMs: number;

  /** @param now - milliseconds; a parameter for tests */
  constructor(stalledAfterMs: number, now: () => number = Date.now) {
    this.#stalledAfterMs = stalledAfterMs;
    this.#now = now;
    this.#sinceMs = now();
  }

  /**
   * @param done - how much is done; any change is progress
   * @returns whether nothing has changed for longer than allowed
   */
  isStalled(done: number): boolean {
    if (done !== this.#done) {
      this.#done = done;
      this.#sinceMs = this.#now();
    }
    return this.#now() - this.#sinceMs > this.#stalledAfterMs;
  }
}
