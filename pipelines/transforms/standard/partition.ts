import { type OutputTag, outputTag } from '#pipelines/engine/dofn';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import type { PCollection, PTransform } from '#pipelines/model/pcollection';
import { named, parDoTagged } from '#pipelines/model/transforms';

/**
 * Splits a collection into `count` (Beam's Partition).
 *
 * @param partitionOf - says which, 0 to `count` - 1; another number fails with the element
 */
export function partition<T>(
  count: number,
  partitionOf: (element: T, count: number) => number,
  name = 'Partition',
): PTransform<PCollection<T>, readonly PCollection<T>[]> {
  if (!(Number.isSafeInteger(count) && count >= 1)) {
    throw new InvalidPipelineError(`transform "${name}" makes ${count} partitions: give an integer from 1 on`);
  }
  const tags = Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`partition${index}`, outputTag<T>(`partition${index}`)]),
  );
  return named(name, (input: PCollection<T>) => {
    const outputs = input.apply(
      parDoTagged<T, never, typeof tags>(
        {
          process(element, context) {
            const index = partitionOf(element, count);
            const tag = Number.isSafeInteger(index) ? tags[`partition${index}`] : undefined;
            if (tag === undefined) {
              throw new RangeError(`the partition is ${index}, and there are ${count}: give 0 to ${count - 1}`);
            }
            context.outputTo(tag as OutputTag<T>, element);
          },
        },
        tags,
        { name: 'Split' },
      ),
    );
    return Array.from({ length: count }, (_, index) => outputs[`partition${index}`] as PCollection<T>);
  });
}
