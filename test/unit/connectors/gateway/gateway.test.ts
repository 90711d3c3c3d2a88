import { beforeEach, expect, test } from '@jest/globals';
import { goodEvent as event } from '../../../support/definitions/good_event.ts';
import { createTestGateway, type TestGateway } from './test_gateway.ts';

let gateway: TestGateway;
beforeEach(async () => {
  gateway = await createTestGateway();
});

const post: TestGateway['post'] = (path, payload, headers) => gateway.post(path, payload, headers);
const valuesOf: TestGateway['valuesOf'] = (topic) => gateway.valuesOf(topic);

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
  expect(gateway.sent[0]?.record.key).toBe('u1');
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
  gateway.broker.mode = 'down';
  const answer = await post('/ingest', JSON.stringify(event('e4')));
  expect(answer.status).toBe(503);
  expect(answer.headers['retry-after']).toBe('1');
  gateway.broker.mode = 'up';
  expect(await post('/ingest', JSON.stringify(event('e4')))).toMatchObject({ status: 202 });
});

test.each([
  ['NDJSON', (bodies: string[]) => bodies.join('\n')],
  ['a JSON array', (bodies: string[]) => `[${bodies.join(',')}]`],
])('a batch as %s has a result for each event', async (_, join) => {
  const first = event('b1');
  const bodies = [first, event('b2', { amount: 'x' }), first, event('b3')].map((item) => JSON.stringify(item));
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

test('a body of 5 MB is refused; with no folder for large letters its beginning is kept', async () => {
  const { status, body } = await post('/ingest', JSON.stringify(event('big', { merchant_id: 'x'.repeat(5_000_000) })));
  expect(status).toBe(413);
  expect(body).toMatchObject({ error: { code: 'GATEWAY_BODY_TOO_LARGE' } });
  expect(valuesOf('raw-events')).toEqual([]);
  expect(valuesOf('dead-letter-queue')).toEqual([
    expect.objectContaining({ payload: expect.stringMatching(/^\{"event_id":"big"/), isCut: true }),
  ]);
});

test('API keys, when configured', async () => {
  gateway = await createTestGateway({ apiKeys: ['0123456789abcdef'] });
  expect((await post('/ingest', JSON.stringify(event('k1')))).status).toBe(401);
  expect((await post('/ingest', JSON.stringify(event('k1')), { 'x-api-key': '0123456789abcdef' })).status).toBe(202);
  expect((await gateway.app.inject('/health')).statusCode).toBe(200);
});

test('documents itself', async () => {
  const document = (await gateway.app.inject('/openapi.json')).json() as { paths: object };
  expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/ingest', '/ingest/batch']));
  expect((await gateway.app.inject('/docs')).statusCode).toBeLessThan(400);
});

test('attributes of a CloudEvent in headers may be quoted (RFC 9110) and percent-encoded', async () => {
  const gateway = await createTestGateway();
  const headers = (id: string) => ({
    ...{ 'ce-specversion': '1.0', 'ce-source': '"/shop"', 'ce-type': 'transaction', 'ce-id': id },
    ...{ 'ce-time': new Date().toISOString(), 'ce-subject': '"u%201"' },
  });
  const data = {
    account_id: 'a',
    amount: 1,
    currency: 'EUR',
    merchant_id: 'm',
    merchant_category: 'fuel',
    country: 'DE',
  };
  for (const [id, read] of [
    ['"e1"', 'e1'],
    ['"a\\"b"', 'a"b'],
    ['e%22', 'e"'],
    ['"', '"'],
  ] as const) {
    const { status, body } = await gateway.post('/ingest', JSON.stringify(data), headers(id));
    expect([id, status, body.event_id]).toEqual([id, 202, read]);
  }
  expect(gateway.valuesOf('raw-events')[0]).toMatchObject({ user_id: 'u 1' });
  await gateway.service.stop();
});
