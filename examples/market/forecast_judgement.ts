/** A close that was forecast in several ways. */
export interface Judged {
  readonly symbol: string;
  /** RFC 3339, of the close that the forecasts were made of. */
  readonly at: string;
  readonly previous: number;
  readonly actual: number;
  /** Forecasts of the close, by model. */
  readonly forecasts: Readonly<Record<string, number>>;
}

/** Returns the logarithm of the actual close over a model's forecast. */
export const errorOf = ({ actual, forecasts }: Judged, model: string): number =>
  Math.log(actual / (forecasts[model] as number));

/** Returns the root of the mean squared error of a model, over that of another. */
export function errorRatio(judged: readonly Judged[], model: string, other: string): number {
  const squares = (of: string): number => judged.reduce((sum, each) => sum + errorOf(each, of) ** 2, 0);
  return Math.sqrt(squares(model) / squares(other));
}

/** Returns the share of closes that moved as a model has forecast, of those that moved. */
export function directionalAccuracy(judged: readonly Judged[], model: string): number {
  const moved = judged.filter(({ actual, previous }) => actual !== previous);
  const right = moved.filter(
    ({ actual, previous, forecasts }) => actual > previous === (forecasts[model] as number) > previous,
  );
  return right.length / moved.length;
}

/**
 * Returns the half width of split-conformal intervals: the error that is the `ceil((n + 1) share)`-th smallest of n earlier ones (Vovk, Gammerman and Shafer, 2005).
 *
 * @param errors - of observations that the model was not trained on
 * @param share - of the intervals that are to contain what comes, 0 to 1
 * @returns Infinity where there are too few errors for the share
 */
export function conformalHalfWidth(errors: readonly number[], share: number): number {
  const sorted = errors.map(Math.abs).sort((a, b) => a - b);
  return sorted[Math.ceil((sorted.length + 1) * share) - 1] ?? Number.POSITIVE_INFINITY;
}
