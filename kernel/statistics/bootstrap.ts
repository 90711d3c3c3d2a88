import { Random } from '../random.ts';

/** An estimate with the bounds of its interval. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** Returns the value below which a share of the values lies, by nearest rank. @throws RangeError for no values */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError('a quantile needs one value or more');
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] as number;
}

/**
 * Returns a statistic of a sample with its percentile interval (Efron, 1979): the sample is drawn anew with replacement.
 *
 * @param sample - independent observations: users, days; not rows of one user
 * @param statistic - of the observations, such as their mean
 * @param settings - `level` of the interval (0.95), `rounds` (1,000) and `seed` (1); the same seed gives the same interval
 */
export function bootstrapInterval<T>(
  sample: readonly T[],
  statistic: (drawn: readonly T[]) => number,
  { level = 0.95, rounds = 1_000, seed = 1 }: { level?: number; rounds?: number; seed?: number } = {},
): Interval {
  const random = new Random(seed);
  const estimates = Array.from({ length: rounds }, () => statistic(sample.map(() => random.pick(sample))));
  const tail = (1 - level) / 2;
  return { estimate: statistic(sample), low: quantile(estimates, tail), high: quantile(estimates, 1 - tail) };
}
