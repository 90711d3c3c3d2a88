import { readFileSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  fastify,
} from 'fastify';
import { z } from 'zod';
import { type ErrorForms, failureOf, formFor, PROBLEM_TYPE, problemOf } from './error_answer.ts';
import { acceptJsonOnly } from './json_body.ts';
import { REQUEST_ID, requestIdIn } from './request_id.ts';
import { RouteMethods } from './route_methods.ts';

declare module 'fastify' {
  interface FastifyInstance {
    errorForms?: ErrorForms | undefined;
    routeMethods?: RouteMethods | undefined;
  }
}

/** PEM files of a listener; absent: plain HTTP, for behind something that ends TLS. */
export const tlsSchema = z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) });
export type TlsConfig = z.infer<typeof tlsSchema>;

/** Longer path parameters have no route: ids have 128 characters at most, each up to 9 when encoded. */
const LONGEST_PARAM = 2_048;

export interface HttpAppOptions extends Pick<FastifyServerOptions, 'bodyLimit' | 'requestTimeout'> {
  /** Paths of foreign protocols, whose errors are in their form. */
  readonly errorForms?: ErrorForms;
}

/**
 * A Fastify application that listens with TLS where there is a certificate, and logs nothing itself. It reads JSON exactly, gives each request an id,
 * and knows the methods of its paths.
 */
export function createHttpApp(tls: TlsConfig | undefined, options: HttpAppOptions = {}): FastifyInstance {
  const { errorForms, ...limits } = options;
  const settings = {
    ...limits,
    logger: false,
    genReqId: ({ headers }: Pick<FastifyRequest['raw'], 'headers'>) => requestIdIn(headers),
    routerOptions: { maxParamLength: LONGEST_PARAM },
    // What fails before there is a route: a URL that cannot be decoded.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      reply.header(REQUEST_ID, request.id);
      sendError(error, request, reply, errorForms);
    },
    clientErrorHandler: answerBroken,
  };
  const app =
    tls === undefined
      ? fastify(settings)
      : (fastify({
          ...settings,
          https: { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) },
        }) as unknown as FastifyInstance);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header(REQUEST_ID, request.id);
    done();
  });
  app.decorate('errorForms', errorForms);
  app.decorate('routeMethods', new RouteMethods(app));
  acceptJsonOnly(app);
  return app;
}

/** The request's path, without query. */
export const pathOf = ({ url }: Pick<FastifyRequest, 'url'>): string => {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
};

/** Answers with an error, in the form of the route. @returns the status */
export function sendError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  forms: ErrorForms | undefined,
): number {
  const failure = failureOf(error);
  const path = pathOf(request);
  const form = formFor(forms, request.routeOptions?.url ?? path)?.(failure);
  reply.code(failure.status).headers(failure.headers);
  if (form === undefined) void reply.type(PROBLEM_TYPE).send(JSON.stringify(problemOf(failure, path, request.id)));
  else
    void reply
      .headers(form.headers ?? {})
      .type(form.contentType)
      .send(JSON.stringify(form.body));
  return failure.status;
}

const STATUS_OF_BROKEN: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Answers what is no HTTP request, and closes the connection. */
function answerBroken(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const status = STATUS_OF_BROKEN[error.code ?? ''] ?? 400;
  const requestId = requestIdIn({});
  const failure = failureOf(
    Object.assign(new Error('this is not a request of HTTP/1.1, or its head is too large or too late'), {
      statusCode: status,
    }),
  );
  const body = JSON.stringify(problemOf(failure, '', requestId));
  if (socket.writable && socket.bytesWritten === 0) {
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${PROBLEM_TYPE}\r\n${REQUEST_ID}: ${requestId}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroy(error);
}
