import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { z } from 'zod';
import type { EventType } from '#connectors/gateway/events/event_validator';
import { transactionSchema, transactions } from '#examples/fraud/features/transactions';
import { goodEvent } from '../../../support/definitions/good_event.ts';
import { createTestGateway, type TestGateway } from './test_gateway.ts';

// Who may send what, how much and how it is packed.

const ISSUER = 'https://issuer.test';
const AUDIENCE = 'headwater';
const API_KEY = '0123456789abcdef';

let issuer: Server;
let jwksUrl: string;
let signingKey: CryptoKey;
beforeAll(async () => {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  signingKey = privateKey;
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256' }] });
  issuer = createServer((_, response) => response.setHeader('content-type', 'application/json').end(keys));
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
  jwksUrl = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/jwks`;
});
afterAll(() => void issuer.close());

const token = (claims: JWTPayload = {}, key = signingKey): Promise<string> =>
  new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: 'alice', exp: Math.floor(Date.now() / 1_000) + 60, ...claims })
    .setProtectedHeader({ alg: 'RS256', kid: 'one' })
    .sign(key);

const send = (gateway: TestGateway, id: string, headers: Record<string, string> = {}) =>
  gateway.post('/ingest', JSON.stringify(goodEvent(id)), headers);

test('a valid token lets in, and so does an API key', async () => {
  const gateway = await createTestGateway({ jwt: { issuer: ISSUER, audience: AUDIENCE, jwksUrl }, apiKeys: [API_KEY] });
  expect((await send(gateway, 'a', { authorization: `Bearer ${await token()}` })).status).toBe(202);
  expect((await send(gateway, 'b', { 'x-api-key': API_KEY })).status).toBe(202);
  expect(await send(gateway, 'c')).toMatchObject({
    status: 401,
    body: { error: { message: expect.stringMatching(/x-api-key header or a valid token/) } },
  });
});

test.each([
  ['of another issuer', { iss: 'https://elsewhere.test' }, /unexpected "iss" claim/],
  ['for another audience', { aud: 'others' }, /unexpected "aud" claim/],
  ['that has expired', { exp: 1 }, /"exp" claim timestamp check failed/],
])('a token %s is refused, saying why', async (_, claims, reason) => {
  const gateway = await createTestGateway({ jwt: { issuer: ISSUER, audience: AUDIENCE, jwksUrl } });
  const answer = await send(gateway, 'a', { authorization: `Bearer ${await token(claims)}` });
  const error = { code: 'HTTP_UNAUTHORIZED', message: expect.stringMatching(reason) };
  expect(answer).toMatchObject({ status: 401, body: { error } });
  expect(gateway.sent).toEqual([]);
});

test('a token signed by somebody else is refused', async () => {
  const gateway = await createTestGateway({ jwt: { issuer: ISSUER, audience: AUDIENCE, jwksUrl } });
  const { privateKey } = await generateKeyPair('RS256');
  const forged = await token({}, privateKey);
  expect((await send(gateway, 'a', { authorization: `Bearer ${forged}` })).status).toBe(401);
  expect((await send(gateway, 'a', { authorization: 'Bearer nonsense' })).status).toBe(401);
});

test('when the issuer cannot be asked, that is said, and it is not the caller’s fault', async () => {
  const gateway = await createTestGateway({
    jwt: { issuer: ISSUER, audience: AUDIENCE, jwksUrl: 'http://127.0.0.1:1/jwks' },
  });
  const answer = await send(gateway, 'a', { authorization: `Bearer ${await token()}` });
  expect(answer).toMatchObject({ status: 503, body: { error: { code: 'HTTP_TOKEN_KEYS_UNAVAILABLE' } } });
});

test('each caller has its own limit; answers say when to come back', async () => {
  const second = `${API_KEY}-2`;
  const gateway = await createTestGateway({
    apiKeys: [API_KEY, second],
    rateLimit: { requests: 3, windowMs: 60_000 },
  });
  const statuses: number[] = [];
  for (let index = 0; index < 5; index += 1) {
    statuses.push((await send(gateway, `e${index}`, { 'x-api-key': API_KEY })).status);
  }
  expect(statuses).toEqual([202, 202, 202, 429, 429]);
  const refused = await send(gateway, 'e9', { 'x-api-key': API_KEY });
  expect(refused.body).toMatchObject({ error: { code: 'HTTP_RATE_LIMITED' } });
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect((await send(gateway, 'f', { 'x-api-key': second })).status).toBe(202);
  expect((await gateway.app.inject('/health')).statusCode).toBe(200);
});

test('bodies may be compressed', async () => {
  const gateway = await createTestGateway();
  const lines = ['g1', 'g2'].map((id) => JSON.stringify(goodEvent(id))).join('\n');
  const answer = await gateway.post('/ingest/batch', gzipSync(lines), { 'content-encoding': 'gzip' });
  expect(answer).toMatchObject({ status: 200, body: { accepted: 2 } });
});

test('what grows too large when it is unpacked is refused', async () => {
  const gateway = await createTestGateway({ maxBatchBodyBytes: 1_000_000 });
  const bomb = gzipSync(Buffer.alloc(50_000_000, ' '));
  expect(bomb.length).toBeLessThan(100_000);
  expect((await gateway.post('/ingest/batch', bomb, { 'content-encoding': 'gzip' })).status).toBe(413);
  const cut = gzipSync(JSON.stringify(goodEvent('x'))).subarray(0, 50);
  expect((await gateway.post('/ingest', cut, { 'content-encoding': 'gzip' })).status).toBe(400);
  expect((await gateway.post('/ingest', 'x', { 'content-encoding': 'rot13' })).status).toBe(415);
});

const twoVersions: EventType = {
  eventTypes: ['click'],
  schemaVersion: 2,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
  schema: z.strictObject({
    event_id: z.string(),
    event_type: z.string(),
    timestamp: z.string(),
    user_id: z.string(),
    page_url: z.string(),
  }),
  earlier: [
    {
      version: 1,
      schema: z.strictObject({
        event_id: z.string(),
        event_type: z.string(),
        timestamp: z.string(),
        user_id: z.string(),
        page: z.string(),
      }),
      upgrade: ({ page, ...rest }) => ({ ...rest, page_url: `https://shop.test/${page}` }),
    },
  ],
};

