import type { Plan } from '#pipelines/engine/plan';
import { Pipeline, Root } from './beam.ts';
import type { PipelineRoot } from './pcollection.ts';
import { planOf } from './plan.ts';

/**
 * Builds a Beam graph by calling `construct` with its root, and compiles it for the engine. Calling it again with the same
 * options gives the same graph with the same names: that is how snapshots and workers find their functions.
 */
export function createPipeline(construct: (root: PipelineRoot) => void): Plan {
  const pipeline = new Pipeline();
  construct(new Root(pipeline) as unknown as PipelineRoot);
  return planOf(pipeline);
}
