import type { FeatureRow, FeatureValue, ViewReference } from '#feature_store/definitions/values/feature_row';
import type { FeatureType } from '#feature_store/definitions/values/value_type';
import { stableHash32 } from '#kernel/hashes/hash';
import { addToSample, type HashSample, mergeSamples } from '#kernel/hashes/hash_sample';
import { addValue, emptyMoments, type Moments, meanOf, mergeMoments, stddevOf } from './moments.ts';

/** Rows kept of a window for quantiles and frequent values. */
const SAMPLE_ROWS = 512;
const TOP_VALUES = 20;
/** 0, 0.05, … 1. */
const QUANTILES = Array.from({ length: 21 }, (_, index) => index / 20);

type Measured = number | boolean | string | null;

/** What a window's rows have in common, so far. Plain data. */
export interface StatisticsAccumulator {
  rows: number;
  /** In the order of the features. */
  readonly nulls: number[];
  /** Of numbers, and of booleans as 0 and 1. */
  readonly moments: Moments[];
  readonly sample: HashSample<readonly Measured[]>;
}

/** The distribution of one feature in one window. */
export interface FeatureStatistics {
  readonly rows: number;
  readonly nulls: number;
  /** Of numbers, and of booleans as 0 and 1; null for strings, and when all are missing. */
  readonly mean: number | null;
  readonly stddev: number | null;
  readonly min: number | null;
  readonly max: number | null;
  /** At 0, 0.05, … 1, of a random sample of at most 512 rows; empty for strings. */
  readonly quantiles: readonly number[];
  /** The most frequent values of strings and booleans, with their shares of the sample's values. */
  readonly top: readonly (readonly [value: string, share: number])[];
  readonly sampled: number;
}

/** {@link FeatureStatistics} with what they are of. */
export interface WindowStatistics extends ViewReference {
  readonly feature: string;
  readonly windowStartMs: number;
  readonly windowMs: number;
  readonly statistics: FeatureStatistics;
}

/**
 * Returns a value as statistics see it: numbers, booleans and strings; null for lists, structs, bytes and embeddings, which have no distribution.
 *
 * @param type - decimals are numbers where they are known to be decimals
 */
export function measuredValue(value: FeatureValue, type: FeatureType | undefined): Measured {
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'string') return type?.startsWith('decimal(') ? Number(value) : value;
  return null;
}

/** Adds up rows with features of these names. Sums and extremes are of all rows, quantiles of a sample of them. */
export class StatisticsOf {
  readonly #names: readonly string[];
  readonly #types: Readonly<Record<string, FeatureType>>;

  /** @param types - by name; decimals are numbers where they are known to be decimals */
  constructor(names: readonly string[], types: Readonly<Record<string, FeatureType>> = {}) {
    this.#names = names;
    this.#types = types;
  }

  createAccumulator(): StatisticsAccumulator {
    return {
      rows: 0,
      nulls: new Array<number>(this.#names.length).fill(0),
      moments: this.#names.map(emptyMoments),
      sample: [],
    };
  }

  addInput(
    into: StatisticsAccumulator,
    { entityKey, eventTime, values }: Pick<FeatureRow, 'entityKey' | 'eventTime' | 'values'>,
  ): StatisticsAccumulator {
    into.rows += 1;
    for (let at = 0; at < this.#names.length; at += 1) {
      const name = this.#names[at] as string;
      const value = values[name];
      if (value === null || value === undefined) into.nulls[at] = (into.nulls[at] as number) + 1;
      else {
        const known = measuredValue(value, this.#types[name]);
        if (typeof known === 'number') addValue(into.moments[at] as Moments, known);
        else if (typeof known === 'boolean') addValue(into.moments[at] as Moments, known ? 1 : 0);
      }
    }
    const hash = stableHash32(entityKey, eventTime & 0x7fffffff);
    addToSample(
      into.sample,
      hash,
      () => this.#names.map((name) => measuredValue(values[name] ?? null, this.#types[name])),
      SAMPLE_ROWS,
    );
    return into;
  }

  mergeAccumulators(accumulators: Iterable<StatisticsAccumulator>): StatisticsAccumulator {
    const merged = this.createAccumulator();
    for (const { rows, nulls, moments, sample } of accumulators) {
      merged.rows += rows;
      for (let at = 0; at < nulls.length; at += 1) {
        merged.nulls[at] = (merged.nulls[at] as number) + (nulls[at] as number);
        mergeMoments(merged.moments[at] as Moments, moments[at] as Moments);
      }
      mergeSamples(merged.sample, sample, SAMPLE_ROWS);
    }
    return merged;
  }

  extractOutput({ rows, nulls, moments, sample }: StatisticsAccumulator): ReadonlyMap<string, FeatureStatistics> {
    return new Map(
      this.#names.map((name, at) => {
        const held = moments[at] as Moments;
        const values = sample.map(([, row]) => row[at] ?? null).filter((value) => value !== null);
        const hasNumbers = held.n > 0;
        return [
          name,
          {
            rows,
            nulls: nulls[at] as number,
            mean: meanOf(held),
            stddev: hasNumbers ? stddevOf(held) : null,
            min: hasNumbers ? held.min : null,
            max: hasNumbers ? held.max : null,
            quantiles: quantilesOf(values.filter((value) => typeof value === 'number')),
            top: topOf(values.filter((value) => typeof value !== 'number')),
            sampled: values.length,
          },
        ];
      }),
    );
  }
}

/** By nearest rank. */
function quantilesOf(values: number[]): readonly number[] {
  if (values.length === 0) return [];
  values.sort((a, b) => a - b);
  return QUANTILES.map((q) => values[Math.max(0, Math.ceil(q * values.length) - 1)] as number);
}

function topOf(values: readonly (string | boolean)[]): FeatureStatistics['top'] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  return [...counts]
    .sort(([a, timesA], [b, timesB]) => timesB - timesA || (a < b ? -1 : 1))
    .slice(0, TOP_VALUES)
    .map(([value, times]) => [value, times / values.length] as const);
}
