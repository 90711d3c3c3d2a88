import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  fastify,
} from 'fastify';
import { ConnectionErrors } from './connection_errors.ts';
import { type ErrorForms, failureOf, formFor, PROBLEM_TYPE, problemOf } from './error_answer.ts';
import { acceptJsonOnly } from './json_body.ts';
import { lingerOnClose } from './lingering_close.ts';
import { headerProblem, REQUEST_ID, requestIdIn } from './request_headers.ts';
import { requireDeclaredAccess } from './routes/route_access.ts';
import { RouteMethods } from './routes/route_methods.ts';
import { SECURITY_HEADERS, TLS_HEADERS } from './security_headers.ts';
import type { TlsConfig } from './tls_config.ts';
import { validateRequests } from './validation/request_validation.ts';

declare module 'fastify' {
  interface FastifyInstance {
    errorForms?: ErrorForms | undefined;
    routeMethods?: RouteMethods | undefined;
  }
}

/** The application refuses a request without Host, with an answer that says why. */
const PARSER = { requireHostHeader: false } as const;

/** Longer path parameters have no route: an entity's id has 1,024 bytes at most, each 3 characters when encoded. */
const LONGEST_PARAM = 3_072;

export interface HttpAppOptions extends Pick<FastifyServerOptions, 'bodyLimit' | 'requestTimeout'> {
  /** Paths of foreign protocols, whose errors are in their form. */
  readonly errorForms?: ErrorForms;
}

/**
 * A Fastify application that listens with TLS where there is a certificate, and logs nothing itself. It reads JSON exactly, checks requests by the
 * schemas of their routes, gives each request an id, and knows the methods of its paths. Every answer has security headers, also one to a request that no route or hook ever sees; it does not start with a route
 * that declares no access.
 */
export function createHttpApp(tls: TlsConfig | undefined, options: HttpAppOptions = {}): FastifyInstance {
  const { errorForms, ...limits } = options;
  const headers = tls === undefined ? SECURITY_HEADERS : { ...SECURITY_HEADERS, ...TLS_HEADERS };
  const settings = {
    ...limits,
    logger: false,
    genReqId: ({ headers }: Pick<FastifyRequest['raw'], 'headers'>) => requestIdIn(headers),
    routerOptions: { maxParamLength: LONGEST_PARAM },
    // A plugin of a project may open a database first.
    pluginTimeout: 60_000,
    // What fails before there is a route: a URL that cannot be decoded.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      reply.headers(headers).header(REQUEST_ID, request.id);
      void answerUnrouted(app, error, request, reply);
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => connectionErrors.answer(error, socket),
  };
  const app: FastifyInstance =
    tls === undefined
      ? fastify({ ...settings, http: PARSER })
      : (fastify({
          ...settings,
          https: { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile), ...PARSER },
        }) as unknown as FastifyInstance);
  const connectionErrors = new ConnectionErrors(app, headers);
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(headers).header(REQUEST_ID, request.id);
    const problem = headerProblem(request.raw);
    // Where the next request begins may be read differently by what is in front.
    if (problem !== undefined) reply.header('connection', 'close');
    done(problem);
  });
  requireDeclaredAccess(app);
  app.decorate('errorForms', errorForms);
  app.decorate('routeMethods', new RouteMethods(app));
  acceptJsonOnly(app);
  validateRequests(app);
  requireFullPaths(app);
  return app;
}

/** Answers 404 where a path ends at `/` before a parameter's value: the router takes that for a parameter of no characters. */
function requireFullPaths(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const names = [...route.url.matchAll(/\/:(\w+)/g)].map(([, name]) => name as string);
    if (names.length === 0) return;
    const own = [route.onRequest ?? []].flat();
    // After the listener's own hooks, so that a key is needed first.
    route.onRequest = [
      ...own,
      (request, reply, done) => {
        const params = request.params as Readonly<Record<string, string>>;
        if (names.some((name) => params[name] === '')) reply.callNotFound();
        else done();
      },
    ];
  });
}

/** Answers a request whose target no router can read: as one without a route, so that a key is needed first. */
async function answerUnrouted(
  app: FastifyInstance,
  error: Error,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  let answer: unknown = error;
  try {
    await app.guard?.authorize(request, reply);
  } catch (refusal) {
    answer = refusal;
  }
  sendError(answer, request, reply, app.errorForms);
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
  // Where headers leave in doubt how long the body is, what follows it must not be read as a request.
  if (headerProblem(request.raw) === undefined) lingerOnClose(request.raw);
  const path = pathOf(request);
  const form = formFor(forms, request.routeOptions?.url ?? path)?.(failure);
  // A rate limit knows better when to come again.
  const isTimed = reply.hasHeader('retry-after');
  reply.code(failure.status).headers(isTimed ? without(failure.headers, 'retry-after') : failure.headers);
  if (form === undefined) void reply.type(PROBLEM_TYPE).send(JSON.stringify(problemOf(failure, path, request.id)));
  else
    void reply
      .headers(form.headers ?? {})
      .type(form.contentType)
      .send(JSON.stringify(form.body));
  return failure.status;
}

const without = (headers: Readonly<Record<string, string>>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([each]) => each !== name));
