import compress from '@fastify/compress';
import rateLimit from '@fastify/rate-limit';
import { type FastifyInstance, fastify } from 'fastify';
import { LRUCache } from 'lru-cache';
import type { Producer } from '#connectors/connector';
import { messageOf, type PlatformError } from '#kernel/errors';
import type { Clock } from '#kernel/time';
import { registerApiDocs } from '#monitoring/api_docs';
import { HttpService } from '#monitoring/http_service';
import type { Logger } from '#monitoring/log';
import { Counter, Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { authenticate } from './authentication.ts';
import type { GatewayConfig } from './config.ts';
import { BodyTooLargeError, InvalidEventError, RateLimitedError } from './errors.ts';
import { createEventValidator, type EventType, parseJson, type ValidEvent } from './event_validator.ts';
import { SendQueue } from './send_queue.ts';
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

type Outcome = 'accepted' | 'duplicate';

const SOURCE = 'gateway';
/** How much of a body that is too large goes to the dead letters, characters. */
const KEPT_OF_LARGE_BODY = 64 * 1024;

/** The door for events: POST /ingest and POST /ingest/batch. An event is acknowledged once it is durable in the broker, not before. */
export async function createGateway(
  deps: GatewayDeps,
  config: GatewayConfig,
  topics: GatewayTopics,
): Promise<HttpService> {
  const { clock, log } = deps;
  const app = fastify({ logger: false, bodyLimit: config.maxBodyBytes, requestTimeout: 30_000 });
  // Of requests only: answers are small.
  await app.register(compress, { globalCompression: false, globalDecompression: true });
  if (config.rateLimit !== undefined) await limitRate(app, config.rateLimit);
  await registerApiDocs(app, { title: 'headwater gateway', description: 'Takes events in' });
  const spool = config.spool === undefined ? undefined : new SpoolingProducer(deps, config.spool);
  const producer = spool ?? deps.producer;
  const service = new HttpService(
    { ...deps, dependencies: () => ({ broker: spool?.problem }), beside: spool },
    { ...config, name: 'gateway', portSetting: 'GATEWAY_PORT' },
    app,
  );
  const validate = createEventValidator(deps.eventTypes, config.unknownEventTypes);
  const events = new SendQueue(producer, topics.rawEvents);
  const deadLetters = new SendQueue(producer, topics.deadLetters);
  /** Ids accepted lately, and those on their way: a repetition waits for the first one's fate. */
  const seen = new LRUCache<string, true | Promise<void>>({ max: config.rememberedIds });
  const counters = createCounters(deps.metrics);

  const accept = async (event: ValidEvent): Promise<Outcome> => {
    const { eventId } = event;
    const earlier = seen.get(eventId);
    if (earlier !== undefined) {
      await earlier;
      counters.duplicates.inc();
      return 'duplicate';
    }
    const enriched = {
      ...event.fields,
      received_at: new Date(clock.now()).toISOString(),
      source: SOURCE,
      schema_version: event.schemaVersion,
    };
    const sending = events.send({ key: event.key, value: JSON.stringify(enriched) });
    seen.set(eventId, sending);
    try {
      await sending;
    } catch (error) {
      // Not taken: the client's next try must not be called a repetition.
      seen.delete(eventId);
      throw error;
    }
    seen.set(eventId, true);
    counters.accepted.inc();
    return 'accepted';
  };

  /** A refusal is not answered before the dead letter is durable either: nothing that came in is lost. */
  const refuse = async (payload: string, error: PlatformError): Promise<void> => {
    counters.rejected.inc({ reason: error.code });
    const letter = {
      payload,
      reason: error.message,
      stage: 'gateway.validate',
      attempt: 1,
      timestamp: new Date(clock.now()).toISOString(),
    };
    await deadLetters.send({ value: JSON.stringify(letter) });
  };

  /** Read whole before it is refused: a client that is cut off while it writes never sees the answer. */
  const refuseLarge = async (body: string): Promise<never> => {
    counters.received.inc();
    const error = new BodyTooLargeError(config.maxBodyBytes);
    const kept = body.slice(0, KEPT_OF_LARGE_BODY);
    await refuse(`${kept}… (the first ${kept.length} of ${body.length} characters)`, error);
    throw error;
  };

  const take = async (text: string): Promise<{ readonly eventId: string; readonly outcome: Outcome }> => {
    counters.received.inc();
    let event: ValidEvent;
    try {
      event = validate(parseJson(text), clock.now());
    } catch (error) {
      if (error instanceof InvalidEventError) await refuse(text, error);
      throw error;
    }
    return { eventId: event.eventId, outcome: await accept(event) };
  };

  acceptBodiesAsText(app);
  authenticate(app, config);
  app.addHook('onResponse', async (request, reply) => {
    if (request.method === 'POST')
      counters.seconds.observe({ route: request.routeOptions.url ?? '' }, reply.elapsedTime / 1_000);
  });
  app.addHook('onError', async (request, _, error) => {
    if (error.code !== 'FST_ERR_CTP_BODY_TOO_LARGE') return;
    counters.received.inc();
    await refuse(
      `(a body of ${request.headers['content-length'] ?? 'unknown'} bytes was not read)`,
      new BodyTooLargeError(config.maxBatchBodyBytes),
    ).catch((failure: unknown) => log.error({ error: failure }, 'gateway.dead_letter_failed'));
  });

  app.post<{ Body: string }>(
    '/ingest',
    {
      bodyLimit: config.maxBatchBodyBytes,
      schema: { summary: 'Takes one event', consumes: ['application/json'] },
    },
    async (request, reply) => {
      const body = request.body ?? '';
      if (body.length > config.maxBodyBytes) await refuseLarge(body);
      const { eventId, outcome } = await take(body);
      // Repeating an accepted event is no error: the client may not have seen the first answer.
      reply.code(outcome === 'accepted' ? 202 : 200);
      return { event_id: eventId, status: outcome };
    },
  );

  app.post<{ Body: string }>(
    '/ingest/batch',
    {
      bodyLimit: config.maxBatchBodyBytes,
      schema: {
        summary: 'Takes many events: NDJSON, or a JSON array',
        consumes: ['application/x-ndjson', 'application/json'],
      },
    },
    async (request, reply) => {
      const texts = splitBatch(request.body ?? '');
      let unavailable = false;
      const results = await Promise.all(
        texts.map(async (text, index) => {
          try {
            const { eventId, outcome } = await take(text);
            return { index, event_id: eventId, status: outcome };
          } catch (error) {
            if (error instanceof InvalidEventError) {
              return { index, status: 'rejected', reason: error.message, fields: error.fields };
            }
            unavailable = true;
            return { index, status: 'failed', reason: `${messageOf(error)}; send this event again` };
          }
        }),
      );
      const count = (status: string): number => results.filter((result) => result.status === status).length;
      if (unavailable) reply.code(503).header('retry-after', '1');
      return {
        accepted: count('accepted'),
        duplicates: count('duplicate'),
        rejected: count('rejected'),
        failed: count('failed'),
        results,
      };
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

/** A limit for each caller, counted in this process. */
async function limitRate(app: FastifyInstance, limit: NonNullable<GatewayConfig['rateLimit']>): Promise<void> {
  const { requests, windowMs } = limit;
  await app.register(rateLimit, {
    global: true,
    max: requests,
    timeWindow: windowMs,
    // After authentication, which says who it is.
    hook: 'preParsing',
    keyGenerator: ({ caller }) => caller,
    allowList: ({ url }) => !url.startsWith('/ingest'),
    errorResponseBuilder: () => new RateLimitedError(requests, windowMs),
  });
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

function createCounters(registry: Registry) {
  const registers = [registry];
  return {
    received: new Counter({ name: 'events_received_total', help: 'Events that reached the gateway', registers }),
    accepted: new Counter({ name: 'events_accepted_total', help: 'Events made durable in the broker', registers }),
    duplicates: new Counter({ name: 'events_duplicate_total', help: 'Events whose id had been accepted', registers }),
    rejected: new Counter({
      name: 'events_rejected_total',
      help: 'Events refused, by error code',
      labelNames: ['reason'],
      registers,
    }),
    seconds: new Histogram({
      name: 'gateway_request_seconds',
      help: 'Time to answer',
      labelNames: ['route'],
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
  };
}
