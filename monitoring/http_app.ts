import { readFileSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  fastify,
} from 'fastify';
import { z } from 'zod';
import { requireDeclaredAccess } from './route_access.ts';
import { SECURITY_HEADERS, TLS_HEADERS } from './security_headers.ts';

/** PEM files of a listener; absent: plain HTTP, for behind something that ends TLS. */
export const tlsSchema = z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) });
export type TlsConfig = z.infer<typeof tlsSchema>;

/**
 * Makes a Fastify application that listens with TLS where there is a certificate, and logs nothing itself. Every answer has security headers,
 * also one to a request that no route or hook ever sees; it does not start with a route that declares no access.
 */
export function createHttpApp(
  tls: TlsConfig | undefined,
  options: Pick<FastifyServerOptions, 'bodyLimit' | 'requestTimeout'> = {},
): FastifyInstance {
  const headers = tls === undefined ? SECURITY_HEADERS : { ...SECURITY_HEADERS, ...TLS_HEADERS };
  const settings: FastifyServerOptions = {
    ...options,
    logger: false,
    frameworkErrors: (error, request, reply) => {
      reply.headers(headers);
      void answerUnrouted(app, error, request as FastifyRequest, reply as FastifyReply);
    },
    clientErrorHandler: (error, socket) => refuseUnreadable(error, socket, headers),
  };
  const https = tls === undefined ? undefined : { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) };
  const app = (
    https === undefined ? fastify(settings) : fastify({ ...settings, https } as FastifyServerOptions)
  ) as FastifyInstance;
  app.addHook('onRequest', (_, reply, done) => {
    reply.headers(headers);
    done();
  });
  requireDeclaredAccess(app);
  return app;
}

/** Answers a request whose target no router can read: as one without a route, so that a key is needed first. */
async function answerUnrouted(
  app: FastifyInstance,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  try {
    await app.guard?.authorize(request, reply);
    app.errorHandler(error, request, reply);
  } catch (refusal) {
    app.errorHandler(refusal as FastifyError, request, reply);
  }
}

/** Answers what is not HTTP, or does not arrive in time, and closes the connection. */
function refuseUnreadable(
  error: Error & { readonly code?: string },
  socket: Socket,
  headers: Readonly<Record<string, string>>,
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  const body = JSON.stringify({ error: { code: 'BAD_REQUEST', message: STATUS_CODES[status] } });
  const head = Object.entries({
    ...headers,
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(body.length),
    connection: 'close',
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  if (socket.writable) socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join('')}\r\n${body}`);
  socket.destroy();
}
