import type { Plan } from '#pipelines/engine/plan';
import { buildGraph, type Construct } from './graph.ts';
import { planOf } from './plan.ts';

/**
 * Builds a Beam graph by calling `construct` with its root, and compiles it for the engine. Calling it again with the same
 * options gives the same graph with the same names: that is how snapshots and workers find their functions.
 */
export const createPipeline = (construct: Construct): Plan => ({
  ...planOf(buildGraph(construct)),
  rebuild: () => createPipeline(construct),
});
