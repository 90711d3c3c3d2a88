const KEPT = 1_000;

/** The last values of an arm, and how many there were. */
export class LastValues {
  readonly #values = new Float64Array(KEPT);
  #count = 0;

  add(value: number): void {
    this.#values[this.#count % KEPT] = value;
    this.#count += 1;
  }

  /** All that were added, also those that are not kept. */
  get count(): number {
    return this.#count;
  }

  /** Those that are kept, in no order. */
  values(): Float64Array {
    return this.#values.subarray(0, Math.min(this.#count, KEPT));
  }
}
