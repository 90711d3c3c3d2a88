import { LONGEST_SEQUENCE, MOST_ENDS, type WindowFeature } from '#feature_store/definitions/feature';
import { decimalText, unscaledOfCanonical } from '#feature_store/definitions/values/decimal_text';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { codecOf, identityText, isOwnJson } from '#feature_store/definitions/values/value_codec';
import { elementTypeOf, type FeatureType, typeOf } from '#feature_store/definitions/values/value_type';
import { addValue, emptyMoments, type Moments, meanOf, mergeMoments, stddevOf, sumOf, varianceOf } from './moments.ts';
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

/** Of integers, and of decimals of one scale in units of their last digit. */
interface Integers {
  n: number;
  sum: bigint;
  min: bigint;
  max: bigint;
}

function addIntegers(into: Integers, { n, sum, min, max }: Integers): void {
  if (n === 0) return;
  if (into.n === 0 || min < into.min) into.min = min;
  if (into.n === 0 || max > into.max) into.max = max;
  into.n += n;
  into.sum += sum;
}

const integers: Accumulator<Integers> = {
  version: 1,
  empty: () => ({ n: 0, sum: 0n, min: 0n, max: 0n }),
  add(into, value) {
    const integer = typeof value === 'bigint' ? value : unscaledOfCanonical(value as string);
    addIntegers(into, { n: 1, sum: integer, min: integer, max: integer });
  },
  merge: addIntegers,
};

/** Lists up to this are searched faster than an index of them. */
const FEW_VALUES = 16;
/** What is in the longer lists that values were added to. */
const indexes = new WeakMap<string[], Set<string>>();

function addOnce(into: string[], value: string): void {
  if (into.length < FEW_VALUES) {
    if (!into.includes(value)) into.push(value);
    return;
  }
  const index = indexOf(into);
  if (index.has(value)) return;
  index.add(value);
  into.push(value);
}

function indexOf(values: string[]): Set<string> {
  let index = indexes.get(values);
  if (index === undefined) {
    index = new Set(values);
    indexes.set(values, index);
  }
  return index;
}

/** Values seen, once each. */
const sets: Accumulator<string[]> = {
  version: 1,
  empty: () => [],
  add: (into, value) => addOnce(into, identityText(value)),
  merge(into, other) {
    for (const value of other) addOnce(into, value);
  },
};

const distinctSketches: Accumulator<DistinctSketch> = {
  version: 1,
  empty: emptyDistinct,
  add: (into, value) => addDistinct(into, identityText(value)),
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
  add: (into, value) => tallyUp(into, identityText(value), 1),
  merge(into, other) {
    for (const [value, times] of other) tallyUp(into, value, times);
  },
};

type Timed = [eventTimeMs: number, value: FeatureValue];

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
  add: (into, value, at) => addEnd(into, [at, value as FeatureValue], most),
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
  integers,
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

/** Types whose sums and extremes are computed with integers. */
export const isExactType = (type: FeatureType): boolean => type === 'int64' || type.startsWith('decimal(');

export function accumulatorKindOf({ aggregation, parameter = 1, type }: WindowFeature): AccumulatorKind {
  const kind = KINDS[aggregation];
  if (kind === 'moments' && isExactType(type)) return 'integers';
  return kind === 'ends' && parameter > MOST_ENDS ? 'sequences' : kind;
}

/** Returns how a feature's value is read out of its accumulator. */
export function resultReader({
  aggregation,
  parameter = 1,
  type,
}: WindowFeature): (accumulated: unknown) => FeatureValue {
  switch (aggregation) {
    case 'count':
      return (accumulated) => (accumulated as Count).n;
    case 'distinct':
      return (accumulated) => (accumulated as string[]).length;
    case 'approx_distinct':
      return (accumulated) => countDistinct(accumulated as DistinctSketch);
    case 'percentile':
      return (accumulated) => quantileOf(accumulated as QuantileSketch, parameter);
    case 'top': {
      const element = parameter === 1 ? type : elementTypeOf(type);
      return (accumulated) => {
        const found = [...(accumulated as Tally)].sort(moreFrequent).slice(0, parameter);
        return oneOrSeveral(
          found.map(([text]) => readIdentity(text, element)),
          parameter,
        );
      };
    }
    case 'first':
      return (accumulated) =>
        oneOrSeveral(
          (accumulated as Ends).first.map(([, value]) => value),
          parameter,
        );
    case 'last':
      return (accumulated) => oneOrSeveral((accumulated as Ends).last.map(([, value]) => value).reverse(), parameter);
    default:
      return isExactType(type)
        ? (accumulated) => ofIntegers(aggregation, type, accumulated as Integers)
        : momentReader(aggregation);
  }
}

export type MomentName = 'sum' | 'mean' | 'min' | 'max' | 'stddev' | 'variance';

function momentReader(aggregation: MomentName): (accumulated: unknown) => FeatureValue {
  switch (aggregation) {
    case 'sum':
      return (held) => sumOf(held as Moments);
    case 'mean':
      return (held) => meanOf(held as Moments);
    case 'stddev':
      return (held) => stddevOf(held as Moments);
    case 'variance':
      return (held) => varianceOf(held as Moments);
    case 'min':
      return (held) => ((held as Moments).n === 0 ? null : (held as Moments).min);
    case 'max':
      return (held) => ((held as Moments).n === 0 ? null : (held as Moments).max);
  }
}

function ofIntegers(aggregation: MomentName, type: FeatureType, held: Integers): FeatureValue {
  if (aggregation !== 'sum' && held.n === 0) return null;
  const integer = held[aggregation as 'sum' | 'min' | 'max'];
  const exact = typeOf(type);
  return exact.kind === 'decimal' ? decimalText(integer, exact.scale) : integer;
}

/** Tallies count strings: the value as it was before. */
function readIdentity(text: string, type: FeatureType): FeatureValue {
  if (type === 'boolean') return text === 'true';
  if (type === 'double' || type === 'long') return Number(text);
  return isOwnJson(type) || type === 'int64' ? codecOf(type).read(text) : codecOf(type).read(JSON.parse(text));
}

/** One value as it is, null where there is none; several as a list. */
const oneOrSeveral = (values: readonly FeatureValue[], most: number): FeatureValue =>
  most === 1 ? (values[0] ?? null) : values.slice(0, most);
