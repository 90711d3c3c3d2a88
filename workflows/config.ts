import { z } from 'zod';
import { duration } from '#configs/duration';
import type { Duration } from '#kernel/duration';

export const workflowsConfigSchema = z.strictObject({
  /** Steps that a worker runs at a time. */
  concurrency: z.int().positive().max(1_000).default(16),
  /** A worker that is silent for so long has lost its steps to others. */
  lease: duration.default('30s' as Duration),
  /** How often a worker looks for steps that are due; those that are announced start at once. */
  poll: duration.default('1s' as Duration),
  /** Runs that ended so long ago are deleted with their history. */
  retention: duration.default('90d' as Duration),
});
export type WorkflowsConfig = z.infer<typeof workflowsConfigSchema>;
