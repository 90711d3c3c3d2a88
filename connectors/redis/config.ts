import { z } from 'zod';

const address = z.string().regex(/^.+:\d+$/, 'must be host:port');

/** Sentinels that name the master of the moment. */
const sentinelSchema = z.strictObject({
  /** The name that the sentinels know the master by. */
  master: z.string().min(1),
  nodes: z.array(address).min(1),
  username: z.string().optional(),
  password: z.string().optional(),
  /** TLS to the sentinels; `tls` is for the servers themselves. */
  tls: z.boolean().default(false),
});

export const redisConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(1).max(65_535).default(6_379),
  /** Nodes of a Redis cluster to begin with; host, port, sentinel and database mean nothing then. */
  cluster: z.array(address).min(1).optional(),
  /** Finds the master through sentinels, and follows it in a failover; host and port mean nothing then. */
  sentinel: sentinelSchema.optional(),
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
