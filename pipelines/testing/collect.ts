import type { DoFn } from '#pipelines/engine/dofn';
import type { Plan } from '#pipelines/engine/plan';
import type { PCollection, PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { parDo } from '#pipelines/model/transforms';
import { type EmbeddedOptions, runEmbedded } from '#pipelines/runner/embedded';

/** What reached the end of a collection: value and event time, in order of arrival. */
export interface Collected<T> {
  readonly value: T;
  readonly timestamp: number;
}

/** Keeps all elements of a collection in `into`. Only for tests on the embedded runner: the array lives in this process. */
export function collectInto<T>(collection: PCollection<T>, into: Collected<T>[], name = 'Collect'): void {
  const collector: DoFn<T, never> = {
    process(value, context) {
      into.push({ value, timestamp: context.timestamp });
    },
  };
  collection.apply(parDo(collector, { name }));
}

/** Runs a bounded pipeline on the embedded runner to its end. */
export async function runToEnd(construct: (root: PipelineRoot) => void, options: EmbeddedOptions = {}): Promise<void> {
  const plan: Plan = createPipeline(construct);
  await runEmbedded(plan, options).finished;
}
