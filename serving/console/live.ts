import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { needs } from '#monitoring/http/routes/route_access';

/** How long an answer is as it is before it is looked at again, ms; and at least so many times as long as it took. */
const EVERY_MS = 2_000;
const REST = 10;
const MOST_PATHS = 8;
/** What a page may follow: answers of this listener to GET that the console reads. */
const FOLLOWED = '/(console/api/|models/)(?!live)[^ ]*';
/** A comment now and then, so that what is in between does not take the connection for dead. */
const ALIVE_MS = 20_000;

/** Headers that say who calls; the others are of this request. */
const OF_CALLER = ['authorization', 'x-api-key', 'host'] as const;

/**
 * GET /console/api/live: answers of other routes as server-sent events, each when it has changed. Every answer is what the route itself
 * gives this caller: access, limits and schemas are the route's.
 */
export function registerLive(app: FastifyInstance): void {
  const schema = {
    hide: true,
    querystring: {
      type: 'object',
      additionalProperties: false,
      required: ['paths'],
      properties: {
        paths: {
          type: 'string',
          maxLength: 16_000,
          description: 'with a space between two',
          pattern: `^${FOLLOWED}( ${FOLLOWED}){0,${MOST_PATHS - 1}}$`,
        },
      },
    },
  };
  const ended = new AbortController();
  app.addHook('preClose', async () => ended.abort());
  app.get<{ Querystring: { paths: string } }>(
    '/console/api/live',
    { schema, config: { access: needs('console:read') } },
    async (request, reply) => {
      const gone = new AbortController();
      request.raw.once('close', () => gone.abort());
      const signal = AbortSignal.any([gone.signal, ended.signal]);
      reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
      return reply.send(Readable.from(changesOf(app, request, request.query.paths.split(' '), signal)));
    },
  );
}

async function* changesOf(
  app: FastifyInstance,
  request: FastifyRequest,
  paths: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<string> {
  const headers = Object.fromEntries(
    OF_CALLER.flatMap((name) => {
      const value = request.headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
  const seen = new Map<string, string>();
  let spokeMs = 0;
  while (!signal.aborted) {
    const beganMs = performance.now();
    for (const path of paths) {
      const { statusCode, payload } = await app.inject({
        ...{ method: 'GET', url: path, headers, remoteAddress: request.ip },
      });
      // A caller over its limit, or a store that is away: what was shown stays.
      if (statusCode === 429 || seen.get(path) === payload || signal.aborted) continue;
      seen.set(path, payload);
      spokeMs = performance.now();
      yield `data: {"path":${JSON.stringify(path)},"status":${statusCode},"body":${payload === '' ? 'null' : payload}}\n\n`;
    }
    if (performance.now() - spokeMs > ALIVE_MS) {
      spokeMs = performance.now();
      yield ':\n\n';
    }
    await sleep(Math.max(EVERY_MS, REST * (performance.now() - beganMs)), undefined, { signal, ref: false }).catch(
      () => {},
    );
  }
}
