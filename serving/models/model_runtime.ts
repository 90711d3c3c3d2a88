import { z } from 'zod';
import { sessionSettings } from '#registry/graphs/session_options';

/** How a model is computed: by which execution providers and threads, how it is warmed up, and how its requests are batched. */
export const modelRuntimeSchema = z.strictObject({
  ...sessionSettings,
  /** Runs of a version before it answers. */
  warmUpRuns: z.int().min(1).max(10_000).default(3),
  /** A model is computed on a thread of its own when a row of it takes so long, ms. 0: always, but for trees, which take microseconds. */
  ownThreadFromMs: z.number().min(0).default(3),
  /** Requests that are computed together. */
  batching: z
    .strictObject({
      /** Rows in one run at most; a request of more rows is one run. 1: each request is computed by itself. */
      maxRows: z.int().min(1).max(10_000).default(64),
      /** A request waits so long for others, ms. 0: for those of the same turn of the event loop. */
      maxWaitMs: z.number().min(0).max(1_000).default(0),
    })
    .prefault({}),
});
export type ModelRuntime = z.infer<typeof modelRuntimeSchema>;

export const DEFAULT_RUNTIME: ModelRuntime = modelRuntimeSchema.parse({});
