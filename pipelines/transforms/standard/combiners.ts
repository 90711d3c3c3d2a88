import { functionIdentityOf } from '#kernel/functions/function_identity';
import type { CombineFn } from '#pipelines/engine/dofn';

/** Counts: how many. */
export const count = <T>(): CombineFn<T, number, number> => ({
  identity: 'count',
  createAccumulator: () => 0,
  addInput: (accumulator) => accumulator + 1,
  mergeAccumulators: sumOf,
  extractOutput: (accumulator) => accumulator,
});

/** Adds up numbers; 0 of nothing. */
export const sum = (): CombineFn<number, number, number> => ({
  identity: 'sum',
  createAccumulator: () => 0,
  addInput: (accumulator, input) => accumulator + input,
  mergeAccumulators: sumOf,
  extractOutput: (accumulator) => accumulator,
});

/** Computes the arithmetic mean; NaN of nothing. */
export const mean = (): CombineFn<number, readonly [sum: number, count: number], number> => ({
  identity: 'mean',
  createAccumulator: () => [0, 0],
  addInput: ([total, inputs], input) => [total + input, inputs + 1],
  mergeAccumulators: (accumulators) => {
    const all = [...accumulators];
    return [sumOf(all.map(([total]) => total)), sumOf(all.map(([, inputs]) => inputs))];
  },
  extractOutput: ([total, inputs]) => total / inputs,
});

/** Finds the smallest; Infinity of nothing. */
export const min = (): CombineFn<number, number, number> => fold('min', Number.POSITIVE_INFINITY, Math.min);
/** Finds the largest; -Infinity of nothing. */
export const max = (): CombineFn<number, number, number> => fold('max', Number.NEGATIVE_INFINITY, Math.max);

function fold(
  identity: string,
  empty: number,
  choose: (a: number, b: number) => number,
): CombineFn<number, number, number> {
  return {
    identity,
    createAccumulator: () => empty,
    addInput: (accumulator, input) => choose(accumulator, input),
    mergeAccumulators: (accumulators) => [...accumulators].reduce((a, b) => choose(a, b), empty),
    extractOutput: (accumulator) => accumulator,
  };
}

function sumOf(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}

/** Collects all of them. */
export const toList = <T>(): CombineFn<T, readonly T[], readonly T[]> => ({
  identity: 'toList',
  createAccumulator: () => [],
  addInput: (accumulator, input) => [...accumulator, input],
  mergeAccumulators: (accumulators) => [...accumulators].flat(),
  extractOutput: (accumulator) => accumulator,
});

/**
 * Keeps the `n` first in the order of `compare`, in that order. Keeps a sorted list of at most `n`; equal elements are kept as they came.
 */
export function top<T>(n: number, compare: (a: T, b: T) => number): CombineFn<T, readonly T[], readonly T[]> {
  const insert = (sorted: readonly T[], input: T): readonly T[] => {
    if (sorted.length === n && compare(sorted[n - 1] as T, input) <= 0) return sorted;
    const at = sorted.findIndex((other) => compare(other, input) > 0);
    const longer = at < 0 ? [...sorted, input] : [...sorted.slice(0, at), input, ...sorted.slice(at)];
    return longer.length > n ? longer.slice(0, n) : longer;
  };
  return {
    identity: `top(${n}) by ${functionIdentityOf(compare).hash}`,
    createAccumulator: () => [],
    addInput: insert,
    mergeAccumulators: (accumulators) => [...accumulators].flat().reduce<readonly T[]>(insert, []),
    extractOutput: (accumulator) => accumulator,
  };
}
