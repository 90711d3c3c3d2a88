import { z } from 'zod';
import { scopeSchema } from './scopes.ts';

export const limitSchema = z.strictObject({
  requests: z.int().positive(),
  windowMs: z.int().positive().default(1_000),
});
/** Requests in a window of time. */
export type Limit = z.infer<typeof limitSchema>;

/** So often may an address send keys and tokens that are not valid, where nothing else is configured. */
export const DEFAULT_REFUSED_LIMIT: Limit = { requests: 100, windowMs: 60_000 };

const origin = z.string().refine((text) => text === '*' || (URL.canParse(text) && new URL(text).origin === text), {
  message: 'must be an origin such as https://app.example.com, without a path',
});

/** Who may call, and how often: part of the configuration of every listener. */
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
          scopes: z.array(scopeSchema).optional(),
          /** Instead of {@link rateLimit}. */
          quota: limitSchema.optional(),
        }),
      ]),
    )
    .default([]),
  /** Hashed keys that `headwater keys` creates, rotates and revokes; read again when it changes. */
  keysFile: z.string().min(1).optional(),
  /** How often a change of the keys file is looked for, ms: a revoked key works at most this much longer. */
  keysRefreshMs: z.int().nonnegative().default(1_000),
  /** When set, a request must carry `authorization: Bearer` with a token of this issuer, or one of {@link apiKeys}. */
  jwt: z
    .strictObject({
      issuer: z.string().min(1),
      audience: z.string().min(1),
      /** The issuer's public keys (JWKS); fetched when first needed, and again when a key is not known. */
      jwksUrl: z.url(),
      /** Whether a token may do only what its claim `scope` lists; otherwise it may do everything. */
      scoped: z.boolean().default(false),
      /**
       * The claim that lists a token's roles: viewer, operator, approver or admin, such as `roles`, or `realm_access.roles` within another
       * claim. A token may do what its roles and its claim `scope` allow; other roles are passed over. Absent: tokens have no roles.
       */
      rolesClaim: z.string().min(1).optional(),
    })
    .optional(),
  /** Requests of one caller (key, token's subject, or address). Absent: no limit. */
  rateLimit: limitSchema.optional(),
  /** Requests without a valid key or token, of one address. Absent: {@link rateLimit}, or else {@link DEFAULT_REFUSED_LIMIT}. */
  refusedLimit: limitSchema.optional(),
  /** Pages of other origins: they may send nothing unless their origin is listed. */
  cors: z.strictObject({ allowedOrigins: z.array(origin).default([]) }).prefault({}),
  /** Values of `Host` that a listener on a loopback address answers besides its own (`*`: every one): names that a proxy on this machine passes on. */
  allowedHosts: z.array(z.string().min(1)).default([]),
  /** Listens beyond this machine without any key or token. */
  withoutKeys: z.boolean().default(false),
};
export const accessConfigSchema = z.strictObject(accessSettings);
export type AccessConfig = z.infer<typeof accessConfigSchema>;
