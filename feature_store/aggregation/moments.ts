import { addExactly, type ExactSum, mergeExactly, partsOf, roundedSum } from './exact_sum.ts';

/**
 * Count, exact sum, mean and squared deviations, mergeable without loss: Chan, Golub and LeVeque (1979), "Updating formulae". What would overflow or underflow on its
 * way to a result that does not is kept apart, scaled by powers of two: Blue (1978), "A portable Fortran program to find the Euclidean norm of a vector".
 */
export interface Moments extends ExactSum {
  n: number;
  /** Of values up to {@link LARGE_VALUE}, with {@link ExactSum.rest}. */
  sum: number;
  /** Of larger values, in units of {@link VALUE_UNIT}; absent where there are none. */
  largeSum?: number;
  largeRest?: number[];
  mean: number;
  m2: number;
  /** Squared deviations above {@link LARGE_DEVIATION}, in units of {@link DEVIATION_UNIT} squared; absent where there are none. */
  largeM2?: number;
  /** Squared deviations below {@link SMALL_DEVIATION}, in units of 1/{@link DEVIATION_UNIT} squared; absent where there are none. */
  smallM2?: number;
  min: number;
  max: number;
}

/** Sums of 2^53 values up to this stay below the largest double. */
export const LARGE_VALUE = 2 ** 960;
const VALUE_UNIT = 2 ** 64;
/** Sums of 2^53 squares of deviations between these neither overflow nor underflow. */
export const LARGE_DEVIATION = 2 ** 450;
export const SMALL_DEVIATION = 2 ** -450;
const DEVIATION_UNIT = 2 ** 600;
/** Steps of a mean below this round to nothing; sums of such values are exact. */
const TINY_MEAN = 2 ** -960;

export const emptyMoments = (): Moments => ({
  n: 0,
  sum: 0,
  low: 0,
  mean: 0,
  m2: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
});

export function addValue(into: Moments, value: number): void {
  into.n += 1;
  if (value < into.min) into.min = value;
  if (value > into.max) into.max = value;
  const delta = value - into.mean;
  const deviation = delta < 0 ? -delta : delta;
  if (
    deviation > LARGE_DEVIATION ||
    (deviation < SMALL_DEVIATION && deviation !== 0) ||
    value > LARGE_VALUE ||
    value < -LARGE_VALUE
  ) {
    if (value > LARGE_VALUE || value < -LARGE_VALUE) addLarge(into, { sum: value / VALUE_UNIT });
    else addExactly(into, value);
    mergeMean(into, value, into.n - 1, 1);
    return;
  }
  addExactly(into, value);
  into.mean += delta / into.n;
  into.m2 += delta * (value - into.mean);
}

export function mergeMoments(into: Moments, other: Moments): void {
  if (other.n === 0) return;
  const n = into.n + other.n;
  const delta = other.mean - into.mean;
  const deviation = Math.abs(delta);
  if (other.largeM2 !== undefined) into.largeM2 = (into.largeM2 ?? 0) + other.largeM2;
  if (other.smallM2 !== undefined) into.smallM2 = (into.smallM2 ?? 0) + other.smallM2;
  if (other.largeSum !== undefined) addLarge(into, largeOf(other) as ExactSum);
  mergeExactly(into, other);
  if (deviation <= LARGE_DEVIATION && deviation >= SMALL_DEVIATION) {
    into.m2 += other.m2 + (delta * delta * into.n * other.n) / n;
    into.mean += (delta * other.n) / n;
  } else {
    into.m2 += other.m2;
    mergeMean(into, other.mean, into.n, other.n);
  }
  into.n = n;
  if (other.min < into.min) into.min = other.min;
  if (other.max > into.max) into.max = other.max;
}

/**
 * Merges the mean of `weight` values into that of `before` others, and adds the squares of how far both are from their common mean.
 *
 * @param into - has the values in its sum already
 */
