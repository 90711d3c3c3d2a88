import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import { controlAccess } from '#connectors/http/access';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { needs } from '#monitoring/http/routes/route_access';
import type { Logger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { sendRaw } from '../../support/hostile/raw_http.ts';

// Tokens, pages in browsers, and who can reach a listener at all.

const KEY = 'the-key-of-these-tests';
const ISSUER = 'https://issuer.test';
const AUDIENCE = 'headwater';

interface Entry {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly event: string;
}
let logged: Entry[] = [];
const log = {
  ...Object.fromEntries(
    ['trace', 'debug', 'info', 'warn', 'error'].map((level) => [
      level,
      (fields: Entry['fields'], event: string) => logged.push({ level, fields, event }),
    ]),
  ),
  child: () => log,
} as unknown as Logger;

const services: HttpService[] = [];
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop();
  logged = [];
});

async function listen(settings: object, host = '127.0.0.1'): Promise<HttpService> {
  const config = gatewayConfigSchema.parse({ port: 0, host, ...settings });
  const app = createHttpApp(undefined);
  await controlAccess(app, config, log);
  const deps = { log, metrics: createMetricsRegistry({ process: false }) };
  const service = new HttpService(deps, { ...config, name: 'test', portSetting: 'PORT' }, app);
  app.post('/ingest', { config: { access: needs('ingest') } }, async ({ caller }) => caller);
  app.get('/ingest', { config: { access: needs('ingest') } }, async () => 'read');
  const console = { access: needs('console:act'), ownOriginOnly: true };
  app.post('/act', { config: console }, async () => 'done');
  services.push(service);
  await service.start();
  return service;
}

