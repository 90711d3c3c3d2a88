import { z } from 'zod';

export const mlflowConfigSchema = z.strictObject({
  kind: z.literal('mlflow'),
  /** MLFLOW_TRACKING_URI: http(s)://host:port, or with a login: https://user:password@host. */
  trackingUri: z.url({ protocol: /^https?$/ }),
  /** MLFLOW_REGISTRY_URI: where registered models are, with the same login; absent: where runs are. */
  registryUri: z.url({ protocol: /^https?$/ }).optional(),
  experimentName: z.string().min(1).default('headwater'),
  username: z.string().optional(),
  password: z.string().optional(),
  token: z.string().optional(),
  timeoutMs: z.int().positive().default(30_000),
  /** A file that is larger is not downloaded. */
  maxArtifactBytes: z
    .int()
    .positive()
    .default(1024 * 1024 * 1024),
});
export type MlflowConfig = z.infer<typeof mlflowConfigSchema>;
