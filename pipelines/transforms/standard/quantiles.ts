import type { CombineFn } from '#pipelines/engine/dofn';

/** Counts by logarithmic bin; plain data, so that snapshots and runners can hold it. */
interface Bins {
  readonly positive: Map<number, number>;
  readonly negative: Map<number, number>;
  zeros: number;
  count: number;
  min: number;
  max: number;
}

/**
 * Quantiles of any number of values in memory bounded by their range: each is within `relativeError` of the true one.
 * Outputs one number for each of `quantiles` (0 to 1); NaN of nothing.
 *
 * Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019.
 */
export function approximateQuantiles(
  quantiles: readonly number[],
  relativeError = 0.01,
): CombineFn<number, Bins, readonly number[]> {
  const wrong = quantiles.find((quantile) => !(quantile >= 0 && quantile <= 1));
  if (wrong !== undefined) throw new RangeError(`a quantile is between 0 and 1, not ${wrong}`);
  const gamma = (1 + relativeError) / (1 - relativeError);
  const logGamma = Math.log(gamma);
  const binOf = (magnitude: number): number => Math.ceil(Math.log(magnitude) / logGamma);
  const middleOf = (bin: number): number => (2 * gamma ** bin) / (gamma + 1);

  const valueAt = (bins: Bins, rank: number): number => {
    let before = 0;
    for (const bin of [...bins.negative.keys()].sort((a, b) => b - a)) {
      before += bins.negative.get(bin) as number;
      if (before > rank) return -middleOf(bin);
    }
    before += bins.zeros;
    if (before > rank) return 0;
    for (const bin of [...bins.positive.keys()].sort((a, b) => a - b)) {
      before += bins.positive.get(bin) as number;
      if (before > rank) return middleOf(bin);
    }
    return bins.max;
  };

  return {
    // Bins are of one relative error, whatever quantiles are read from them.
    identity: `quantiles within ${relativeError}`,
    createAccumulator: empty,
    addInput(bins, value) {
      if (!Number.isFinite(value)) throw new RangeError(`quantiles are of finite numbers, not ${value}`);
      if (value === 0) bins.zeros += 1;
      else {
        const side = value > 0 ? bins.positive : bins.negative;
        const bin = binOf(Math.abs(value));
        side.set(bin, (side.get(bin) ?? 0) + 1);
      }
      bins.count += 1;
      bins.min = Math.min(bins.min, value);
      bins.max = Math.max(bins.max, value);
      return bins;
    },
    mergeAccumulators(accumulators) {
      const merged = empty();
      for (const bins of accumulators) {
        for (const [bin, count] of bins.positive) merged.positive.set(bin, (merged.positive.get(bin) ?? 0) + count);
        for (const [bin, count] of bins.negative) merged.negative.set(bin, (merged.negative.get(bin) ?? 0) + count);
        merged.zeros += bins.zeros;
        merged.count += bins.count;
        merged.min = Math.min(merged.min, bins.min);
        merged.max = Math.max(merged.max, bins.max);
      }
      return merged;
    },
    extractOutput(bins) {
      if (bins.count === 0) return quantiles.map(() => Number.NaN);
      return quantiles.map((quantile) => {
        const value = valueAt(bins, quantile * (bins.count - 1));
        return Math.min(bins.max, Math.max(bins.min, value));
      });
    },
  };
}

const empty = (): Bins => ({
  positive: new Map(),
  negative: new Map(),
  zeros: 0,
  count: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
});
