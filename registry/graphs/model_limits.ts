import { z } from 'zod';

/** What a graph may take, where it runs in a process of its own: when it is examined, and while it serves if its work has no bound. */
export const modelLimitsSchema = z.strictObject({
  /** For its examples, when a version is loaded or promoted, ms. */
  examineMs: z.int().positive().default(30_000),
  /** For one run while it serves, ms. */
  runMs: z.int().positive().default(10_000),
  /** Memory of the process, beyond four times the model's file. */
  memoryMb: z.int().min(256).default(2_048),
});
export type ModelLimits = z.infer<typeof modelLimitsSchema>;

export const DEFAULT_LIMITS: ModelLimits = modelLimitsSchema.parse({});
