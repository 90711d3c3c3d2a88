/**
 * Pearson's correlation of pairs that come one after the other, in one pass: the co-moments are those of Pébay, Formulas for Robust, One-Pass Parallel Computation of
 * Covariances (2008), which do not lose digits where means are large.
 */
export class Correlation {
  pairs = 0;
  #meanX = 0;
  #meanY = 0;
  #xx = 0;
  #yy = 0;
  #xy = 0;

  add(x: number, y: number): void {
    this.pairs += 1;
    const dx = x - this.#meanX;
    const dy = y - this.#meanY;
    this.#meanX += dx / this.pairs;
    this.#meanY += dy / this.pairs;
    this.#xx += dx * (x - this.#meanX);
    this.#yy += dy * (y - this.#meanY);
    this.#xy += dx * (y - this.#meanY);
  }

  /** From -1 to 1; NaN where one of the two does not vary. */
  get value(): number {
    const value = this.#xy / Math.sqrt(this.#xx * this.#yy);
    return Number.isFinite(value) ? Math.max(-1, Math.min(1, value)) : Number.NaN;
  }
}
