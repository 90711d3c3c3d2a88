import { eventTime } from '#kernel/time';
import type { CombineFn } from '#pipelines/engine/dofn';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';

// What the engine's benchmarks and their peers work on: 1,000 keys, event times out of order by up to 36 ms, one event a ms.

export const KEYS = 1_000;
/** Events between two watermarks. */
export const PIECE = 2_000;

export interface Event {
  readonly key: number;
  readonly amount: number;
  readonly at: number;
}

export const eventOf = (index: number): Event => ({
  key: (index * 7_919) % KEYS,
  amount: index % 100,
  at: index - (index % 13) * 3,
});

/** Events by number, in pieces, with a watermark after each. */
export class Events implements SplittableDoFn<number, Event, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  readonly #piece: number;

  constructor(piece = PIECE) {
    this.#piece = piece;
  }

  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total }];
  }

  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }

  process(total: number, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<Event>) {
    const to = Math.min(total, from + this.#piece);
    for (let index = from; index < to; index += 1) {
      const event = eventOf(index);
      context.output(event, eventTime(event.at));
    }
    context.advanceWatermark(eventTime(to - 50));
    tracker.tryClaim(to - 1);
    return to >= total ? STOP : resumeAfter(0);
  }
}

export interface Sums {
  count: number;
  sum: number;
}

export const countAndSum: CombineFn<Event, Sums, Sums> = {
  createAccumulator: () => ({ count: 0, sum: 0 }),
  addInput(sums, { amount }) {
    sums.count += 1;
    sums.sum += amount;
    return sums;
  },
  mergeAccumulators(parts) {
    const merged = { count: 0, sum: 0 };
    for (const { count, sum } of parts) {
      merged.count += count;
      merged.sum += sum;
    }
    return merged;
  },
  extractOutput: (sums) => ({ ...sums }),
};
