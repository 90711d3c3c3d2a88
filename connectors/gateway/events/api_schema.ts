import { z } from 'zod';
import { exampleTime } from '#kernel/event_fields';
import { HEADERS, type JsonSchema, problems, REQUEST_HEADERS } from '#monitoring/http/routes/api_schemas';
import type { EventType } from './event_validator.ts';

// The gateway's part of GET /openapi.json. It describes: events are checked by their own schemas, which name every mistake.

const text = { type: 'string' } as const;

/** Known beforehand, an answer is written without looking at it. */
const TAKEN = {
  type: 'object',
  required: ['event_id', 'status'],
  properties: { event_id: text, status: { type: 'string', enum: ['accepted', 'duplicate'] } },
} as const;

const BATCH = {
  type: 'object',
  required: ['accepted', 'duplicates', 'rejected', 'failed', 'results'],
  properties: {
    accepted: { type: 'integer' },
    duplicates: { type: 'integer' },
    rejected: { type: 'integer' },
    failed: { type: 'integer' },
    is_cut: { type: 'boolean', description: 'The answer grew too large: results have index, status and code only' },
    results: {
      type: 'array',
      items: {
        type: 'object',
        required: ['index', 'status'],
        properties: {
          index: { type: 'integer' },
          event_id: text,
          status: { type: 'string', enum: ['accepted', 'duplicate', 'rejected', 'failed'] },
          code: { type: 'string', description: 'As in docs/errors.md' },
          http_status: { type: 'integer', description: 'What POST /ingest would have answered' },
          reason: text,
          fields: { type: 'array', items: { type: 'object', properties: { field: text, problem: text } } },
        },
      },
    },
  },
} as const;

const TAKEN_BATCH = {
  ...{ accepted: 1, duplicates: 0, rejected: 1, failed: 0 },
  results: [
    { index: 0, event_id: 'e-1', status: 'accepted' },
    {
      ...{ index: 1, status: 'rejected', code: 'GATEWAY_INVALID_EVENT', http_status: 400 },
      ...{ reason: 'amount: must be a number', fields: [{ field: 'amount', problem: 'must be a number' }] },
    },
  ],
};
const FAILED_BATCH = {
  ...{ accepted: 0, duplicates: 0, rejected: 0, failed: 1 },
  results: [{ index: 0, event_id: 'e-1', status: 'failed', code: 'GATEWAY_SPOOL_FULL', http_status: 503 }],
};

const answer = (description: string, schema: JsonSchema, example: unknown): JsonSchema => ({
  description,
  headers: HEADERS,
  content: { 'application/json': { schema, example } },
});

const WHY = {
  409: 'An event of this user with this id was accepted before, with other content',
  413: 'The body or the record is too large, or the batch has too many events',
  415: 'A media type, charset or event format that is not read here',
  503: 'The broker is away and the disk is full: send it again after Retry-After',
};
const ERRORS = [400, 401, 403, 405, 413, 415, 429, 503] as const;

/** Schemas of POST /ingest and POST /ingest/batch. */
export function apiSchemas(types: readonly EventType[], unknownTypes: 'reject' | 'accept') {
  const schemas = types.map(eventSchema);
  const open = { type: 'object', required: ['event_id', 'event_type', 'timestamp'], additionalProperties: true };
  const event: JsonSchema = { anyOf: unknownTypes === 'accept' ? [...schemas, open] : schemas };
  const [example] = types.flatMap(({ example: given, ...type }) =>
    // Whatever time it was written with would be too old one day.
    given === undefined ? [] : [{ ...given, [type.timestampField]: exampleTime(type, given[type.timestampField]) }],
  );
  // Within the schema: @fastify/swagger passes on nothing that stands beside it.
  const media = (schema: JsonSchema, shown: unknown): JsonSchema => ({
    schema: example === undefined ? schema : { ...schema, examples: [shown] },
  });
  const attributes = {
    specversion: { type: 'string', const: '1.0' },
    id: { ...text, minLength: 1 },
    source: { ...text, minLength: 1 },
    type: { ...text, minLength: 1 },
    time: { ...text, format: 'date-time' },
    subject: { ...text, minLength: 1 },
    datacontenttype: { type: 'string', const: 'application/json' },
    data: { type: 'object', description: 'Fields of the event; what is left out comes from the attributes' },
  };
  const cloudEvent = {
    type: 'object',
    required: ['specversion', 'id', 'source', 'type', 'data'],
    properties: attributes,
  };
  const { event_id: id, event_type: type, timestamp: time, ...data } = (example ?? {}) as Record<string, unknown>;
  const cloudExample = { specversion: '1.0', id, type, time, source: '/shop', data };
  const single = {
    summary: 'Takes one event, or a batch of CloudEvents',
    description:
      'CloudEvents 1.0 are read in all modes: structured, batched, and binary (attributes in ce- headers). A repeated event is answered 200.',
    headers: REQUEST_HEADERS,
    body: {
      required: true,
      content: {
        'application/json': media(event, example),
        'application/cloudevents+json': media(cloudEvent, cloudExample),
        'application/cloudevents-batch+json': media({ type: 'array', items: cloudEvent }, [cloudExample]),
      },
    },
    response: {
      200: answer(
        'It was accepted before; or what became of each event of a batch',
        { anyOf: [TAKEN, BATCH] },
        { event_id: 'e-1', status: 'duplicate' },
      ),
      202: answer('It is durable in the broker', TAKEN, { event_id: 'e-1', status: 'accepted' }),
      ...problems([...ERRORS, 409], WHY),
    },
  };
  const batch = {
    summary: 'Takes many events: NDJSON, a JSON array, or a batch of CloudEvents',
    description: 'Each event has its own result. 503: some have failed and may be sent again; the others were taken.',
    headers: REQUEST_HEADERS,
    body: {
      required: true,
      content: {
        'application/x-ndjson': media(text, JSON.stringify(example)),
        'application/json': media({ type: 'array', items: event }, [example]),
        'application/cloudevents-batch+json': media({ type: 'array', items: cloudEvent }, [cloudExample]),
      },
    },
    response: {
      200: answer('What became of each event', BATCH, TAKEN_BATCH),
      ...problems(
        ERRORS.filter((code) => code !== 503),
        WHY,
      ),
      503: {
        description: 'Some events have failed: send these again; or the gateway takes nothing at the moment',
        headers: HEADERS,
        content: { 'application/json': { schema: BATCH, example: FAILED_BATCH }, ...problemContent() },
      },
    },
  };
  return { single, batch };
}

const problemContent = (): JsonSchema => (problems([503])[503] as { readonly content: JsonSchema }).content;

function eventSchema({ schema }: EventType): JsonSchema {
  const { $schema: _, ...own } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema & {
    $schema?: unknown;
  };
  return own;
}