function mergeMean(into: Moments, mean: number, before: number, weight: number): void {
  const held = into.mean;
  const n = before + weight;
  const delta = mean - held;
  const deviation = Math.abs(delta);
  const squares = (before / n) * weight;
  if (deviation > LARGE_DEVIATION) {
    // The difference itself may overflow.
    const scaled = mean / DEVIATION_UNIT - held / DEVIATION_UNIT;
    if (squares > 0) into.largeM2 = (into.largeM2 ?? 0) + scaled * scaled * squares;
  } else if (deviation >= SMALL_DEVIATION) into.m2 += delta * delta * squares;
  else if (deviation > 0 && squares > 0) {
    const scaled = delta * DEVIATION_UNIT;
    into.smallM2 = (into.smallM2 ?? 0) + scaled * scaled * squares;
  }
  const share = weight / n;
  if (Math.abs(held) < TINY_MEAN && Math.abs(mean) < TINY_MEAN && into.largeSum === undefined)
    into.mean = roundedSum(into) / n;
  else {
    const moved = Number.isFinite(delta) ? held + delta * share : held + (mean * share - held * share);
    // Rounding must not carry it beyond both, and so beyond the largest double.
    into.mean = Math.min(Math.max(moved, Math.min(held, mean)), Math.max(held, mean));
  }
}

const largeOf = ({ largeSum, largeRest }: Moments): ExactSum | undefined =>
  largeSum === undefined ? undefined : exactSum(largeSum, largeRest);

const exactSum = (sum: number, rest: readonly number[] | undefined): ExactSum =>
  rest === undefined ? { sum } : { sum, rest: [...rest] };

function addLarge(into: Moments, added: ExactSum): void {
  const total = largeOf(into) ?? { sum: 0 };
  mergeExactly(total, added);
  into.largeSum = total.sum;
  const others = [...(total.rest ?? []), total.low ?? 0].filter((part) => part !== 0);
  if (others.length > 0) into.largeRest = others;
  else if (into.largeRest !== undefined) into.largeRest = [];
}

/** The exact sum, rounded once; infinite only where that is. */
export function sumOf(moments: Moments): number {
  if (moments.largeSum === undefined) return roundedSum(moments);
  const [sum, unit] = scaledSum(moments);
  return sum * unit;
}

/** The exact sum divided by the count; null for no values. */
export function meanOf(moments: Moments): number | null {
  const { n, min, max } = moments;
  if (n === 0) return null;
  if (moments.largeSum === undefined) return Math.min(Math.max(roundedSum(moments) / n, min), max);
  const [sum, unit] = scaledSum(moments);
  return Math.min(Math.max((sum / n) * unit, min), max);
}

/** Returns the exact sum, rounded once, in a unit in which it does not overflow. */
function scaledSum(moments: Moments): readonly [sum: number, unit: number] {
  if (moments.largeSum === undefined) return [roundedSum(moments), 1];
  const total = largeOf(moments) as ExactSum;
  if (roundedSum(total) === 0) return [roundedSum(moments), 1];
  for (const part of partsOf(moments)) addExactly(total, part / VALUE_UNIT);
  return [roundedSum(total), VALUE_UNIT];
}

/** Population variance; 0 for fewer than two values. Infinite only where the variance is. */
export function varianceOf(moments: Moments): number {
  if (isUsual(moments)) return moments.m2 / moments.n;
  const [mean, unit] = meanSquare(moments);
  return mean * unit * unit;
}

export function stddevOf(moments: Moments): number {
  if (isUsual(moments)) return Math.sqrt(moments.m2 / moments.n);
  const [mean, unit] = meanSquare(moments);
  return Math.sqrt(mean) * unit;
}

/** Whether all deviations are in {@link Moments.m2}. */
const isUsual = ({ n, m2, largeM2, smallM2 }: Moments): boolean =>
  n >= 2 && m2 > 0 && largeM2 === undefined && smallM2 === undefined;

/** @returns the mean of squared deviations in units of the square of a power of two, and that power */
function meanSquare({ n, m2, largeM2 = 0, smallM2 = 0 }: Moments): readonly [mean: number, unit: number] {
  if (n < 2) return [0, 1];
  const middle = Math.max(0, m2);
  if (largeM2 > 0) return [(largeM2 + middle / DEVIATION_UNIT / DEVIATION_UNIT) / n, DEVIATION_UNIT];
  if (middle === 0 && smallM2 > 0) return [smallM2 / n, 1 / DEVIATION_UNIT];
  return [(middle + smallM2 / DEVIATION_UNIT / DEVIATION_UNIT) / n, 1];
}
