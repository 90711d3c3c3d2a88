import { z } from 'zod';

/** Who may ask, and how often: part of the configuration of every door. */
export const accessSettings = {
  /** When set, a request must carry one of these in `x-api-key`, or a token of {@link jwt}. */
  apiKeys: z
    .array(
      z.union([
        z.string().min(16),
        z.strictObject({
          key: z.string().min(16),
          /** For limits, trails and logs, instead of the key's hash. */
          name: z.string().min(1).optional(),
          /** What it may do, such as `predict:fraud_detector` or `predict:*`; absent: everything. */
          scopes: z.array(z.string().min(1)).optional(),
        }),
      ]),
    )
    .default([]),
  /** When set, a request must carry `authorization: Bearer` with a token of this issuer, or one of {@link apiKeys}. */
  jwt: z
    .strictObject({
      issuer: z.string().min(1),
      audience: z.string().min(1),
      /** The issuer's public keys (JWKS); fetched when first needed, and again when a key is not known. */
      jwksUrl: z.url(),
      /** Whether a token may do only what its claim `scope` says; otherwise it may do everything. */
      scoped: z.boolean().default(false),
    })
    .optional(),
  /** Requests a caller (key, token's subject, or address) may make in a while; absent: no limit. */
  rateLimit: z.strictObject({ requests: z.int().positive(), windowMs: z.int().positive().default(1_000) }).optional(),
};
const accessConfigSchema = z.strictObject(accessSettings);
export type AccessConfig = z.infer<typeof accessConfigSchema>;
