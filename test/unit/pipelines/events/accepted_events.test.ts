import { afterAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { type EventSource, eventSource } from '#feature_store/definitions/sources/source';
import { contentHash } from '#kernel/hashes/content_hash';
import { DAY_MS, MIN_EVENT_TIME, processingTime } from '#kernel/time';
import { createEventDecoder } from '#pipelines/events/decode_events';
import { createTestGateway, type TestGateway } from '../../connectors/gateway/test_gateway.ts';

// What the gateway accepts, a pipeline reads as the schema has parsed it: once, whatever the schema converts, fills in or drops.

const source = (name: string, shape: z.ZodRawShape, more: Partial<EventSource> = {}): EventSource =>
  eventSource({
    name,
    eventTypes: [name],
    schema: z.object({
      ...{ event_id: z.string(), event_type: z.literal(name), timestamp: z.string(), user_id: z.string() },
      ...shape,
    }),
    schemaVersion: 2,
    eventIdField: 'event_id',
    timestampField: 'timestamp',
    ...more,
  });

const digits = fc.integer({ min: -1_000, max: 1_000 });
/** Schemas with what a client may send for them. */
const kinds: readonly { readonly source: EventSource; readonly sent: fc.Arbitrary<object> }[] = [
  { source: source('plain', { amount: z.number() }), sent: fc.record({ amount: digits }) },
  {
    source: source('cents', { amount: z.number().transform((euro) => euro * 100) }),
    sent: fc.record({ amount: digits }),
  },
  {
    source: source('strings', { amount: z.string().transform(Number) }),
    sent: fc.record({ amount: digits.map(String) }),
  },
  {
    source: source('lists', { tags: z.string().transform((text) => text.split(',')) }),
    sent: fc.record({ tags: fc.constantFrom('a', 'a,b', '') }),
  },
  {
    source: source('big', { n: z.coerce.bigint() }),
    sent: fc.record({ n: fc.oneof(digits, fc.bigInt({ min: 0n, max: 2n ** 63n }).map(String)) }),
  },
  {
    source: source('dates', { at: z.coerce.date() }),
    sent: fc.record({ at: fc.constantFrom('2026-11-28', '2026-11-28T01:00:00+01:00') }),
  },
  {
    source: source('nested', { a: z.object({ n: z.string().transform((text) => text.length) }) }),
    sent: fc.record({ a: fc.record({ n: fc.constantFrom('', 'xyz'), dropped: digits }) }),
  },
  {
    source: source('defaults', { a: z.string().default('none'), b: z.string().trim().optional() }),
    sent: fc.record({ a: fc.constant('x'), b: fc.constant(' y ') }, { requiredKeys: [] }),
  },
  {
    source: source('spread', { amount: z.preprocess((value) => [value, value], z.array(z.number())) }),
    sent: fc.record({ amount: digits }),
  },
  {
    source: source('reserved', { source: z.string(), received_at: z.number(), schema_version: z.string() }),
    sent: fc.record({ source: fc.constant('ads'), received_at: digits, schema_version: fc.constant('1') }),
  },
  {
    source: source('one_reserved', { source: z.string() }),
    sent: fc.record({ source: fc.constantFrom('ads', 'mail') }),
  },
  {
    source: source(
      'loose',
      {},
      {
        schema: z.looseObject({
          event_id: z.string(),
          event_type: z.string(),
          timestamp: z.string(),
          user_id: z.string(),
        }),
      },
    ),
    sent: fc.record({ source: fc.constant('x'), received_at: fc.constant('y'), other: digits }),
  },
  { source: source('timed', { timestamp: z.string().transform((text) => new Date(text)) }), sent: fc.record({}) },
];

const sources = kinds.map((kind) => kind.source);
const gateways: TestGateway[] = [];
afterAll(async () => {
  for (const { service } of gateways) await service.stop();
});
async function open(types: readonly EventSource[]): Promise<TestGateway> {
  const gateway = await createTestGateway({}, types);
  gateways.push(gateway);
  return gateway;
}
const decoderOf = (types: readonly EventSource[]) =>
  createEventDecoder(types, { now: () => processingTime(Date.now()) });

function read(decode: ReturnType<typeof decoderOf>, { sent }: TestGateway) {
  const last = sent.at(-1);
  expect(last?.topic).toBe('raw-events');
  const value = Buffer.from(last?.record.value as string);
  const base = { key: undefined, headers: {}, partition: '0', offset: 0n, timestampMs: Date.now() };
  return decode({ ...base, value }, MIN_EVENT_TIME).element;
}

test('an event of any schema reaches pipelines as it was parsed', async () => {
  const gateway = await open(sources);
  const decode = decoderOf(sources);
  let count = 0;
  const any = fc.constantFrom(...kinds).chain((kind) => kind.sent.map((sent) => [kind.source, sent] as const));
  await fc.assert(
    fc.asyncProperty(any, async ([{ name, schema }, sent]) => {
      const timestamp = new Date().toISOString();
      const event = { event_id: `e${count++}`, event_type: name, timestamp, user_id: 'u1', ...sent };
      const { status, body } = await gateway.post('/ingest', JSON.stringify(event));
      expect([name, status, body.detail]).toEqual([name, 202, undefined]);
      const element = read(decode, gateway);
      const parsed = schema.parse(event) as Record<string, unknown>;
      if (name === 'loose') for (const added of ['source', 'received_at']) delete parsed[added];
      expect([name, 'event' in element ? element.event : element]).toEqual([name, parsed]);
    }),
    { numRuns: 200 },
  );
});

test('what a schema’s own code throws is the event’s fault, single and in a batch', async () => {
  const throws = source('throws', {
    a: z.string().refine(() => {
      throw new RangeError('no');
    }),
  });
  const gateway = await open([throws, sources[0] as EventSource]);
  const event = { event_id: 'e1', event_type: 'throws', timestamp: new Date().toISOString(), user_id: 'u1', a: 'x' };
  const single = await gateway.post('/ingest', JSON.stringify(event));
  expect([single.status, single.body.detail]).toEqual([400, expect.stringMatching(/schema of throws failed: no/)]);
  const good = { ...event, event_type: 'plain', amount: 1 };
  const batch = await gateway.post('/ingest/batch', JSON.stringify([event, good]));
  expect(batch.body).toMatchObject({ accepted: 1, rejected: 1, failed: 0 });
  expect(gateway.valuesOf('dead-letter-queue')).toHaveLength(2);
});

test('an event without id or time is refused, also where its schema has them optional', async () => {
  const optional = source('optional', { event_id: z.string().optional(), timestamp: z.string().nullish() });
  const gateway = await open([optional]);
  const decode = decoderOf([optional]);
  for (const lacking of [
    { event_id: 'e1' },
    { timestamp: new Date().toISOString() },
    { event_id: '' },
    { timestamp: null },
  ]) {
    const event = { event_type: 'optional', user_id: 'u1', ...lacking };
    const { status, body } = await gateway.post('/ingest', JSON.stringify(event));
    expect([status, body.detail]).toEqual([400, expect.stringMatching(/is required/)]);
    const base = { key: undefined, headers: {}, partition: '0', offset: 0n, timestampMs: Date.now() };
    expect(decode({ ...base, value: Buffer.from(JSON.stringify(event)) }, MIN_EVENT_TIME).element).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/is required/),
    });
  }
});

