import { z } from 'zod';

export const s3ConfigSchema = z.strictObject({
  region: z.string().min(1).default('us-east-1'),
  /** Another address than AWS's own: MinIO, another S3-compatible server, a VPC endpoint. */
  endpoint: z.url().optional(),
  /** Without them the SDK's usual chain: environment, profile, the pod's or machine's role. */
  credentials: z.strictObject({ accessKeyId: z.string(), secretAccessKey: z.string() }).optional(),
  requestTimeoutMs: z.int().positive().default(30_000),
});
export type S3Config = z.infer<typeof s3ConfigSchema>;

/** Reading from a bucket pays off in pieces of so many bytes. */
export const CHUNK_BYTES = 8 * 1_024 * 1_024;
