/** Lets a bounded number of calls run at once; the others wait in the order in which they came. */
export class Concurrency {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #next = 0;
  #running = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get isFull(): boolean {
    return this.#running >= this.#most;
  }

  /** Takes a place; call when there is one. */
  enter(): void {
    this.#running += 1;
  }

  /** Resolves when the caller has a place. */
  async free(): Promise<void> {
    if (this.isFull) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.enter();
  }

  /** Gives a place back: to the one that has waited longest. */
  leave(): void {
    const next = this.#waiting[this.#next];
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    this.#next += 1;
    if (this.#next === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#next = 0;
    }
    next();
  }
}
