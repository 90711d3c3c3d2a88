import type { CombineFn } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';

type Drawn<T> = readonly (readonly [lot: number, value: T])[];

/**
 * Draws `size` values drawn at random, each as likely as any other (Beam's Sample.fixedSize). Each value draws a lot, and those with the smallest lots are kept: so samples can be merged.
 *
 * @param random - 0 to 1; a retried bundle draws again
 */
export function sample<T>(size: number, random: () => number = Math.random): CombineFn<T, Drawn<T>, readonly T[]> {
  if (!(Number.isSafeInteger(size) && size >= 1)) {
    throw new InvalidPipelineError(`sample(${size}): give an integer from 1 on`);
  }
  const smallest = (drawn: Drawn<T>): Drawn<T> =>
    drawn.length <= size ? drawn : [...drawn].sort(([a], [b]) => a - b).slice(0, size);
  return {
    identity: `sample(${size})`,
    createAccumulator: () => [],
    addInput(drawn, value) {
      const lot = random();
      if (drawn.length < size) return [...drawn, [lot, value]];
      const largest = drawn.reduce((most, [other]) => Math.max(most, other), 0);
      return lot >= largest ? drawn : smallest([...drawn, [lot, value]]);
    },
    mergeAccumulators: (parts) => smallest([...parts].flat()),
    extractOutput: (drawn) => drawn.map(([, value]) => value),
  };
}
