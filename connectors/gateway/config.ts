import { z } from 'zod';

const megabytes = (count: number): number => count * 1024 * 1024;

export const gatewayConfigSchema = z.strictObject({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8_080),
  /** Largest body of one event, bytes, after decompression. */
  maxBodyBytes: z.int().positive().default(megabytes(1)),
  maxBatchBodyBytes: z.int().positive().default(megabytes(16)),
  /** Event ids remembered for answering a repeated event. */
  rememberedIds: z.int().positive().default(200_000),
  /** When set, a request must carry one of these in `x-api-key`, or a token of {@link jwt}. */
  apiKeys: z.array(z.string().min(16)).default([]),
  /** When set, a request must carry `authorization: Bearer` with a token of this issuer, or one of {@link apiKeys}. */
  jwt: z
    .strictObject({
      issuer: z.string().min(1),
      audience: z.string().min(1),
      /** The issuer's public keys (JWKS); fetched when first needed, and again when a key is not known. */
      jwksUrl: z.url(),
    })
    .optional(),
  /** Requests a caller (key, token's subject, or address) may make in a while; absent: no limit. */
  rateLimit: z.strictObject({ requests: z.int().positive(), windowMs: z.int().positive().default(1_000) }).optional(),
  /** Event types that no schema is known for: `accept` passes them on as they are, if they have an id and a time. */
  unknownEventTypes: z.enum(['reject', 'accept']).default('reject'),
  /** Where events wait on disk while the broker is away; absent: they are refused with 503. */
  spool: z
    .strictObject({
      directory: z.string().min(1),
      maxBytes: z.int().positive().default(megabytes(1_024)),
      /** A send that takes longer counts as failed, ms. */
      sendTimeoutMs: z.int().positive().default(3_000),
    })
    .optional(),
});
export type GatewayConfig = z.infer<typeof gatewayConfigSchema>;
export type SpoolConfig = NonNullable<GatewayConfig['spool']>;
