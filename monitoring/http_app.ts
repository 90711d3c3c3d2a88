import { readFileSync } from 'node:fs';
import { type FastifyInstance, type FastifyServerOptions, fastify } from 'fastify';
import { z } from 'zod';

/** PEM files of a listener; absent: plain HTTP, for behind something that ends TLS. */
export const tlsSchema = z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) });
export type TlsConfig = z.infer<typeof tlsSchema>;

/** Of a path: an entity's id of 1,024 bytes, percent-encoded. */
const LONGEST_PARAMETER = 3_072;

/** A Fastify application that listens with TLS where there is a certificate, and logs nothing itself. */
export function createHttpApp(
  tls: TlsConfig | undefined,
  options: Pick<FastifyServerOptions, 'bodyLimit' | 'requestTimeout'> = {},
): FastifyInstance {
  const settings = { ...options, logger: false, routerOptions: { maxParamLength: LONGEST_PARAMETER } };
  if (tls === undefined) return fastify(settings);
  const https = { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) };
  return fastify({ ...settings, https }) as unknown as FastifyInstance;
}
