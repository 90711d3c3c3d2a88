import { z } from 'zod';

export const gatewayConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8_080),
  /** Largest request body, bytes. */
  maxBodyBytes: z
    .int()
    .positive()
    .default(1024 * 1024),
  maxBatchBodyBytes: z
    .int()
    .positive()
    .default(16 * 1024 * 1024),
  /** Event ids remembered for answering a repeated event. */
  rememberedIds: z.int().positive().default(200_000),
  /** When set, every request must carry one of these in `x-api-key`. */
  apiKeys: z.array(z.string().min(16)).default([]),
});
export type GatewayConfig = z.infer<typeof gatewayConfigSchema>;
