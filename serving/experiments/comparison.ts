import { normalCdf, normalQuantile } from '#kernel/statistics/distributions';
import type { ExperimentOutcomes } from '#serving/prediction_store/feedback_store';

/** An estimate and the variance of it (not of the data). */
export interface Estimate {
  readonly mean: number;
  readonly variance: number;
}

/** How one variant differs from another. */
export interface Comparison {
  readonly difference: number;
  /** Of the difference, at the requested level; right when looked at once, at a size that was fixed before. */
  readonly interval: readonly [low: number, high: number];
  /** Two-sided, by the normal distribution; right when looked at once. */
  readonly pValue: number;
  /** Right however often one looks, and whenever one stops. */
  readonly sequential: {
    readonly interval: readonly [low: number, high: number];
    readonly pValue: number;
  };
}

/**
 * Compares two means: by a z-test, and by the mixture sequential probability ratio test (mSPRT with a normal mixture: Robbins, 1970; Johari, Pekelis
 * and Walsh, "Always valid inference", 2015), whose p-value and interval stay right when one looks again and again.
 *
 * @param mixtureVariance - of the differences that are expected; the test is right with any, and soonest done near the true one
 * @param alpha - 0.05 for intervals of 95 %
 * @returns undefined while either has no variance: nothing can be said yet
 */
export function compare(
  control: Estimate,
  variant: Estimate,
  { mixtureVariance, alpha }: { readonly mixtureVariance: number; readonly alpha: number },
): Comparison | undefined {
  const difference = variant.mean - control.mean;
  const variance = control.variance + variant.variance;
  if (!(variance > 0) || !Number.isFinite(variance)) return undefined;
  const z = difference / Math.sqrt(variance);
  const halfWidth = normalQuantile(1 - alpha / 2) * Math.sqrt(variance);
  const total = variance + mixtureVariance;
  // Likelihood ratio of the mixture against no difference.
  const logRatio =
    0.5 * Math.log(variance / total) + (mixtureVariance * difference * difference) / (2 * variance * total);
  const sequentialHalf = Math.sqrt(
    ((variance * total) / mixtureVariance) * (Math.log(total / variance) - 2 * Math.log(alpha)),
  );
  return {
    difference,
    interval: [difference - halfWidth, difference + halfWidth],
    pValue: 2 * (1 - normalCdf(Math.abs(z))),
    sequential: {
      interval: [difference - sequentialHalf, difference + sequentialHalf],
      pValue: Math.min(1, Math.exp(-logRatio)),
    },
  };
}

/**
 * The mean outcome, with its variance by the delta method over units: outcomes of one entity are not independent, and entities are what variants are
 * assigned to (Deng, Knoblich and Lu, 2018).
 */
export function meanOutcome(sums: ExperimentOutcomes): Estimate {
  const { units, outcomes, total, totalSquared, outcomesSquared, product } = sums;
  const mean = total / outcomes;
  const residual = totalSquared - 2 * mean * product + mean * mean * outcomesSquared;
  return { mean, variance: ((units / (units - 1)) * Math.max(0, residual)) / (outcomes * outcomes) };
}