let issuer: Server;
let jwksUrl: string;
let answerOfIssuer: { status: number; body: string };
let sign: (claims: JWTPayload) => Promise<string>;
beforeAll(async () => {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256' }] });
  answerOfIssuer = { status: 200, body: jwks };
  issuer = createServer((_, response) => {
    response.writeHead(answerOfIssuer.status, { 'content-type': 'application/json' }).end(answerOfIssuer.body);
  });
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
  jwksUrl = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/secret-path/jwks`;
  sign = (claims) =>
    new SignJWT({ iss: ISSUER, aud: AUDIENCE, ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .sign(privateKey);
});
afterAll(() => void issuer.close());

const nowS = (): number => Math.floor(Date.now() / 1_000);
const jwt = (extra: object = {}) => ({ jwt: { issuer: ISSUER, audience: AUDIENCE, jwksUrl, ...extra } });
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test('a token needs an end and an owner; clocks may differ by 30 s', async () => {
  const { url } = await listen(jwt());
  const send = async (claims: JWTPayload) => {
    const { status, body } = await sendRaw(url, 'POST', '/ingest', bearer(await sign(claims)));
    return status === 200 ? body : [status, /"(exp|sub|nbf)\\?" claim/.exec(body.replaceAll('\\', ''))?.[1]];
  };
  const good = { sub: 'alice', exp: nowS() + 60 };
  expect(await send(good)).toBe('subject alice');
  expect(await send({ sub: 'alice' })).toEqual([401, 'exp']);
  expect(await send({ exp: good.exp })).toEqual([401, 'sub']);
  expect(await send({ ...good, sub: '' })).toEqual([401, 'sub']);
  expect(await send({ ...good, sub: 7 as unknown as string })).toEqual([401, 'sub']);
  expect(await send({ ...good, exp: nowS() - 20 })).toBe('subject alice');
  expect(await send({ ...good, exp: nowS() - 40 })).toEqual([401, 'exp']);
  expect(await send({ ...good, nbf: nowS() + 20 })).toBe('subject alice');
  expect(await send({ ...good, nbf: nowS() + 50 })).toEqual([401, 'nbf']);
});

test('a scoped token may do what its claim says', async () => {
  const { url } = await listen(jwt({ scoped: true }));
  const send = async (claims: JWTPayload) =>
    (await sendRaw(url, 'POST', '/ingest', bearer(await sign({ sub: 'a', exp: nowS() + 60, ...claims })))).status;
  expect(await send({ scope: 'predict:x ingest' })).toBe(200);
  expect(await send({ scope: 'predict:x' })).toBe(403);
  expect(await send({ scope: '' })).toBe(403);
  expect(await send({})).toBe(403);
});

test('a token has the roles that its claim lists, and no others', async () => {
  const send = async (rolesClaim: string, claims: JWTPayload, path = '/act') => {
    const { url } = await listen(jwt({ rolesClaim }));
    return (await sendRaw(url, 'POST', path, bearer(await sign({ sub: 'a', exp: nowS() + 60, ...claims })))).status;
  };
  expect(await send('roles', { roles: ['admin'] })).toBe(200);
  expect(await send('roles', { roles: 'viewer admin' })).toBe(200);
  expect(await send('realm_access.roles', { realm_access: { roles: ['admin'] } })).toBe(200);
  // A claim whose name holds dots, as issuers write their own.
  expect(await send('https://headwater.test/roles', { 'https://headwater.test/roles': ['admin'] })).toBe(200);
  for (const roles of [['viewer'], ['operator', 'approver'], ['Admin'], ['ingest', '*'], [], 7, { admin: true }, null])
    expect([roles, await send('roles', { roles })]).toEqual([roles, 403]);
  expect(await send('roles', {})).toBe(403);
  expect(await send('__proto__.constructor', {})).toBe(403);
  // What the claim `scope` says holds beside the roles.
  expect(await send('roles', { roles: ['viewer'], scope: 'ingest' }, '/ingest')).toBe(200);
});

test.each([
  ['does not answer', { jwksUrl: 'http://127.0.0.1:1/secret-path/jwks' }, {}],
  ['answers 500', {}, { status: 500 }],
  ['answers with something else', {}, { body: '<html>sign in</html>' }],
  ['answers with no keys', {}, { body: '{}' }],
])('an issuer that %s is a 503, whose cause only the log has', async (_, settings, change) => {
  const usual = answerOfIssuer;
  answerOfIssuer = { ...usual, ...change };
  const { url } = await listen({ ...jwt(settings), apiKeys: [KEY] });
  const answer = await sendRaw(url, 'POST', '/ingest', bearer(await sign({ sub: 'alice', exp: nowS() + 60 })));
  answerOfIssuer = usual;
  expect({ ...answer, body: JSON.parse(answer.body) }).toMatchObject({
    status: 503,
    body: { error: { code: 'HTTP_TOKEN_KEYS_UNAVAILABLE' } },
  });
  expect(JSON.stringify(answer)).not.toMatch(/secret-path|127\.0\.0\.1/);
  expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  expect(logged.map(({ event }) => event)).toContain('token_keys.not_fetched');
  // Keys do not need the issuer.
  expect((await sendRaw(url, 'POST', '/ingest', { 'x-api-key': KEY })).status).toBe(200);
});

const FOREIGN = ['https://evil.test', 'null', 'http://127.0.0.1:1', 'http://localhost', 'file://', 'not an origin', ''];

test('pages of other origins send nothing, unless their origin is listed; in the console not even then', async () => {
  const friend = 'https://shop.test';
  const { url } = await listen({ cors: { allowedOrigins: [friend] } });
  const send = async (path: string, headers: Record<string, string>, method = 'POST') =>
    (await sendRaw(url, method, path, headers)).status;
  for (const origin of FOREIGN) {
    for (const path of ['/ingest', '/act', '/%69ngest']) {
      expect([origin, path, await send(path, { origin })]).toEqual([origin, path, 403]);
    }
    expect(await send('/ingest', { origin }, 'GET')).toBe(200);
  }
  for (const path of ['/ingest', '/act']) {
    expect(await send(path, { origin: url })).toBe(200);
    expect(await send(path, {})).toBe(200);
    expect(await send(path, { 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await send(path, { 'sec-fetch-site': 'same-site' })).toBe(403);
    expect(await send(path, { 'sec-fetch-site': 'same-origin' })).toBe(200);
  }
  expect(await send('/ingest', { origin: friend })).toBe(200);
  expect(await send('/act', { origin: friend })).toBe(403);
  const preflight = async (origin: string) => {
    const asked = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key' };
    return (await sendRaw(url, 'OPTIONS', '/ingest', asked)).headers['access-control-allow-origin'];
  };
  expect([await preflight(friend), await preflight('https://evil.test')]).toEqual([friend, undefined]);
  const read = await sendRaw(url, 'GET', '/ingest', { origin: 'https://evil.test' });
  expect(read.headers['access-control-allow-origin']).toBeUndefined();
});

test('with keys, a listed page still needs one; its preflight request does not', async () => {
  const friend = 'https://shop.test';
  const { url } = await listen({ apiKeys: [KEY], cors: { allowedOrigins: [friend] } });
  const asked = { origin: friend, 'access-control-request-method': 'POST' };
  expect((await sendRaw(url, 'OPTIONS', '/ingest', asked)).status).toBe(204);
  const refused = await sendRaw(url, 'POST', '/ingest', { origin: friend });
  expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([401, friend]);
  expect((await sendRaw(url, 'POST', '/ingest', { origin: friend, 'x-api-key': KEY })).status).toBe(200);
});

test('on a loopback address only names of this machine are answered (DNS rebinding)', async () => {
  const { url } = await listen({ allowedHosts: ['platform.internal'] });
  const { port } = new URL(url);
  const send = async (host: string, method = 'GET') => (await sendRaw(url, method, '/ingest', { host })).status;
  for (const host of [
    'localhost',
    `localhost:${port}`,
    `127.0.0.1:${port}`,
    '127.0.0.1',
    `[::1]:${port}`,
    'LOCALHOST:1',
  ]) {
    expect([host, await send(host)]).toEqual([host, 200]);
  }
  for (const host of ['platform.internal', 'platform.internal:80']) expect(await send(host)).toBe(200);
  for (const host of [
    ...['evil.test', `evil.test:${port}`, '127.0.0.1.evil.test', 'localhost.evil.test', '10.0.0.1', '0.0.0.0', ''],
    ...['127.0.0.1@evil.test', 'evil.test#localhost'],
  ]) {
    expect([host, await send(host)]).toEqual([host, 421]);
    // Open routes too: health is for its own origin alone.
    expect((await sendRaw(url, 'GET', '/health', { host })).status).toBe(421);
    expect((await sendRaw(url, 'POST', '/ingest', { host, origin: `http://${host}` })).status).toBe(421);
  }
});

