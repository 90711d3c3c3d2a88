import { LONGEST_SEQUENCE, MOST_ENDS, type WindowFeature } from '#feature_store/definitions/feature';
import type { FeatureValue } from '#feature_store/definitions/feature_row';
import { addValue, emptyMoments, type Moments, mergeMoments, stddevOf, sumOf, varianceOf } from './moments.ts';
import {
  addDistinct,
  addQuantileValue,
  countDistinct,
  type DistinctSketch,
  emptyDistinct,
  emptyQuantiles,
  mergeDistinct,
  mergeQuantiles,
  type QuantileSketch,
  quantileOf,
} from './sketches.ts';

/** A partial aggregate of some events, mergeable; its contents are plain data. */
export interface Accumulator<A> {
  /** Of its contents' meaning: contents of another version are not read. */
  readonly version: number;
  empty(): A;
  /** @param value - of the field; events without it are not added. For counts, anything */
  add(into: A, value: unknown, eventTimeMs: number): void;
  merge(into: A, other: A): void;
}

interface Count {
  n: number;
}

const counts: Accumulator<Count> = {
  version: 1,
  empty: () => ({ n: 0 }),
  add(into) {
    into.n += 1;
  },
  merge(into, other) {
    into.n += other.n;
  },
};

const moments: Accumulator<Moments> = {
  version: 1,
  empty: emptyMoments,
  add(into, value) {
    if (typeof value === 'number') addValue(into, value);
  },
  merge: mergeMoments,
};

/** Values seen, once each. */
const sets: Accumulator<string[]> = {
  version: 1,
  empty: () => [],
  add(into, value) {
    const text = String(value);
    if (!into.includes(text)) into.push(text);
  },
  merge(into, other) {
    for (const value of other) if (!into.includes(value)) into.push(value);
  },
};

const distinctSketches: Accumulator<DistinctSketch> = {
  version: 1,
  empty: emptyDistinct,
  add: (into, value) => addDistinct(into, String(value)),
  merge: mergeDistinct,
};

const quantileSketches: Accumulator<QuantileSketch> = {
  version: 1,
  empty: emptyQuantiles,
  add(into, value) {
    if (typeof value === 'number') addQuantileValue(into, value);
  },
  merge: mergeQuantiles,
};

/** Each value with how often it was seen. */
type Tally = [value: string, times: number][];

/** Beyond so many values the rarest are forgotten: what is frequent stays. */
const LARGEST_TALLY = 256;

function tallyUp(into: Tally, value: string, times: number): void {
  const held = into.find(([known]) => known === value);
  if (held !== undefined) held[1] += times;
  else {
    into.push([value, times]);
    if (into.length > LARGEST_TALLY) {
      into.sort(moreFrequent);
      into.length = LARGEST_TALLY / 2;
    }
  }
}

const moreFrequent = (a: Tally[number], b: Tally[number]): number => b[1] - a[1] || (a[0] < b[0] ? -1 : 1);

const tallies: Accumulator<Tally> = {
  version: 1,
  empty: () => [],
  add: (into, value) => tallyUp(into, String(value), 1),
  merge(into, other) {
    for (const [value, times] of other) tallyUp(into, value, times);
  },
};

type Scalar = string | number | boolean;
type Timed = [eventTimeMs: number, value: Scalar];

/** The earliest and the latest values, both by time. */
interface Ends {
  first: Timed[];
  last: Timed[];
}

function insertByTime(list: Timed[], entry: Timed): void {
  let at = list.length;
  while (at > 0 && (list[at - 1] as Timed)[0] > entry[0]) at -= 1;
  list.splice(at, 0, entry);
}

function addEnd(into: Ends, entry: Timed, most: number): void {
  if (into.first.length < most || entry[0] < (into.first[most - 1] as Timed)[0]) {
    insertByTime(into.first, entry);
    into.first.length = Math.min(into.first.length, most);
  }
  if (into.last.length < most || entry[0] >= (into.last[0] as Timed)[0]) {
    insertByTime(into.last, entry);
    if (into.last.length > most) into.last.shift();
  }
}

const endsOf = (most: number): Accumulator<Ends> => ({
  version: 1,
  empty: () => ({ first: [], last: [] }),
  add: (into, value, at) => addEnd(into, [at, value as Scalar], most),
  merge(into, other) {
    // Each list for itself: they share entries.
    for (const entry of other.first) {
      insertByTime(into.first, entry);
    }
    into.first.length = Math.min(into.first.length, most);
    for (const entry of other.last) insertByTime(into.last, entry);
    into.last.splice(0, into.last.length - most);
  },
});

const ends = endsOf(MOST_ENDS);
const sequences = endsOf(LONGEST_SEQUENCE);

export const ACCUMULATORS = {
  counts,
  moments,
  sets,
  distinctSketches,
  quantileSketches,
  tallies,
  ends,
  sequences,
} as const;
export type AccumulatorKind = keyof typeof ACCUMULATORS;

const KINDS: Readonly<Record<WindowFeature['aggregation'], AccumulatorKind>> = {
  count: 'counts',
  sum: 'moments',
  mean: 'moments',
  min: 'moments',
  max: 'moments',
  stddev: 'moments',
  variance: 'moments',
  distinct: 'sets',
  approx_distinct: 'distinctSketches',
  percentile: 'quantileSketches',
  top: 'tallies',
  first: 'ends',
  last: 'ends',
};

export function accumulatorKindOf({ aggregation, parameter = 1 }: WindowFeature): AccumulatorKind {
  const kind = KINDS[aggregation];
  return kind === 'ends' && parameter > MOST_ENDS ? 'sequences' : kind;
}

/** A feature's value out of its accumulator. */
export function resultOf({ aggregation, parameter = 1, type }: WindowFeature, accumulated: unknown): FeatureValue {
  switch (aggregation) {
    case 'count':
      return (accumulated as Count).n;
    case 'distinct':
      return (accumulated as string[]).length;
    case 'approx_distinct':
      return countDistinct(accumulated as DistinctSketch);
    case 'percentile':
      return quantileOf(accumulated as QuantileSketch, parameter);
    case 'top': {
      const found = joined(
        [...(accumulated as Tally)].sort(moreFrequent).map(([value]) => value),
        parameter,
      );
      return found === null ? null : readText(String(found), type);
    }
    case 'first':
      return joined(
        (accumulated as Ends).first.map(([, value]) => value),
        parameter,
      );
    case 'last':
      return joined((accumulated as Ends).last.map(([, value]) => value).reverse(), parameter);
    default:
      return momentOf(aggregation, accumulated as Moments);
  }
}

function momentOf(aggregation: 'sum' | 'mean' | 'min' | 'max' | 'stddev' | 'variance', held: Moments): FeatureValue {
  if (aggregation === 'sum') return sumOf(held);
  if (aggregation === 'stddev') return stddevOf(held);
  if (aggregation === 'variance') return varianceOf(held);
  return held.n === 0 ? null : held[aggregation];
}

/** Tallies count strings: the value as it was before. */
function readText(text: string, type: WindowFeature['type']): FeatureValue {
  if (type === 'string') return text;
  return type === 'boolean' ? text === 'true' : Number(text);
}

/** One value as it is; several as a text, comma-separated. */
const joined = (values: readonly Scalar[], most: number): FeatureValue =>
  most === 1 ? (values[0] ?? null) : values.slice(0, most).join(',');
