import { chiSquareTail } from '#kernel/statistics/distributions';
import { kolmogorovTail } from './kolmogorov_smirnov.ts';
import { stabilityOfShares } from './population_stability.ts';

// One column of a window against what it was in training.

export type CellValue = number | string | boolean;

/** What is known of a column's distribution in training: of {@link sampled} values. */
export interface ColumnReference {
  /** Values, missing ones included. */
  readonly rows: number;
  readonly nulls: number;
  readonly min: number | null;
  readonly max: number | null;
  /** Of numbers, at 0, 1/n, … 1, by nearest rank. */
  readonly quantiles: readonly number[];
  /** The most frequent values of strings and booleans with their shares. */
  readonly top: readonly (readonly [value: string, share: number])[];
  readonly sampled: number;
}

/** What a window has of the column. */
export interface ColumnSample {
  /** Some of the values that are there, at random. */
  readonly values: readonly CellValue[];
  /** Of all rows: those without a value, and those beyond the reference's smallest and largest. */
  readonly rows: number;
  readonly nulls: number;
  readonly outOfRange: number;
}

export interface DriftThresholds {
  /** Population stability index from which on numbers have drifted: 0.2 is commonly taken. */
  readonly psi: number;
  /** Cramér's V from which on strings have drifted. */
  readonly cramersV: number;
  /** And the difference must not be chance: its p-value is below that. */
  readonly significance: number;
  /** How much larger the share of missing values may become. */
  readonly nullShare: number;
}

export interface ColumnDrift {
  readonly psi?: number;
  /** Kolmogorov-Smirnov: the largest distance between the distribution functions. */
  readonly ks?: number;
  readonly cramersV?: number;
  /** Of KS, or of chi-square for strings. */
  readonly pValue?: number;
  readonly nullShare: number;
  readonly outOfRangeShare: number;
  readonly drifted: boolean;
}

/** Values of which too few are there to say anything. */
const FEWEST_VALUES = 30;

export function columnDrift(
  reference: ColumnReference,
  sample: ColumnSample,
  { psi: mostPsi, cramersV: mostV, significance, nullShare: mostNulls }: DriftThresholds,
): ColumnDrift {
  const nullShare = share(sample.nulls, sample.rows);
  const shares = { nullShare, outOfRangeShare: share(sample.outOfRange, sample.rows) };
  const lacksMore = nullShare > share(reference.nulls, reference.rows) + mostNulls;
  const numbers = sample.values.filter((value): value is number => typeof value === 'number');
  if (reference.quantiles.length > 0 && numbers.length >= FEWEST_VALUES) {
    const { psi, ks, pValue } = compareNumbers(reference, numbers);
    return { ...shares, psi, ks, pValue, drifted: lacksMore || (psi >= mostPsi && pValue < significance) };
  }
  const texts = sample.values.filter((value) => typeof value !== 'number');
  if (reference.top.length > 0 && texts.length >= FEWEST_VALUES) {
    const { cramersV, pValue } = compareTexts(reference, texts.map(String));
    return { ...shares, cramersV, pValue, drifted: lacksMore || (cramersV >= mostV && pValue < significance) };
  }
  return { ...shares, drifted: lacksMore };
}

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/** The reference's distribution function where its quantiles change. */
interface Step {
  /** Values of the sample that belong below it are those not above this. */
  readonly value: number;
  /** Share of the reference that is not above the value: between these. */
  readonly least: number;
  readonly most: number;
  /** Whether it bounds a bin of the stability index. */
  readonly isEdge: boolean;
}

/** Of the quantiles, so many make a bin of the index. */
const QUANTILES_A_BIN = 2;

/**
 * Quantiles give the share of values below a value; of one that comes often, where its quantiles begin and end, which is known to within one of
 * their steps.
 */
function stepsOf(quantiles: readonly number[]): readonly Step[] {
  const last = quantiles.length - 1;
  const least = quantiles[0] as number;
  // Nothing of the reference lies below its smallest value.
  const steps: Step[] = [{ value: justBelow(least), least: 0, most: 0, isEdge: true }];
  for (let at = 0; at <= last; at += 1) {
    const value = quantiles[at] as number;
    if (at < last && value === quantiles[at + 1]) continue;
    const isFrequent = at > 0 && quantiles[at - 1] === value;
    const isEdge = at === last || isFrequent || (at > 0 && at % QUANTILES_A_BIN === 0);
    steps.push({ value, least: at / last, most: isFrequent && at < last ? (at + 1) / last : at / last, isEdge });
  }
  return steps;
}

const justBelow = (value: number): number => value - Math.max(Math.abs(value) * Number.EPSILON, Number.MIN_VALUE);

function compareNumbers(reference: ColumnReference, numbers: readonly number[]) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const steps = stepsOf(reference.quantiles);
  let ks = 0;
  for (const { value, least, most } of steps) {
    const found = notAbove(sorted, value) / sorted.length;
    ks = Math.max(ks, found - most, least - found);
  }
  const edges = steps.filter(({ isEdge }) => isEdge);
  const expected = sharesBetween(edges.map(({ least, most }) => (least + most) / 2));
  const psi = stabilityOfShares(expected, countsBetween(sorted, edges));
  const effective = (reference.sampled * sorted.length) / (reference.sampled + sorted.length);
  return { ks, psi, pValue: kolmogorovTail(ks, effective) };
}

/** How many of sorted values are not above one. */
function notAbove(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sharesBetween(cumulative: readonly number[]): number[] {
  const bounds = [0, ...cumulative, 1];
  return bounds.slice(1).map((bound, index) => bound - (bounds[index] as number));
}

function countsBetween(sorted: readonly number[], edges: readonly Step[]): number[] {
  const bounds = [0, ...edges.map(({ value }) => notAbove(sorted, value)), sorted.length];
  return bounds.slice(1).map((bound, index) => bound - (bounds[index] as number));
}

/** Pearson's chi-square test of homogeneity, and Cramér's V, which does not grow with the number of rows. */
function compareTexts({ top, sampled }: ColumnReference, texts: readonly string[]) {
  const expected = new Map(top.map(([value, part]) => [value, part * sampled]));
  const known = [...expected.values()].reduce((sum, count) => sum + count, 0);
  const counts = new Map<string | undefined, number>();
  for (const text of texts) {
    const kind = expected.has(text) ? text : undefined;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  // What is beyond the frequent ones is one kind.
  const cells = [
    ...[...expected].map(([value, count]) => [count, counts.get(value) ?? 0] as const),
    [Math.max(0, sampled - known), counts.get(undefined) ?? 0] as const,
  ].filter(([before, now]) => before + now > 0);
  const total = sampled + texts.length;
  let chiSquare = 0;
  for (const [before, now] of cells) {
    const both = before + now;
    const [wasExpected, isExpected] = [(both * sampled) / total, (both * texts.length) / total];
    chiSquare += (before - wasExpected) ** 2 / wasExpected + (now - isExpected) ** 2 / isExpected;
  }
  const degrees = Math.max(1, cells.length - 1);
  return { cramersV: Math.sqrt(chiSquare / total), pValue: chiSquareTail(chiSquare, degrees) };
}
