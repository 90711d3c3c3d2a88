import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import type { MomentName } from './accumulators.ts';
import { LARGE_DEVIATION, LARGE_VALUE, type Moments, SMALL_DEVIATION } from './moments.ts';

// Moments as numbers beside each other in a typed array: the same as `moments.ts` computes, of values whose exact sum two doubles hold and whose deviations neither overflow nor underflow.
// Functions return false where that is not so; what they have written is then of no use.

const [N, SUM, LOW, MEAN, M2, MIN, MAX] = [0, 1, 2, 3, 4, 5, 6];
export const MOMENT_COLUMNS = 7;

export function clearNumbers(numbers: Float64Array, at: number): void {
  numbers.fill(0, at, at + MIN);
  numbers[at + MIN] = Number.POSITIVE_INFINITY;
  numbers[at + MAX] = Number.NEGATIVE_INFINITY;
}

/** Adds a part of a sum: what one double cannot hold is kept in the next. */
function addPart(numbers: Float64Array, at: number, value: number): boolean {
  const sum = numbers[at + SUM] as number;
  const total = sum + value;
  const added = total - sum;
  const lost = sum - (total - added) + (value - added);
  numbers[at + SUM] = total;
  if (lost === 0) return true;
  const low = numbers[at + LOW] as number;
  const totalLow = low + lost;
  const addedLow = totalLow - low;
  numbers[at + LOW] = totalLow;
  return low - (totalLow - addedLow) + (lost - addedLow) === 0;
}

const isOrdinary = (deviation: number): boolean => deviation <= LARGE_DEVIATION && deviation >= SMALL_DEVIATION;

/** Adds a value. */
export function addNumber(numbers: Float64Array, at: number, value: number): boolean {
  const mean = numbers[at + MEAN] as number;
  const delta = value - mean;
  const deviation = Math.abs(delta);
  if ((deviation !== 0 && !isOrdinary(deviation)) || Math.abs(value) > LARGE_VALUE) return false;
  const n = (numbers[at + N] as number) + 1;
  const moved = mean + delta / n;
  numbers[at + N] = n;
  numbers[at + MEAN] = moved;
  (numbers[at + M2] as number) += delta * (value - moved);
  if (value < (numbers[at + MIN] as number)) numbers[at + MIN] = value;
  if (value > (numbers[at + MAX] as number)) numbers[at + MAX] = value;
  return addPart(numbers, at, value);
}

/** Merges moments. */
export function mergeIntoNumbers(numbers: Float64Array, at: number, other: Moments): boolean {
  const { n, sum, low = 0, rest, mean, m2, min, max, largeSum, largeM2, smallM2 } = other;
  if (n === 0) return true;
  if (rest !== undefined || largeSum !== undefined || largeM2 !== undefined || smallM2 !== undefined) return false;
  if (min < (numbers[at + MIN] as number)) numbers[at + MIN] = min;
  if (max > (numbers[at + MAX] as number)) numbers[at + MAX] = max;
  return merge(numbers, at, n, mean, m2) && addPart(numbers, at, sum) && (low === 0 || addPart(numbers, at, low));
}

/** Merges those at another place. */
export function mergeNumbers(numbers: Float64Array, at: number, from: number): boolean {
  const n = numbers[from + N] as number;
  if (n === 0) return true;
  const min = numbers[from + MIN] as number;
  const max = numbers[from + MAX] as number;
  if (min < (numbers[at + MIN] as number)) numbers[at + MIN] = min;
  if (max > (numbers[at + MAX] as number)) numbers[at + MAX] = max;
  const low = numbers[from + LOW] as number;
  return (
    merge(numbers, at, n, numbers[from + MEAN] as number, numbers[from + M2] as number) &&
    addPart(numbers, at, numbers[from + SUM] as number) &&
    (low === 0 || addPart(numbers, at, low))
  );
}

function merge(numbers: Float64Array, at: number, added: number, mean: number, m2: number): boolean {
  const before = numbers[at + N] as number;
  const held = numbers[at + MEAN] as number;
  const delta = mean - held;
  const deviation = Math.abs(delta);
  const n = before + added;
  numbers[at + N] = n;
  if (before === 0) {
    numbers[at + MEAN] = mean;
    numbers[at + M2] = m2;
    return Math.abs(mean) <= LARGE_VALUE;
  }
  if (deviation === 0) {
    (numbers[at + M2] as number) += m2;
    return true;
  }
  (numbers[at + M2] as number) += m2 + (delta * delta * before * added) / n;
  numbers[at + MEAN] = held + (delta * added) / n;
  return isOrdinary(deviation);
}

/** Returns how a moment is read. */
export function numberReader(aggregation: MomentName): (numbers: Float64Array, at: number) => FeatureValue {
  const total = (numbers: Float64Array, at: number): number =>
    (numbers[at + SUM] as number) + (numbers[at + LOW] as number);
  const variance = (numbers: Float64Array, at: number): number =>
    (numbers[at + N] as number) < 2 ? 0 : Math.max(0, numbers[at + M2] as number) / (numbers[at + N] as number);
  const ofSome =
    (read: (numbers: Float64Array, at: number) => number) =>
    (numbers: Float64Array, at: number): FeatureValue =>
      numbers[at + N] === 0 ? null : read(numbers, at);
  switch (aggregation) {
    case 'sum':
      return total;
    case 'mean':
      return ofSome((numbers, at) => {
        const mean = total(numbers, at) / (numbers[at + N] as number);
        return Math.min(Math.max(mean, numbers[at + MIN] as number), numbers[at + MAX] as number);
      });
    case 'stddev':
      return (numbers, at) => Math.sqrt(variance(numbers, at));
    case 'variance':
      return variance;
    case 'min':
      return ofSome((numbers, at) => numbers[at + MIN] as number);
    case 'max':
      return ofSome((numbers, at) => numbers[at + MAX] as number);
  }
}
