import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { controlAccess } from '#connectors/http/access';
import { type AccessConfig, accessSettings } from '#connectors/http/config';
import { Grants } from '#connectors/http/grants';
import { changeKey, createKey, readKeysFile, revokeKey, rotateKey } from '#connectors/http/keys_file';
import { RequestLimits } from '#connectors/http/request_limits';
import { SCOPES, scopeSchema } from '#connectors/http/scopes';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { needs, needsSome } from '#monitoring/http/routes/route_access';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { tinyModel } from '../support/platforms/tiny_model.ts';
import { serveTiny } from '../support/platforms/tiny_serving.ts';

// What keys may do, how often, and for how long: created, rotated and revoked while a listener runs.

const FOREVER = { keysRefreshMs: 0 };
let folder: string;
let file: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keys-'));
});
beforeEach(() => {
  files += 1;
  file = join(folder, `${files}`, 'keys.json');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settingsOf = (settings: object): AccessConfig => z.strictObject(accessSettings).parse(settings);

async function listen(settings: object = { keysFile: file, ...FOREVER }): Promise<FastifyInstance> {
  const app = createHttpApp(undefined);
  await controlAccess(app, settingsOf(settings), silentLogger);
  const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
  new HttpService(deps, { name: 'test', host: '127.0.0.1', port: 0, portSetting: 'PORT' }, app);
  app.post('/ingest', { config: { access: needs('ingest') } }, async ({ caller }) => caller);
  const ofModel = { access: needs(({ name }) => `predict:${name}`) };
  app.get('/models/:name', { config: ofModel }, async ({ caller }) => caller);
  app.get('/models', { config: { access: needsSome('predict') } }, async ({ caller }) => caller);
  const either = { access: needs(({ view }) => [`features:${view}`, 'console:read']) };
  app.get('/views/:view', { config: either }, async ({ caller }) => caller);
  return app;
}

const post = async (app: FastifyInstance, key?: string, remoteAddress = '10.0.0.1') =>
  app.inject({ method: 'POST', url: '/ingest', remoteAddress, headers: key === undefined ? {} : { 'x-api-key': key } });
const statusOf = async (app: FastifyInstance, key?: string, address?: string): Promise<number> =>
  (await post(app, key, address)).statusCode;

test('a key works at once, is rotated with an overlap, and is refused at once when it is revoked', async () => {
  const app = await listen();
  expect(await statusOf(app)).toBe(200);
  const { key } = await createKey(file, { name: 'shop', scopes: ['ingest'] }, Date.now());
  expect([await statusOf(app), await statusOf(app, key), await statusOf(app, `${key}x`)]).toEqual([401, 200, 401]);
  expect((await post(app, key)).body).toMatch(/^key shop \([0-9a-f]{8}\)$/);

  const { key: second } = await rotateKey(file, 'shop', 60_000, Date.now());
  expect([await statusOf(app, key), await statusOf(app, second)]).toEqual([200, 200]);
  const { key: third } = await rotateKey(file, 'shop', 0, Date.now());
  expect([await statusOf(app, second), await statusOf(app, third)]).toEqual([401, 200]);

  await revokeKey(file, 'shop', Date.now());
  expect([await statusOf(app, third), await statusOf(app, key), await statusOf(app)]).toEqual([401, 401, 401]);
  await expect(rotateKey(file, 'shop', 0, Date.now())).rejects.toThrow(/"shop": it is revoked/);
  await expect(revokeKey(file, 'nobody', Date.now())).rejects.toThrow(/there is no such key/);
});

/** Longer than a busy machine takes for two requests. */
const LIFE_MS = 5_000;
test('the overlap of a rotation and the life of a key end by themselves', async () => {
  const app = await listen();
  const { key } = await createKey(
    file,
    { name: 'short', scopes: ['admin'], expiresAtMs: Date.now() + LIFE_MS },
    Date.now(),
  );
  const { key: rotated } = await createKey(file, { name: 'long', scopes: ['admin'] }, Date.now());
  await rotateKey(file, 'long', LIFE_MS, Date.now());
  expect([await statusOf(app, key), await statusOf(app, rotated)]).toEqual([200, 200]);
  await new Promise((resolve) => setTimeout(resolve, LIFE_MS + 50));
  expect([await statusOf(app, key), await statusOf(app, rotated)]).toEqual([401, 401]);
});

test('the file holds hashes alone, only its owner reads it, and a listener that was closed stays closed without it', async () => {
  const app = await listen();
  const { key, stored } = await createKey(file, { name: 'shop', scopes: ['ingest'] }, Date.now());
  expect(readFileSync(file, 'utf8')).not.toContain(key.slice(3));
  expect(readFileSync(file, 'utf8')).toContain(stored.sha256);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(await statusOf(app, key)).toBe(200);
  const text = readFileSync(file, 'utf8');
  for (const broken of ['', '{', '{"version": 1, "keys": [{"id": "x"}]}']) {
    writeFileSync(file, broken);
    // As it was: a mistake of an editor stops no caller, and lets in none.
    expect([await statusOf(app, key), await statusOf(app), await statusOf(app, 'another-key-of-nobody')]).toEqual([
      200, 401, 401,
    ]);
  }
  writeFileSync(file, text);
  chmodSync(file, 0o666);
  await expect(listen()).rejects.toThrow(/other users may write it/);
  rmSync(file);
  expect([await statusOf(app), await statusOf(app, key)]).toEqual([401, 401]);
  writeFileSync(file, '{"version": 1, "keys": []}', { mode: 0o600 });
  expect(await statusOf(app)).toBe(401);
  writeFileSync(file, 'no JSON', { mode: 0o600 });
  await expect(listen()).rejects.toThrow(/keys\.json: it cannot be used \(not JSON/);
});

test('changes from several commands at once are all kept', async () => {
  const names = Array.from({ length: 20 }, (_, index) => `k${index}`);
  const made = await Promise.all(names.map((name) => createKey(file, { name, scopes: ['ingest'] }, Date.now())));
  expect((await readKeysFile(file)).map(({ name }) => name).sort()).toEqual([...names].sort());
  await Promise.all(names.slice(0, 10).map((name) => revokeKey(file, name, Date.now())));
  const app = await listen();
  expect(await Promise.all(made.map(({ key }) => statusOf(app, key)))).toEqual(
    names.map((_, index) => (index < 10 ? 401 : 200)),
  );
  await expect(createKey(file, { name: 'k15', scopes: ['ingest'] }, Date.now())).rejects.toThrow(/exists already/);
});

test('each key has its quota, which changes while the listener runs; refused keys count for their address', async () => {
  const app = await listen({ keysFile: file, ...FOREVER, rateLimit: { requests: 4, windowMs: 60_000 } });
  const quota = { requests: 2, windowMs: 60_000 };
  const { key: small } = await createKey(file, { name: 'small', scopes: ['ingest'], quota }, Date.now());
  const { key: usual } = await createKey(file, { name: 'usual', scopes: ['ingest'] }, Date.now());
  const times = async (count: number, key?: string, address?: string) => {
    const statuses: number[] = [];
    for (let index = 0; index < count; index += 1) statuses.push(await statusOf(app, key, address));
    return statuses;
  };
  expect(await times(3, small)).toEqual([200, 200, 429]);
  expect(await times(5, usual)).toEqual([200, 200, 200, 200, 429]);
  await changeKey(file, 'small', { quota: { requests: 4, windowMs: 60_000 } });
  expect(await times(2, small)).toEqual([200, 429]);
  // Keys that do not exist, no key, and a mixture of both: four in all, then no more tries of this address.
  expect([...(await times(2, WRONG)), ...(await times(3))]).toEqual([401, 401, 401, 401, 429]);
  expect(await times(1, WRONG, '10.0.0.2')).toEqual([401]);
  // One network of IPv6 is one caller.
  const guesses = await Promise.all(
    Array.from({ length: 8 }, (_, index) => statusOf(app, WRONG, `2001:db8::${index + 1}`)),
  );
  expect(guesses.filter((status) => status === 429)).toHaveLength(4);
  const refused = await post(app, small);
  expect(refused.json()).toMatchObject({ error: { code: 'HTTP_RATE_LIMITED' } });
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(1);
  // Requests with a key and without the scope count too.
  const { key: scopeless } = await createKey(file, { name: 'scopeless', scopes: ['predict'] }, Date.now());
  expect(await times(5, scopeless)).toEqual([403, 403, 403, 403, 429]);
});
const WRONG = 'hw_never-made-for-anybody';

test('without any configured limit, guesses of an address end after 100 a minute, and valid keys of it are let in', async () => {
  const app = await listen();
  const { key } = await createKey(file, { name: 'shop', scopes: ['ingest'] }, Date.now());
  const guesses = Array.from({ length: 130 }, (_, index) => [`${WRONG}${index}`, undefined, ''][index % 3]);
  const statuses: number[] = [];
  for (const guess of guesses) statuses.push(await statusOf(app, guess));
  expect([statuses.slice(0, 100), statuses.slice(100)].map((some) => [...new Set(some)])).toEqual([[401], [429]]);
  expect([await statusOf(app, key), await statusOf(app, WRONG, '10.0.0.2'), await statusOf(app, WRONG)]).toEqual([
    200, 401, 429,
  ]);
  expect((await post(app, WRONG)).json()).toMatchObject({
    code: 'HTTP_RATE_LIMITED',
    detail: expect.stringMatching(/without a valid key/),
  });
  // Tokens that are not valid count as well; the setting of the listener wins over the limit of callers.
  const jwt = { issuer: 'i', audience: 'a', jwksUrl: 'http://127.0.0.1:9/jwks' };
  const own = await listen({ jwt, rateLimit: { requests: 50 }, refusedLimit: { requests: 3, windowMs: 60_000 } });
  const withToken = async () =>
    (await own.inject({ method: 'POST', url: '/ingest', headers: { authorization: 'Bearer x.y.z' } })).statusCode;
  const tokens: number[] = [];
  for (let index = 0; index < 5; index += 1) tokens.push(await withToken());
  expect(tokens).toEqual([401, 401, 401, 429, 429]);
});

test('addresses that guess keys push no caller out of its limit, and their memory is bounded', async () => {
  const app = await listen({ keysFile: file, ...FOREVER, rateLimit: { requests: 2, windowMs: 600_000 } });
  const { key } = await createKey(file, { name: 'shop', scopes: ['ingest'] }, Date.now());
  expect([await statusOf(app, key), await statusOf(app, key), await statusOf(app, key)]).toEqual([200, 200, 429]);
  const limits = new RequestLimits();
  for (let index = 0; index < 50_000; index += 1) limits.count(`a${index}`, { requests: 1, windowMs: 600_000 });
  expect(limits.size).toBeLessThanOrEqual(20_000);
  for (let index = 0; index < 21_000; index += 1) {
    await statusOf(app, WRONG, `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
  }
  expect(await statusOf(app, key)).toBe(429);
}, 120_000);

/** What a scope grants, by its words: slow, and without the classes under test. */
function isGranted(granted: readonly string[], needed: string): boolean {
  const [action] = needed.split(':');
  const unversioned = needed.replace(/@[^@]*$/, '');
  return granted.some((scope) => ['admin', '*', action, `${action}:*`, needed, unversioned].includes(scope));
}

const RESOURCES = ['a', 'b', 'a@1', 'a@2', 'b@1', 'ab', '*'];
const anyScope = fc.oneof(
  fc.constantFrom('ingest', 'admin', '*', 'console:read', 'console:act', 'console', 'console:*'),
  fc
    .tuple(fc.constantFrom('predict', 'features', 'explain', 'counters'), fc.constantFrom(undefined, ...RESOURCES))
    .map(([action, resource]) => (resource === undefined ? action : `${action}:${resource}`)),
);

test('random sets of scopes grant what their words say, and nothing else', async () => {
  fc.assert(
    fc.property(fc.array(anyScope, { maxLength: 5 }), anyScope, (granted, needed) => {
      fc.pre(needed !== '*' && needed !== 'admin');
      const grants = new Grants(granted);
      if (!needed.endsWith('*')) expect(grants.covers(needed)).toBe(isGranted(granted, needed));
      const [action = ''] = needed.split(':');
      const some = granted.some((scope) => ['admin', '*'].includes(scope) || scope.split(':')[0] === action);
      expect(grants.coversSome(action)).toBe(some);
    }),
    { numRuns: 2_000 },
  );
  const app = await listen();
  const { key } = await createKey(file, { name: 'changing', scopes: ['ingest'] }, Date.now());
  const requests = [
    ['POST', '/ingest', ['ingest']],
    ...RESOURCES.slice(0, -1).flatMap((name) => [
      ['GET', `/models/${name}`, [`predict:${name}`]] as const,
      ['GET', `/views/${name}`, [`features:${name}`, 'console:read']] as const,
    ]),
  ] as const;
  await fc.assert(
    fc.asyncProperty(fc.array(anyScope, { minLength: 1, maxLength: 4 }), async (scopes) => {
      await changeKey(file, 'changing', { scopes });
      for (const [method, url, needed] of requests) {
        const { statusCode } = await app.inject({ method, url, headers: { 'x-api-key': key } });
        expect([url, scopes, statusCode]).toEqual([
          url,
          scopes,
          needed.some((scope) => isGranted(scopes, scope)) ? 200 : 403,
        ]);
      }
    }),
    { numRuns: 60 },
  );
});

/** What each role may do, of what the console does. */
const ACTS_OF_ROLES: readonly (readonly [scope: string, roles: readonly string[]])[] = [
  ['console:read', ['viewer', 'operator', 'approver', 'admin']],
  ['features:account', ['viewer', 'operator', 'approver', 'admin']],
  ['explain:fraud', ['viewer', 'operator', 'approver', 'admin']],
  ['workflows:review', ['viewer', 'operator', 'approver', 'admin']],
  ['console:replay', ['operator', 'admin']],
  ['routing:fraud', ['operator', 'admin']],
  ['operate:review', ['operator', 'admin']],
  ['promote:fraud', ['approver', 'admin']],
  ['approve:review', ['approver', 'admin']],
  ['role:risk', ['approver', 'admin']],
  ['console:act', ['admin']],
  ['console:erase', ['admin']],
  ['predict:fraud', ['admin']],
  ['ingest', ['admin']],
];

test('a role may do what is its own, and no role but admin does all', () => {
  for (const [scope, roles] of ACTS_OF_ROLES) {
    const may = ['viewer', 'operator', 'approver', 'admin'].filter((role) => new Grants([role]).covers(scope));
    expect([scope, may]).toEqual([scope, roles]);
  }
  const mixed = new Grants(['operator', 'promote:fraud']);
  expect([mixed.covers('promote:fraud'), mixed.covers('promote:other')]).toEqual([true, false]);
  // A role is no action: its name with a resource grants nothing.
  for (const scope of ['viewer:*', 'operator:x']) expect(scopeSchema.safeParse(scope).success).toBe(false);
  expect(new Grants(['__proto__', 'constructor']).covers('console:read')).toBe(false);
});

test('scopes that do not exist are refused by name', () => {
  for (const scope of [
    'route:x',
    'replay:dead-letters',
    'ingest:x',
    'predict:',
    'Predict',
    'console:write',
    'admin:x',
    '',
    'a b',
  ]) {
    expect([scope, scopeSchema.safeParse(scope).success]).toEqual([scope, false]);
  }
  for (const action of Object.keys(SCOPES)) expect(scopeSchema.safeParse(action).success).toBe(true);
  expect(() => settingsOf({ apiKeys: [{ key: 'a-key-of-sixteen-letters', scopes: ['route:x'] }] })).toThrow(
    /is no scope/,
  );
});

test('a model that the key may not use is neither loaded nor looked for', async () => {
  const admin = 'the-key-of-the-administrator';
  const key = 'the-key-for-the-model-tiny';
  const tiny = await serveTiny(
    { onDemand: {}, apiKeys: [admin, { key, scopes: ['predict:tiny', 'explain:tiny', 'feedback:tiny'] }] },
    async (registry) => {
      await registry.register({ name: 'other', package: tinyModel(0), metrics: {}, params: {} });
      await registry.transition('other', 1, 'Production');
    },
  );
  const features = { amount: 1, count: 2, weekend: false, category: 'a' };
  const send = async (as: string, url: string, payload: object) => {
    const answer = await tiny.service.app.inject({ method: 'POST', url, payload, headers: { 'x-api-key': as } });
    return answer.statusCode;
  };
  const inputs = [{ name: 'amount', datatype: 'FP64', shape: [1], data: [1] }];
  for (const name of ['other', 'absent', '../models/tiny', '']) {
    const path = encodeURIComponent(name);
    expect(await send(key, '/predict', { model_name: name, features })).toBe(403);
    expect(await send(key, '/predict', { model_name: name, entity_id: 'e1' })).toBe(403);
    expect(await send(key, '/predict/batch', { model_name: name, instances: [features] })).toBe(403);
    expect(await send(key, '/predict/batch', { model_name: name, entity_ids: ['e1'] })).toBe(403);
    expect(await send(key, '/explain', { model_name: name, features })).toBe(403);
    expect(await send(key, `/v2/models/${path}/infer`, { inputs })).toBe(403);
    expect(await send(key, `/v2/models/${path}/versions/1/infer`, { inputs })).toBe(403);
    expect(await send(key, `/endpoints/${path}/invocations`, { instances: [features] })).toBe(403);
    const lines = await tiny.service.app.inject({
      ...{ method: 'POST', url: `/predict/batch?model_name=${path}`, payload: JSON.stringify(features) },
      headers: { 'x-api-key': key, 'content-type': 'application/x-ndjson' },
    });
    expect(lines.statusCode).toBe(403);
  }
  expect(tiny.models.status().map(({ name }) => name)).toEqual(['tiny']);
  expect(await send(key, '/predict', { model_name: 'tiny', features })).toBe(200);
  expect(await send(admin, '/predict', { model_name: 'other', features })).toBe(200);
  expect(tiny.models.status().map(({ name }) => name)).toEqual(['tiny', 'other']);
  // An explanation along with a prediction needs both scopes.
  await tiny.stop();
  const predicting = await serveTiny({ apiKeys: [{ key, scopes: ['predict:tiny'] }] });
  const ask = (explain: boolean) =>
    predicting.service.app.inject({
      ...{ method: 'POST', url: '/predict', headers: { 'x-api-key': key }, payload: { features, explain } },
    });
  expect([(await ask(false)).statusCode, (await ask(true)).statusCode]).toEqual([200, 403]);
  await predicting.stop();
});
