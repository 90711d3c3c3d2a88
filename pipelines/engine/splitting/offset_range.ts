import type { RestrictionTracker } from './splittable.ts';

/** Positions from `from` up to before `to`: lines, records, indexes. */
export interface OffsetRange {
  readonly from: number;
  readonly to: number;
}

/** Claims positions of a range in growing order; those claimed last end what is done. Source: Beam's OffsetRangeTracker. */
export class OffsetRangeTracker implements RestrictionTracker<OffsetRange, number> {
  readonly #to: number;
  #next: number;

  constructor({ from, to }: OffsetRange) {
    this.#next = from;
    this.#to = to;
  }

  tryClaim(position: number): boolean {
    if (position >= this.#to) return false;
    this.#next = position + 1;
    return true;
  }

  checkpoint(): OffsetRange | undefined {
    return this.#next >= this.#to ? undefined : { from: this.#next, to: this.#to };
  }
}
