import {
  addDistinct,
  countDistinct,
  type DistinctSketch,
  emptyDistinct,
  mergeDistinct,
} from '#feature_store/aggregation/sketches';
import { keyIdOf } from '#kernel/keys/key_codec';
import type { CombineFn } from '#pipelines/engine/dofn';

/** Estimates how many different values, compared as keys are: exact up to 128, by HyperLogLog beyond, with a standard error of 3.3 % (Beam's ApproximateUnique, HllCount). */
export const approximateCountDistinct = <T>(): CombineFn<T, DistinctSketch, number> => ({
  identity: 'approximateCountDistinct',
  createAccumulator: emptyDistinct,
  addInput(sketch, value) {
    const id = keyIdOf(value);
    addDistinct(sketch, typeof id === 'string' ? `s${id}` : `${typeof id} ${String(id)}`);
    return sketch;
  },
  mergeAccumulators(sketches) {
    const merged = emptyDistinct();
    for (const sketch of sketches) mergeDistinct(merged, sketch);
    return merged;
  },
  extractOutput: countDistinct,
});