test('events that were accepted by an earlier version are upgraded where they are read later', async () => {
  const before = source('order', { amount: z.number() }, { schemaVersion: 1 });
  const gateway = await open([before]);
  const timestamp = new Date().toISOString();
  const event = { event_id: 'e1', event_type: 'order', timestamp, user_id: 'u1', amount: 1.5 };
  expect((await gateway.post('/ingest', JSON.stringify(event))).status).toBe(202);
  const now = source(
    'order',
    { cents: z.int() },
    {
      earlier: [
        {
          version: 1,
          schema: before.schema,
          upgrade: ({ amount, ...rest }) => ({ ...rest, cents: Number(amount) * 100 }),
        },
      ],
    },
  );
  expect(read(decoderOf([now]), gateway)).toMatchObject({ ok: true, event: { cents: 150 } });
});

test('ids are per user, whatever type the user’s id is of', async () => {
  const numbered = source('numbered', { user_id: z.int() });
  const gateway = await open([numbered]);
  const decode = decoderOf([numbered]);
  for (const user of [1, 2]) {
    const event = { event_id: 'e1', event_type: 'numbered', timestamp: new Date().toISOString(), user_id: user };
    expect((await gateway.post('/ingest', JSON.stringify(event))).status).toBe(202);
    expect(read(decode, gateway)).toMatchObject({ ok: true, eventId: 'e1', userId: `${user}` });
  }
});

test('a time of arrival that lies ahead is not believed', () => {
  const [plain] = sources as [EventSource];
  const decode = decoderOf([plain]);
  const takenInMs = Date.now();
  const event = {
    event_id: 'e1',
    event_type: 'plain',
    timestamp: new Date(takenInMs - DAY_MS).toISOString(),
    user_id: 'u1',
    amount: 1,
  };
  const value = Buffer.from(JSON.stringify({ ...event, received_at: '9999-12-31T23:59:59Z' }));
  const record = { key: undefined, headers: {}, partition: '0', offset: 0n, timestampMs: takenInMs, value };
  const { element } = decode(record, MIN_EVENT_TIME);
  expect(element).toMatchObject({ ok: true, arrivedAtMs: takenInMs, knownAtMs: takenInMs, receivedAtMs: undefined });
});

test('contents that differ in a date alone differ', () => {
  expect(contentHash({ at: new Date(1) })).not.toBe(contentHash({ at: new Date(2) }));
  expect(contentHash({ at: new Date(1) })).toBe(contentHash({ at: new Date(1) }));
});
