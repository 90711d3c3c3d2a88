import { eventTime } from '#kernel/time';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import { combineGlobally, combinePerKey } from '#pipelines/model/grouping';
import { keyBy, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows } from '#pipelines/model/windows/windowing';
import { assertThat } from '#pipelines/testing/assert';
import { count, sum } from '#pipelines/transforms/standard/combiners';
import { periodicImpulse } from '#pipelines/transforms/standard/periodic_impulse';
import { reify } from '#pipelines/transforms/standard/reify';
import { cases } from './runner_case.ts';

/** Counts up, a second of event time apart, in pieces. */
export class Counting implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded: boolean;
  readonly #parts: number;
  readonly #piece: number;
  readonly #delayMs: number;

  constructor(parts: number, piece: number, options: { readonly bounded?: boolean; readonly delayMs?: number } = {}) {
    this.#parts = parts;
    this.#piece = piece;
    this.bounded = options.bounded ?? true;
    this.#delayMs = options.delayMs ?? 0;
  }

  initialRestrictions(total: number): readonly OffsetRange[] {
    const size = Math.ceil(total / this.#parts);
    return Array.from({ length: this.#parts }, (_, index) => ({
      from: Math.min(total, index * size),
      to: Math.min(total, (index + 1) * size),
    }));
  }

  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }

  async process(
    _: number,
    range: OffsetRange,
    tracker: OffsetRangeTracker,
    context: SplittableContext<number>,
  ): Promise<ReturnType<typeof resumeAfter>> {
    await new Promise((resolve) => setImmediate(resolve));
    for (let at = range.from; at < range.from + this.#piece; at += 1) {
      if (!tracker.tryClaim(at)) return STOP;
      context.output(at, eventTime(at * 1_000));
    }
    context.advanceWatermark(eventTime((range.from + this.#piece) * 1_000));
    return resumeAfter(this.#delayMs);
  }
}

/** Numbers below the element, each half of a range split off until single ones are left. */
class Halving implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = true;
  initialRestrictions(total: number): readonly OffsetRange[] {
    return [{ from: 0, to: total }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  process(
    _: number,
    { from, to }: OffsetRange,
    __: OffsetRangeTracker,
    context: SplittableContext<number, OffsetRange>,
  ) {
    const middle = (from + to) >> 1;
    if (middle === from) {
      context.output(from, eventTime(from));
    } else {
      context.splitOff({ from, to: middle }, eventTime(from));
      context.splitOff({ from: middle, to }, eventTime(middle));
    }
    return STOP;
  }
}

export const splittableCases = [
  ...cases('Splittable DoFn', {
    'bounded, one piece': (root) =>
      assertThat(root.apply(read(3, new Counting(1, 10), 'Count'))).containsInAnyOrder([0, 1, 2]),
    'bounded, many pieces': (root) =>
      assertThat(root.apply(read(10, new Counting(1, 3), 'Count'))).containsInAnyOrder([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    'several restrictions': (root) =>
      assertThat(
        root.apply(read(1_000, new Counting(4, 100), 'Count')).apply(combineGlobally(sum())),
      ).containsInAnyOrder([499_500]),
    'its elements have their times': (root) =>
      assertThat(
        root
          .apply(read(3, new Counting(1, 2), 'Count'))
          .apply(reify())
          .map(({ value, timestamp }) => [value, timestamp]),
      ).containsInAnyOrder([
        [0, 0],
        [1, 1_000],
        [2, 2_000],
      ]),
    'unbounded, self-checkpointed with a delay': (root) =>
      assertThat(root.apply(read(6, new Counting(1, 2, { bounded: false, delayMs: 20 }), 'Count'))).containsInAnyOrder([
        0, 1, 2, 3, 4, 5,
      ]),
    'unbounded, into windows': (root) =>
      assertThat(
        root
          .apply(read(25, new Counting(1, 5, { bounded: false }), 'Count'))
          .apply(windowInto({ windowFn: fixedWindows(10) }))
          .apply(keyBy(() => 'k'))
          .apply(combinePerKey(count()))
          .map(({ value }) => value),
      ).containsInAnyOrder([10, 10, 5]),
    'parts that a restriction splits off are done on their own': (root) =>
      assertThat(root.apply(read(9, new Halving(), 'Halve'))).containsInAnyOrder([0, 1, 2, 3, 4, 5, 6, 7, 8]),
    'periodic impulse': (root) =>
      assertThat(root.apply(periodicImpulse({ start: 1_000, end: 6_000, intervalMs: 1_000 }))).containsInAnyOrder([
        1_000, 2_000, 3_000, 4_000, 5_000,
      ]),
  }),
];
