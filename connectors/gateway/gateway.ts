import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Producer } from '#connectors/connector';
import type { Clock } from '#kernel/time';
import { type Health, withSource } from '#monitoring/health';
import { acceptCompressedBodies } from '#monitoring/http/compressed_body';
import { registerApiDocs } from '#monitoring/http/docs/api_docs';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { registerPlugins } from '#monitoring/http/role_plugin';
import { needs } from '#monitoring/http/routes/route_access';
import type { Logger } from '#monitoring/log';
import { Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { traceparentOf } from '#monitoring/tracing';
import type { DeadLetterWriter } from '../dead_letters/dead_letter_writer.ts';
import { controlAccess } from '../http/access.ts';
import { answerBatch } from './batch_answer.ts';
import { CloudEventReader } from './cloud_events.ts';
import type { GatewayConfig } from './config.ts';
import { BodyTooLargeError, TooManyEventsError, UnsupportedEventFormError } from './errors.ts';
import { eventFormOf } from './event_form.ts';
import { EventIntake, type ReadIncoming } from './event_intake.ts';
import { apiSchemas } from './events/api_schema.ts';
import { createEventValidator, type EventType } from './events/event_validator.ts';
import { type GatewayPlugin, gatewayForPlugins } from './plugin.ts';
import { splitBatch } from './split_batch.ts';
import { SpoolingProducer } from './spool.ts';
import { writeSpooledLetters } from './spooled_letters.ts';

type IngestRequest = FastifyRequest<{ Body: Buffer | undefined }>;

const EMPTY = Buffer.alloc(0);

export interface GatewayDeps {
  readonly producer: Producer;
  /** For records that the broker refuses after they were accepted, and for payloads that are too large for a topic. */
  readonly deadLetters: DeadLetterWriter;
  readonly eventTypes: readonly EventType[];
  /** How old an event may be when it is received, ms: the pipeline's setting. */
  readonly allowedLatenessMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Registry;
  readonly health?: Health;
  /** Of the project. */
  readonly plugins?: readonly GatewayPlugin[];
}

export interface GatewayTopics {
  readonly rawEvents: string;
  readonly deadLetters: string;
}

/** The endpoint for events: POST /ingest and POST /ingest/batch. An event is acknowledged once it is durable in the broker, not before. */
export async function createGateway(
  deps: GatewayDeps,
  config: GatewayConfig,
  topics: GatewayTopics,
): Promise<HttpService> {
  const { log } = deps;
  const app = createHttpApp(config.tls, { bodyLimit: config.maxBodyBytes, requestTimeout: 30_000 });
  await acceptCompressedBodies(app);
  const spool =
    config.spool === undefined
      ? undefined
      : new SpoolingProducer({ ...deps, refuse: writeSpooledLetters(deps, topics) }, config.spool);
  const producer = spool ?? deps.producer;
  const service = new HttpService(
    // Not ready when the spool takes nothing: no event can be accepted then.
    { ...deps, health: spool === undefined ? deps.health : withSource(deps.health, spool), beside: spool },
    { ...config, name: 'gateway', portSetting: 'GATEWAY_PORT' },
    app,
  );
  await registerApiDocs(app, { title: 'headwater gateway', description: 'Takes events in' });
  const validate = createEventValidator(deps.eventTypes, {
    unknownTypes: config.unknownEventTypes,
    allowedLatenessMs: deps.allowedLatenessMs,
  });
  const intake = new EventIntake({ ...deps, producer, validate }, topics, config);
  const cloudEvents = new CloudEventReader(deps.eventTypes);
  const schemas = apiSchemas(deps.eventTypes, config.unknownEventTypes);
  const seconds = new Histogram({
    name: 'gateway_request_seconds',
    help: 'Time to answer',
    labelNames: ['route'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [deps.metrics],
  });

  acceptBodiesAsBytes(app);
  await controlAccess(app, config, log);
  const observed = new Map(['/ingest', '/ingest/batch'].map((route) => [route, seconds.labels({ route })]));
  app.addHook('onResponse', (request, reply, done) => {
    observed.get(request.routeOptions.url ?? '')?.observe(reply.elapsedTime / 1_000);
    done();
  });
  app.addHook('onError', async (request, _, error) => {
    if (error.code !== 'FST_ERR_CTP_BODY_TOO_LARGE' || request.is404) return;
    await intake
      .refuseUnread(request.headers['content-length'], config.maxBatchBodyBytes)
      .catch((failure: unknown) => log.error({ error: failure }, 'gateway.dead_letter_failed'));
  });

  const answerAll = async (request: IngestRequest, reply: FastifyReply, read: ReadIncoming | undefined) => {
    const body = request.body ?? EMPTY;
    let events: readonly (Buffer | string)[];
    try {
      events = await splitBatch(body, config.maxBatchItems);
    } catch (error) {
      throw error instanceof TooManyEventsError ? await intake.refuseBody(body, error) : error;
    }
    const results = await intake.takeAll(events, traceparentOf(request.span), read);
    const { text, hasFailed } = answerBatch(results, config.maxAnswerBytes);
    if (hasFailed) reply.code(503).header('retry-after', '1');
    return reply.type('application/json; charset=utf-8').send(text);
  };

  // Events are checked by the schemas of their sources.
  const taking = { access: needs('ingest'), bodyReader: 'bytes' } as const;
  app.post<{ Body: Buffer | undefined }>(
    '/ingest',
    { config: taking, bodyLimit: config.maxBatchBodyBytes, schema: schemas.single },
    async (request, reply) => {
      const { cloudEvents: mode, read } = eventFormOf(request, cloudEvents);
      if (mode === 'batched') return answerAll(request, reply, read);
      const body = request.body ?? EMPTY;
      // Read whole before it is refused: a client that is cut off while it writes never sees the answer.
      if (body.length > config.maxBodyBytes) {
        throw await intake.refuseBody(body, new BodyTooLargeError(config.maxBodyBytes));
      }
      const { eventId, outcome } = await intake.take(body, traceparentOf(request.span), read);
      // Repeating an accepted event is no error: the client may not have seen the first answer.
      reply.code(outcome === 'accepted' ? 202 : 200);
      return { event_id: eventId, status: outcome };
    },
  );

  app.post<{ Body: Buffer | undefined }>(
    '/ingest/batch',
    { config: taking, bodyLimit: config.maxBatchBodyBytes, schema: schemas.batch },
    async (request, reply) => {
      const { cloudEvents: mode, read } = eventFormOf(request, cloudEvents);
      if (mode === 'binary' || mode === 'structured') {
        throw new UnsupportedEventFormError(
          'a single CloudEvent goes to /ingest; here, send application/cloudevents-batch+json',
        );
      }
      return answerAll(request, reply, read);
    },
  );

  await registerPlugins(app, deps.plugins ?? [], { log, metrics: deps.metrics, ...gatewayForPlugins(intake) });
  app.addHook('preClose', async () => log.info({}, 'gateway.closing'));
  return service;
}

/** Bodies come as bytes, whatever their content type: parsing is ours, so that what came in can go to the dead letters as it is. */
function acceptBodiesAsBytes(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
}
