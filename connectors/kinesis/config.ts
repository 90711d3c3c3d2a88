import { z } from 'zod';

export const kinesisConfigSchema = z.strictObject({
  kind: z.literal('kinesis'),
  region: z.string().min(1),
  /** Another address than AWS's own: a local fake, a VPC endpoint. */
  endpoint: z.url().optional(),
  /** Without them the SDK's usual chain: environment, profile, the pod's or machine's role. */
  credentials: z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() }).optional(),
  /** A consumer of its own with 2 MB/s a shard (SubscribeToShard), by this name; otherwise shared reads (GetRecords). */
  enhancedFanOut: z
    .string()
    .regex(/^[a-zA-Z0-9_.-]+$/)
    .optional(),
  /** Time between two reads of a shard, ms. Kinesis allows five a second to all readers of a shard together. */
  readIntervalMs: z.int().positive().default(220),
  requestTimeoutMs: z.int().positive().default(10_000),
});
export type KinesisConfig = z.infer<typeof kinesisConfigSchema>;
