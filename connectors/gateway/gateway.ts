import compress from '@fastify/compress';
import type { FastifyInstance } from 'fastify';
import type { Producer } from '#connectors/connector';
import type { Clock } from '#kernel/time';
import { registerApiDocs } from '#monitoring/api_docs';
import { createHttpApp } from '#monitoring/http_app';
import { HttpService } from '#monitoring/http_service';
import type { Logger } from '#monitoring/log';
import { Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { needs } from '#monitoring/route_access';
import { traceparentOf } from '#monitoring/tracing';
import { controlAccess } from '../http/access.ts';
import type { GatewayConfig } from './config.ts';
import { EventIntake } from './event_intake.ts';
import { createEventValidator, type EventType } from './event_validator.ts';
import { SpoolingProducer } from './spool.ts';

export interface GatewayDeps {
  readonly producer: Producer;
  readonly eventTypes: readonly EventType[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
}

export interface GatewayTopics {
  readonly rawEvents: string;
  readonly deadLetters: string;
}

/** Known beforehand, an answer is written without looking at it. */
const TAKEN = {
  type: 'object',
  properties: { event_id: { type: 'string' }, status: { type: 'string', enum: ['accepted', 'duplicate'] } },
} as const;

/** The door for events: POST /ingest and POST /ingest/batch. An event is acknowledged once it is durable in the broker, not before. */
export async function createGateway(
  deps: GatewayDeps,
  config: GatewayConfig,
  topics: GatewayTopics,
): Promise<HttpService> {
  const { clock, log } = deps;
  const app = createHttpApp(config.tls, { bodyLimit: config.maxBodyBytes, requestTimeout: 30_000 });
  // Of requests only: answers are small.
  await app.register(compress, { globalCompression: false, globalDecompression: true });
  await registerApiDocs(app, { title: 'headwater gateway', description: 'Takes events in' });
  const spool = config.spool === undefined ? undefined : new SpoolingProducer(deps, config.spool);
  const producer = spool ?? deps.producer;
  const service = new HttpService(
    { ...deps, dependencies: () => ({ broker: spool?.problem }), beside: spool },
    { ...config, name: 'gateway', portSetting: 'GATEWAY_PORT' },
    app,
  );
  const intake = new EventIntake(
    {
      producer,
      validate: createEventValidator(deps.eventTypes, config.unknownEventTypes),
      clock,
      metrics: deps.metrics,
      rememberedIds: config.rememberedIds,
    },
    topics,
  );
  const seconds = new Histogram({
    name: 'gateway_request_seconds',
    help: 'Time to answer',
    labelNames: ['route'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [deps.metrics],
  });

  acceptBodiesAsText(app);
  await controlAccess(app, config, log);
  const observed = new Map(['/ingest', '/ingest/batch'].map((route) => [route, seconds.labels({ route })]));
  app.addHook('onResponse', (request, reply, done) => {
    observed.get(request.routeOptions.url ?? '')?.observe(reply.elapsedTime / 1_000);
    done();
  });
  app.addHook('onError', async (request, _, error) => {
    if (error.code !== 'FST_ERR_CTP_BODY_TOO_LARGE') return;
    await intake
      .refuseUnread(request.headers['content-length'], config.maxBatchBodyBytes)
      .catch((failure: unknown) => log.error({ error: failure }, 'gateway.dead_letter_failed'));
  });

  app.post<{ Body: string }>(
    '/ingest',
    {
      config: { access: needs('ingest') },
      bodyLimit: config.maxBatchBodyBytes,
      schema: {
        summary: 'Takes one event',
        consumes: ['application/json'],
        response: { 200: TAKEN, 202: TAKEN },
      },
    },
    async (request, reply) => {
      const body = request.body ?? '';
      // Read whole before it is refused: a client that is cut off while it writes never sees the answer.
      if (body.length > config.maxBodyBytes) throw await intake.refuseLarge(body, config.maxBodyBytes);
      const { eventId, outcome } = await intake.take(body, traceparentOf(request.span));
      // Repeating an accepted event is no error: the client may not have seen the first answer.
      reply.code(outcome === 'accepted' ? 202 : 200);
      return { event_id: eventId, status: outcome };
    },
  );

  app.post<{ Body: string }>(
    '/ingest/batch',
    {
      config: { access: needs('ingest') },
      bodyLimit: config.maxBatchBodyBytes,
      schema: {
        summary: 'Takes many events: NDJSON, or a JSON array',
        consumes: ['application/x-ndjson', 'application/json'],
      },
    },
    async (request, reply) => {
      const results = await intake.takeAll(splitBatch(request.body ?? ''), traceparentOf(request.span));
      const counts = { accepted: 0, duplicate: 0, rejected: 0, failed: 0 };
      for (const { status } of results) counts[status] += 1;
      if (counts.failed > 0) reply.code(503).header('retry-after', '1');
      const { accepted, duplicate: duplicates, rejected, failed } = counts;
      return { accepted, duplicates, rejected, failed, results };
    },
  );

  app.addHook('preClose', async () => log.info({}, 'gateway.closing'));
  return service;
}

/** Bodies come as text, whatever their content type: parsing is ours, so that the bytes can go to the dead letters. */
function acceptBodiesAsText(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
}

/** The texts of a batch's events; an array that cannot be parsed is one bad event. */
function splitBatch(body: string): readonly string[] {
  const trimmed = body.trimStart();
  if (trimmed.startsWith('[')) {
    try {
      return (JSON.parse(trimmed) as unknown[]).map((event) => JSON.stringify(event));
    } catch {
      return [body];
    }
  }
  return body.split('\n').filter((line) => line.trim() !== '');
}
