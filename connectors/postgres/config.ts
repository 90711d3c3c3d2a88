import { z } from 'zod';

export const postgresConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(1).max(65_535).default(5_432),
  database: z.string().default('headwater'),
  user: z.string().default('headwater'),
  password: z.string().optional(),
  /** Where tables are, made when it does not exist; absent: the server's default, `public`. */
  schema: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'must be a name of PostgreSQL in lower case')
    .optional(),
  /** `require` refuses a server without TLS, and one whose certificate no authority vouches for. */
  sslMode: z.enum(['disable', 'require']).default('disable'),
  /** PEM file of the authorities to trust instead of the system's, such as a cloud's. */
  caFile: z.string().min(1).optional(),
  /** PEM files of the client's own certificate and key, for servers that require one. */
  certFile: z.string().min(1).optional(),
  keyFile: z.string().min(1).optional(),
  maxConnections: z.int().positive().default(8),
  connectTimeoutMs: z.int().positive().default(5_000),
  statementTimeoutMs: z.int().positive().default(120_000),
});
export type PostgresConfig = z.infer<typeof postgresConfigSchema>;
