import { beforeEach, expect, test } from '@jest/globals';
import type { OutgoingRecord } from '#connectors/connector';
import { ConnectionError } from '#connectors/errors';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import { createGateway } from '#connectors/gateway/gateway';
import { transactions } from '#feature_store/views/transactions';
import { systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

let sent: { topic: string; record: OutgoingRecord }[];
let broken: boolean;
let gateway: HttpService;

const create = (settings: object = {}): Promise<HttpService> =>
  createGateway(
    {
      producer: {
        async send(topic, records) {
          await new Promise((resolve) => setImmediate(resolve));
          if (broken) throw new ConnectionError('the broker', new Error('down'));
          sent.push(...records.map((record) => ({ topic, record })));
        },
      },
      eventTypes: [transactions],
      clock: systemClock,
      log: silentLogger,
      metrics: createMetricsRegistry({ process: false }),
    },
    gatewayConfigSchema.parse(settings),
    { rawEvents: 'raw-events', deadLetters: 'dead-letter-queue' },
  );

beforeEach(async () => {
  sent = [];
  broken = false;
  gateway = await create();
});

const event = (id: string, changes: object = {}) => ({
  event_id: id,
  user_id: 'u1',
  event_type: 'transaction',
  timestamp: new Date().toISOString(),
  account_id: 'a1',
  amount: 5,
  currency: 'EUR',
  merchant_id: 'm1',
  merchant_category: 'grocery',
  country: 'DE',
  ...changes,
});

async function post(path: string, payload: string, headers: Record<string, string> = {}) {
  const answer = await gateway.app.inject({
    method: 'POST',
    url: path,
    payload,
    headers: { 'content-type': 'application/json', ...headers },
  });
  return { status: answer.statusCode, body: answer.json() as Record<string, unknown>, headers: answer.headers };
}
const valuesOf = (topic: string) =>
  sent
    .filter((entry) => entry.topic === topic)
    .map(({ record }) => JSON.parse(String(record.value)) as Record<string, unknown>);

test('a good event is enriched, keyed by user, and acknowledged once durable', async () => {
  expect(await post('/ingest', JSON.stringify(event('e1')))).toMatchObject({
    status: 202,
    body: { event_id: 'e1', status: 'accepted' },
  });
  expect(valuesOf('raw-events')).toEqual([
    {
      ...event('e1'),
      timestamp: expect.any(String),
      received_at: expect.any(String),
      source: 'gateway',
      schema_version: 1,
    },
  ]);
  expect(sent[0]?.record.key).toBe('u1');
});

test('a refused event goes whole to the dead letters, with the reason', async () => {
  const body = JSON.stringify(event('e2', { amount: -5 }));
  expect(await post('/ingest', body)).toMatchObject({ status: 400 });
  expect(valuesOf('raw-events')).toEqual([]);
  expect(valuesOf('dead-letter-queue')).toEqual([
    {
      payload: body,
      reason: expect.stringContaining('amount'),
      stage: 'gateway.validate',
      attempt: 1,
      timestamp: expect.any(String),
    },
  ]);
});

test('repetitions, one after the other and at once, are produced once', async () => {
  const body = JSON.stringify(event('e3'));
  const answers = await Promise.all([post('/ingest', body), post('/ingest', body), post('/ingest', body)]);
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 202]);
  expect((await post('/ingest', body)).body).toEqual({ event_id: 'e3', status: 'duplicate' });
  expect(valuesOf('raw-events')).toHaveLength(1);
});

test('a broker that is down: 503 with Retry-After, and the next try is no repetition', async () => {
  broken = true;
  const answer = await post('/ingest', JSON.stringify(event('e4')));
  expect(answer.status).toBe(503);
  expect(answer.headers['retry-after']).toBe('1');
  broken = false;
  expect(await post('/ingest', JSON.stringify(event('e4')))).toMatchObject({ status: 202 });
});

test.each([
  ['NDJSON', (bodies: string[]) => bodies.join('\n')],
  ['a JSON array', (bodies: string[]) => `[${bodies.join(',')}]`],
])('a batch as %s has a result for each event', async (_, join) => {
  const bodies = [event('b1'), event('b2', { amount: 'x' }), event('b1'), event('b3')].map((item) =>
    JSON.stringify(item),
  );
  const { status, body } = await post('/ingest/batch', join(bodies));
  expect(status).toBe(200);
  expect(body).toMatchObject({ accepted: 2, duplicates: 1, rejected: 1, failed: 0 });
  expect(body.results).toMatchObject([
    { index: 0, event_id: 'b1', status: 'accepted' },
    { index: 1, status: 'rejected', fields: [{ field: 'amount' }] },
    { index: 2, event_id: 'b1', status: 'duplicate' },
    { index: 3, event_id: 'b3', status: 'accepted' },
  ]);
});

test('a batch line that is no JSON spoils itself only', async () => {
  const { body } = await post('/ingest/batch', `${JSON.stringify(event('c1'))}\n{oops\n${JSON.stringify(event('c2'))}`);
  expect(body).toMatchObject({ accepted: 2, rejected: 1 });
  expect(valuesOf('dead-letter-queue')).toMatchObject([{ payload: '{oops' }]);
});

test('a body of 5 MB is refused, and its head kept', async () => {
  const { status, body } = await post('/ingest', JSON.stringify(event('big', { merchant_id: 'x'.repeat(5_000_000) })));
  expect(status).toBe(413);
  expect(body).toMatchObject({ error: { code: 'GATEWAY_BODY_TOO_LARGE' } });
  expect(valuesOf('raw-events')).toEqual([]);
  expect(valuesOf('dead-letter-queue')).toEqual([
    expect.objectContaining({ payload: expect.stringMatching(/^\{"event_id":"big".*first 65536 of 50\d+ characters/) }),
  ]);
});

test('API keys, when configured', async () => {
  gateway = await create({ apiKeys: ['0123456789abcdef'] });
  expect((await post('/ingest', JSON.stringify(event('k1')))).status).toBe(401);
  expect((await post('/ingest', JSON.stringify(event('k1')), { 'x-api-key': '0123456789abcdef' })).status).toBe(202);
  expect((await gateway.app.inject('/health')).statusCode).toBe(200);
});

test('documents itself', async () => {
  const document = (await gateway.app.inject('/openapi.json')).json() as { paths: object };
  expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/ingest', '/ingest/batch']));
  expect((await gateway.app.inject('/docs')).statusCode).toBeLessThan(400);
});
