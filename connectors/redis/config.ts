import { z } from 'zod';

export const redisConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(1).max(65_535).default(6_379),
  /** Nodes of a Redis cluster to begin with; host, port and database mean nothing then. */
  cluster: z
    .array(z.string().regex(/^.+:\d+$/, 'must be host:port'))
    .min(1)
    .optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  database: z.int().min(0).default(0),
  /** PEM files where the system's authorities are not enough, or the server requires a certificate. */
  tls: z
    .union([
      z.boolean(),
      z.strictObject({
        ca: z.string().min(1).optional(),
        cert: z.string().min(1).optional(),
        key: z.string().min(1).optional(),
        serverName: z.string().min(1).optional(),
      }),
    ])
    .default(false),
  connectTimeoutMs: z.int().positive().default(3_000),
  commandTimeoutMs: z.int().positive().default(2_000),
});
export type RedisConfig = z.infer<typeof redisConfigSchema>;