test('earlier versions of a schema are still taken, and upgraded', async () => {
  const gateway = await createTestGateway({}, [twoVersions]);
  const click = { event_type: 'click', timestamp: new Date().toISOString(), user_id: 'u' };
  const post = (event: object) => gateway.post('/ingest', JSON.stringify({ ...click, ...event }));
  expect((await post({ event_id: '1', page: 'shoes', schema_version: 1 })).status).toBe(202);
  expect((await post({ event_id: '2', page_url: 'https://shop.test/hats', schema_version: 2 })).status).toBe(202);
  expect((await post({ event_id: '3', page_url: 'https://shop.test/bags' })).status).toBe(202);
  expect(gateway.valuesOf('raw-events')).toMatchObject([
    { event_id: '1', page_url: 'https://shop.test/shoes', schema_version: 2 },
    { event_id: '2', page_url: 'https://shop.test/hats', schema_version: 2 },
    { event_id: '3', schema_version: 2 },
  ]);
  const wrong = await post({ event_id: '4', page: 'shoes', schema_version: 7 });
  expect(wrong.body).toMatchObject({
    error: { fields: [{ field: 'schema_version', problem: '7 is no version of click; versions: 1, 2' }] },
  });
});

test('a bigint that its schema does not read from JSON is named with the type that does', async () => {
  const counters = { ...transactions, eventTypes: ['counter'] as const };
  const schema = (total: z.ZodType) => transactionSchema.extend({ event_type: z.literal('counter'), total });
  const body = (total: unknown): string => JSON.stringify({ ...goodEvent('b1', { event_type: 'counter' }), total });
  const strict = await createTestGateway({}, [{ ...counters, schema: schema(z.int64()) }]);
  expect((await strict.post('/ingest', body(992))).body).toMatchObject({
    fields: [{ field: 'total', problem: expect.stringContaining('declare the field as z.coerce.bigint()') }],
  });
  const coerced = await createTestGateway({}, [{ ...counters, schema: schema(z.coerce.bigint()) }]);
  for (const total of [992, '9007199254740993'])
    expect(
      (await coerced.post('/ingest', JSON.stringify({ ...JSON.parse(body(total)), event_id: `b${total}` }))).status,
    ).toBe(202);
});

test('types without a schema are passed on, when that is wanted, if they have an id and a time', async () => {
  const gateway = await createTestGateway({ unknownEventTypes: 'accept' });
  const odd = { event_id: 'o1', event_type: 'odd', timestamp: new Date().toISOString(), anything: [1, 2] };
  expect((await gateway.post('/ingest', JSON.stringify(odd))).status).toBe(202);
  expect(gateway.valuesOf('raw-events')).toMatchObject([{ ...odd, source: 'gateway' }]);
  const broken = await gateway.post('/ingest', JSON.stringify({ event_type: 'odd', timestamp: 'yesterday' }));
  expect(broken).toMatchObject({
    status: 400,
    body: { error: { fields: [{ field: 'event_id' }, { field: 'timestamp' }] } },
  });
});
