import { z } from 'zod';

const megabytes = (count: number): number => count * 1024 * 1024;

/** What a version must fulfil before it goes to Staging or Production. */
export const gatesConfigSchema = z.strictObject({
  /** The metric that decides; none: any version may. */
  metric: z.string().min(1).optional(),
  better: z.enum(['higher', 'lower']).default('higher'),
  /** Worst value of the metric that is taken at all. */
  worst: z.number().optional(),
  /** By how much it may be worse than that of the version in production. Below 0: it has to be so much better. */
  tolerance: z.number().default(0),
  maxBytes: z.int().positive().default(megabytes(256)),
  /** Median time for one row, ms. */
  maxLatencyMs: z.number().positive().default(50),
  /** Newest opset of ONNX that is taken; onnxruntime here knows 23. */
  maxOpset: z.int().positive().default(23),
  /** Production requires an approval. */
  approval: z.boolean().default(false),
});
export type GatesConfig = z.infer<typeof gatesConfigSchema>;