const addressOfNetwork = Object.values(networkInterfaces())
  .flat()
  .find((each) => each !== undefined && !each.internal && each.family === 'IPv4')?.address;

test('without any key a listener is bound to this machine, and the reason is logged; a setting or a key binds it as configured', async () => {
  const bound = (service: HttpService): string => (service.app.server.address() as AddressInfo).address;
  expect(bound(await listen({}, '0.0.0.0'))).toBe('127.0.0.1');
  expect(logged).toContainEqual({
    ...{ level: 'warn', event: 'http.bound_to_loopback' },
    fields: { configured: '0.0.0.0', bound: '127.0.0.1', reason: expect.stringContaining('LISTEN_WITHOUT_KEYS') },
  });
  logged = [];
  expect(bound(await listen({ withoutKeys: true }, '0.0.0.0'))).toBe('0.0.0.0');
  const service = await listen({ apiKeys: [KEY] }, '0.0.0.0');
  expect(bound(service)).toBe('0.0.0.0');
  expect(bound(await listen(jwt(), '0.0.0.0'))).toBe('0.0.0.0');
  expect(logged.map(({ event }) => event)).not.toContain('http.bound_to_loopback');
  // Names of the network are not this listener's to know.
  const headers = { host: 'gateway.headwater.svc', 'x-api-key': KEY };
  const { port } = new URL(service.url);
  expect((await sendRaw(`http://127.0.0.1:${port}`, 'POST', '/ingest', headers)).status).toBe(200);
  if (addressOfNetwork !== undefined) {
    expect((await sendRaw(`http://${addressOfNetwork}:${port}`, 'POST', '/ingest', headers)).status).toBe(200);
  }
});
