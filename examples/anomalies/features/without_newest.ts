import { type FeatureValue, numberOr0 } from 'headwater/features';

/** A value beside what came before it. */
export interface Deviation {
  readonly usual: number;
  /** Standard deviations between the value and the usual one. */
  readonly z: number;
}

/**
 * Compares the newest value with those before it, which a window's mean would hide: of 84 values one can be at most 9 standard deviations off, whatever it is.
 *
 * @param variance - of the population, with the newest value, as `variance` gives it
 * @returns undefined with fewer values before it than `fewest`, and where all of them are equal
 */
export function deviationOfNewest(
  value: FeatureValue | undefined,
  count: FeatureValue | undefined,
  mean: FeatureValue | undefined,
  variance: FeatureValue | undefined,
  fewest: number,
): Deviation | undefined {
  const [x, n, m] = [numberOr0(value), numberOr0(count), numberOr0(mean)];
  if (n - 1 < fewest) return undefined;
  const usual = (n * m - x) / (n - 1);
  const squares = n * numberOr0(variance) - (x - m) * (x - usual);
  // What is left of equal values is rounding.
  if (squares <= 1e-9 * (1 + usual * usual)) return undefined;
  return { usual, z: (x - usual) / Math.sqrt(squares / (n - 1)) };
}
