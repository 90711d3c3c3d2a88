import type { PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { create, withTimestamps } from '#pipelines/model/transforms';

/** One pipeline that a runner must execute; it asserts its own results. */
export interface RunnerCase {
  /** Row of the table that the suite prints. */
  readonly feature: string;
  readonly name: string;
  readonly build: (root: PipelineRoot) => void;
  /** The job must fail with this. */
  readonly failsWith?: RegExp;
  /** The graph must be refused with this when it is built, on every runner. */
  readonly refusedWith?: RegExp;
}

/** Cases of one feature. */
export const cases = (
  feature: string,
  named: Readonly<Record<string, ((root: PipelineRoot) => void) | Omit<RunnerCase, 'feature' | 'name'>>>,
): readonly RunnerCase[] =>
  Object.entries(named).map(([name, entry]) =>
    typeof entry === 'function' ? { feature, name, build: entry } : { feature, name, ...entry },
  );

/** Elements with event times in ms. */
export function timestamped<T>(
  root: PipelineRoot,
  elements: readonly (readonly [value: T, timestamp: number])[],
  name = 'Timestamped',
): PCollection<T> {
  return root
    .apply(
      create(
        elements.map(([value, timestamp]) => ({ value, timestamp })),
        name,
      ),
    )
    .apply(withTimestamps(({ timestamp }) => timestamp, `${name} times`))
    .map(({ value }) => value);
}
