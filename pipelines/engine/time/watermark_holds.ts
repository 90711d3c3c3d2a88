import { LargeMap } from '../state/large_map.ts';
import { TimeHeap } from './time_heap.ts';

/** Times and how many there are of each. */
export type SavedHolds = readonly (readonly [time: number, count: number])[];

/** A multiset of event times with its minimum: what an operator must not let its output watermark pass. */
export class WatermarkHolds {
  readonly #counts = new LargeMap<number, number>();
  /** Distinct times; those no longer counted are dropped when they come up. */
  readonly #times = new TimeHeap<number>();

  add(time: number): void {
    const count = this.#counts.get(time) ?? 0;
    this.#counts.set(time, count + 1);
    if (count === 0) this.#times.push(time, time);
  }

  remove(time: number): void {
    const count = this.#counts.get(time) ?? 0;
    if (count <= 1) this.#counts.delete(time);
    else this.#counts.set(time, count - 1);
  }

  /** The earliest hold; Infinity when there is none. */
  earliest(): number {
    for (let time = this.#times.nextAt(); time !== undefined; time = this.#times.nextAt()) {
      if (this.#counts.has(time)) return time;
      this.#times.pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  save(): SavedHolds {
    return [...this.#counts];
  }

  restore(saved: SavedHolds): void {
    for (const [time, count] of saved) {
      this.#counts.set(time, count);
      this.#times.push(time, time);
    }
  }
}
