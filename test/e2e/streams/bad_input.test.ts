import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'bad-input-'));
let platform: PlatformProcess;
beforeAll(async () => {
  platform = await PlatformProcess.start(directory);
}, 90_000);
afterAll(async () => {
  expect(await platform.terminate()).toBe(0);
  rmSync(directory, { recursive: true, force: true });
});

const valid = {
  event_id: 'ok',
  user_id: 'u',
  event_type: 'transaction',
  timestamp: new Date(Date.now() - 60_000).toISOString(),
  account_id: 'bad-input',
  amount: 10,
  currency: 'EUR',
  merchant_id: 'm',
  merchant_category: 'grocery',
  country: 'DE',
};

const ingest = async (body: string) => {
  const answer = await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};
const event = (changes: object) => JSON.stringify({ ...valid, event_id: `bad-${Math.random()}`, ...changes });

test.each([
  ['malformed JSON', () => '{"event_id": "x", ', '', /not JSON/],
  ['an array', () => '[]', '', /must be a JSON object/],
  ['a wrong type', () => event({ amount: '12' }), 'amount', /number/],
  ['a missing field', () => event({ merchant_id: undefined }), 'merchant_id', /is required/],
  ['an unknown field', () => event({ ammount: 1 }), 'ammount', /not a known field/],
  [
    'an unknown event type',
    () => event({ event_type: 'transfer' }),
    'event_type',
    /is not a known type; known: .*\btransaction\b/,
  ],
  ['a timestamp in the year 9999', () => event({ timestamp: '9999-12-31T23:59:59Z' }), 'timestamp', /in the future/],
  ['a timestamp that is none', () => event({ timestamp: 'yesterday' }), 'timestamp', /./],
  [
    'an event of two years ago',
    () => event({ timestamp: '2020-01-01T00:00:00Z' }),
    'timestamp',
    /event ".*": 2020-01-01T00:00:00Z was .* days old .* events may be 7 days old/,
  ],
])('%s is refused with the field named', async (_, body, field, problem) => {
  const answer = await ingest(body());
  expect(answer.status).toBe(400);
  const { fields } = answer.body.error as { fields: { field: string; problem: string }[] };
  expect(fields).toEqual([{ field, problem: expect.stringMatching(problem) }]);
});

test('all problems are named at once', async () => {
  const { body } = await ingest(event({ amount: -1, currency: 'euro', colour: 'red' }));
  const { fields } = body.error as { fields: { field: string }[] };
  expect(fields.map(({ field }) => field).sort()).toEqual(['amount', 'colour', 'currency']);
});

test('a body of 5 MB is refused, and the gateway goes on', async () => {
  const answer = await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: 'x'.repeat(5_000_000) });
  expect(answer.status).toBe(413);
  expect((await fetch(`${platform.urls.gateway}/health`)).status).toBe(200);
});

test('a repeated event_id is acknowledged and counted once; nothing bad reached a feature', async () => {
  expect(await ingest(JSON.stringify(valid))).toMatchObject({ status: 202, body: { status: 'accepted' } });
  expect(await ingest(JSON.stringify(valid))).toMatchObject({ status: 200, body: { status: 'duplicate' } });
  let features: Record<string, { value: unknown }> | undefined;
  for (let attempt = 0; attempt < 100 && features === undefined; attempt += 1) {
    const answer = await fetch(`${platform.urls.features}/features/bad-input`);
    if (answer.status === 200) features = ((await answer.json()) as { features: typeof features }).features;
    else await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(features?.count_7d?.value).toBe(1);
  expect(features?.sum_amount_24h?.value).toBe(10);
});

test('unknown entities, features and paths are named', async () => {
  const get = async (path: string) => {
    const answer = await fetch(`${platform.urls.features}${path}`);
    return { status: answer.status, text: await answer.text() };
  };
  expect(await get('/features/nobody')).toMatchObject({ status: 404, text: expect.stringContaining('nobody') });
  expect(await get('/features/bad-input/shoe_size')).toMatchObject({
    status: 404,
    text: expect.stringContaining('shoe_size'),
  });
  expect(await get('/feature/x')).toMatchObject({ status: 404, text: expect.stringContaining('/docs') });
});

test('predictions: every bad field is named, unknown models and entities too', async () => {
  const predict = async (body: unknown) => {
    const answer = await fetch(`${platform.urls.serving}/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: answer.status, text: await answer.text() };
  };
  const wrong = await predict({
    model_name: 'fraud_detector',
    features: { amount: 'x', merchant_category: 5, shoe_size: 1 },
  });
  expect(wrong.status).toBe(422);
  for (const field of ['amount', 'merchant_category', 'shoe_size']) expect(wrong.text).toContain(field);
  expect(await predict({ model_name: 'nothing', features: {} })).toMatchObject({ status: 404 });
  expect(await predict({ model_name: 'fraud_detector', entity_id: 'nobody' })).toMatchObject({
    status: 404,
    text: expect.stringContaining('nobody'),
  });
  expect((await predict('{"features":')).status).toBe(400);
  expect((await predict({ model_name: 'fraud_detector', entity_id: 'bad-input' })).status).toBe(200);
});

test('a taken port is a clear error that names the setting', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const other = mkdtempSync(join(tmpdir(), 'port-'));
  await expect(PlatformProcess.start(other, { GATEWAY_PORT: String(port) })).rejects.toThrow(
    new RegExp(`gateway cannot listen on 127.0.0.1:${port}: the port is taken.*set GATEWAY_PORT`),
  );
  server.close();
}, 60_000);
