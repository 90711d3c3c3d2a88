import { eventTime } from '#kernel/time';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import type { Construct } from '#pipelines/model/graph';
import type { KV } from '#pipelines/model/pcollection';
import { keyBy, parDo, read } from '#pipelines/model/transforms';

// What bench/engine/state.bench.ts and its peer work on: a row of 100 characters for each key, read, changed and written by each event. Keys come all over the place.

const ROW_LENGTH = 100;
const DIGITS = 8;
const FILL = 'x'.repeat(ROW_LENGTH - DIGITS);
const PIECE = 2_000;
/** Far more than any run reads. */
const ENDLESS = 2 ** 40;

/** The event number `index` is of this key: each key once in a row of `keys` events. */
export const keyOf = (index: number, keys: number): number => (index * 7_919) % keys;

/** Numbers up to `until`, and from there on a few at a time, every 10 ms, until the job is stopped; or none, where it ends. */
export class Indexes implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  readonly #until: number;
  readonly #onReached: () => void;
  readonly #ends: boolean;

  constructor(until: number, onReached: () => void, ends: boolean) {
    this.#until = until;
    this.#onReached = onReached;
    this.#ends = ends;
  }

  initialRestrictions(): OffsetRange[] {
    return [{ from: 0, to: ENDLESS }];
  }

  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }

  process(_: number, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<number>) {
    const isReached = from >= this.#until;
    if (isReached) this.#onReached();
    if (isReached && this.#ends) return STOP;
    const to = isReached ? from + 20 : Math.min(this.#until, from + PIECE);
    for (let index = from; index < to; index += 1) context.output(index, eventTime(index));
    context.advanceWatermark(eventTime(to - 1));
    tracker.tryClaim(to - 1);
    return resumeAfter(isReached ? 10 : 0);
  }
}

class RowPerKey implements DoFn<KV<number, number>, never> {
  readonly row = valueState<string>('row');
  process(_: KV<number, number>, context: ProcessContext<never>): void {
    const row = context.state(this.row);
    const count = Number(row.read()?.slice(0, DIGITS) ?? 0);
    row.write(String(count + 1).padStart(DIGITS, '0') + FILL);
  }
}

/** @param ends - the job ends by itself when `until` events were read */
export const rowsByKey =
  (keys: number, until: number, onReached: () => void, ends = false): Construct =>
  (root) =>
    root
      .apply(read(0, new Indexes(until, onReached, ends), 'Indexes'))
      .apply(keyBy((index) => keyOf(index, keys)))
      .apply(parDo(new RowPerKey(), { name: 'Rows' }));
