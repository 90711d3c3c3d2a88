import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import awsLambdaFastify from '@fastify/aws-lambda';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { RouteOptions } from 'fastify';
import { ensureInitialModels } from '#cli/project/initial_models';
import { type Platform, startPlatform } from '#cli/roles/platform';
import { ROLES, type Role } from '#cli/terminal/choices';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import { controlAccess } from '#connectors/http/access';
import { createKey, revokeKey } from '#connectors/http/keys_file';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { type Access, open } from '#monitoring/http/routes/route_access';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type RawAnswer, sendRaw } from '../../support/hostile/raw_http.ts';
import { testProject } from '../../support/platforms/test_project.ts';

// The contract of access, over every route of every listener of a real platform. The routes are those that Fastify registered: a new one is
// tested, or fails this suite, without being added here.

const NOW = Date.now();
const CONFIGURED = 'a-key-of-the-configuration';
const WRONG = 'hw_a-key-that-was-never-made-of-no-listener';
const MODEL = 'fraud_detector';

interface Route {
  readonly role: Role;
  readonly method: string;
  readonly path: string;
  /** With its parameters filled in. */
  readonly target: string;
  readonly access: Access;
}

let folder: string;
let platform: Platform;
let routes: readonly Route[];
let keys: Readonly<Record<'admin' | 'none' | 'other' | 'revoked' | 'expired', string>>;

/** What parameters of paths are. */
const PARAMETERS: Readonly<Record<string, string>> = {
  ...{ name: MODEL, version: '1', entity: 'e1', feature: 'amount', counter: 'attempts' },
  ...{ workflow: 'retrain', run: 'nightly@2024-12-20T02:30:00Z', schedule: 'nightly' },
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'access-'));
  const keysFile = join(folder, 'keys.json');
  const make = async (name: string, scopes: string[], expiresAtMs?: number) =>
    (await createKey(keysFile, { name, scopes, expiresAtMs }, NOW)).key;
  keys = {
    admin: await make('admin', ['admin']),
    // A scope that no route of these names needs.
    none: await make('none', ['promote:nothing']),
    // Every action, of a resource that is not the one in the request.
    other: await make(
      'other',
      [
        ...['predict', 'explain', 'feedback', 'routing', 'features', 'counters', 'promote'],
        ...['workflows', 'operate', 'approve'],
      ].map((action) => `${action}:nothing`),
    ),
    revoked: await make('revoked', ['admin']),
    expired: await make('expired', ['admin'], NOW - 1),
  };
  await revokeKey(keysFile, 'revoked', NOW);
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const env = { ...ports, DATA_DIRECTORY: join(folder, 'data'), KEYS_FILE: keysFile, ACCESS_API_KEYS: CONFIGURED };
  // Of thousands of requests without a key, each is to have its answer.
  const unlimited = { requests: 1_000_000, windowMs: 60_000 };
  const config = testProject(env, { 'serving.onDemand': {}, 'access.refusedLimit': unlimited });
  platform = await startPlatform(config, silentLogger, ROLES, ensureInitialModels(config, ROLES));
  routes = ROLES.flatMap((role) =>
    platform.listeners[role].app.registeredRoutes.flatMap((route) => routesOf(role, route)),
  );
}, 120_000);
afterAll(async () => {
  await platform?.services[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

function routesOf(role: Role, { method, url, config }: RouteOptions): Route[] {
  const target = url.replace(/:(\w+)/g, (_, name: string) => PARAMETERS[name] ?? `:${name}`).replace('*', 'index.html');
  return [method].flat().map((each) => ({ role, method: each, path: url, target, access: config?.access as Access }));
}

const describe = ({ role, method, path }: Route): string => `${role} ${method} ${path}`;
const closed = (): readonly Route[] => routes.filter(({ access }) => access.kind !== 'open');
const urlOf = (role: Role): string => platform.urls[role] as string;
const asKey = (key: string): Record<string, string> => ({ 'x-api-key': key });
const codeOf = ({ body }: RawAnswer): unknown => {
  try {
    const { error, code } = JSON.parse(body) as { error?: { code?: string }; code?: string };
    return error?.code ?? code;
  } catch {
    return undefined;
  }
};

/** Whose form the answers of a path have: the platform's own, or that of a protocol. */
const formOf = (path: string): string =>
  /^\/(v2|invocations|endpoints)\b/.exec(path.replace(/^\/v1\b/, '/v2'))?.[1] ?? 'own';

/** What a refusal says, in its protocol's form, without what differs from one request to the next. */
function refusalIn({ method, path }: Pick<Route, 'method' | 'path'>, { body, headers }: RawAnswer): unknown {
  if (method === 'HEAD') return 'no body';
  const parsed = JSON.parse(body) as Record<string, unknown>;
  switch (formOf(path)) {
    case 'v2':
      return Object.keys(parsed).join() === 'error' ? parsed.error : body;
    case 'invocations':
      return parsed.error_code;
    case 'endpoints':
      return headers['x-amzn-errortype'];
    default:
      return parsed.code;
  }
}

/** What {@link refusalIn} returns with status 401 and 403. */
const REFUSALS: Readonly<Record<string, readonly [unauthorized: unknown, forbidden: unknown]>> = {
  own: ['HTTP_UNAUTHORIZED', 'HTTP_FORBIDDEN'],
  v2: [expect.stringMatching(/API key/), expect.stringMatching(/scope/)],
  invocations: ['UNAUTHENTICATED', 'PERMISSION_DENIED'],
  endpoints: ['AccessDeniedException', 'AccessDeniedException'],
};
const expectedOf = ({ method, path }: Route, status: 401 | 403): unknown =>
  method === 'HEAD' ? 'no body' : (REFUSALS[formOf(path)] as readonly unknown[])[status === 401 ? 0 : 1];

/** Some at a time. */
async function each<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let index = 0; index < items.length; index += 20) {
    results.push(...(await Promise.all(items.slice(index, index + 20).map(work))));
  }
  return results;
}

/** Requests that name a resource in their body: each such route is here, or the suite fails. */
const BODIES: Readonly<Record<string, readonly unknown[]>> = {
  'serving POST /predict': [
    { model_name: MODEL, features: {} },
    { features: {} },
    { model_name: 'absent', entity_id: 'e' },
  ],
  'serving POST /predict/batch': [
    { model_name: MODEL, instances: [{}] },
    { model_name: MODEL, entity_ids: ['e'] },
    { model_name: 'absent', instances: [{}] },
  ],
  'serving POST /explain': [
    { model_name: MODEL, features: {} },
    { model_name: 'absent', features: {} },
  ],
  'serving POST /invocations': [{ instances: [{}] }],
  'serving POST /feedback': [{ request_id: 'r1', label: 'fraud' }, { feedback: [{ request_id: 'r2', value: 1 }] }],
  'features POST /features/batch': [{ entities: ['e1'] }],
  'features POST /features/historical': [
    { service: 'fraud@1', rows: [{ entity: 'e1', timestamp: '2026-11-28T12:00:00Z' }] },
    { service: 'absent@1', rows: [{ entity: 'e1', timestamp: '2026-11-28T12:00:00Z' }] },
  ],
  'features POST /features/push': [
    { view: 'tiny@1', rows: [{}] },
    { view: 'absent@1', rows: [{}] },
  ],
  'features POST /features/search': [
    { view: 'fraud@1', feature: 'embedding', vector: [1] },
    { view: 'absent@1', feature: 'embedding', entity: 'e1' },
  ],
  'features POST /features/vector': [
    { service: 'fraud@1', rows: [{ entity: 'e1' }] },
    { service: 'absent@1', rows: [{ entity: 'e1' }] },
  ],
};
/** Lists: they show what the caller may read, which is nothing. */
const LISTS: Readonly<Record<string, (body: string) => unknown>> = {
  'serving GET /models': (body) => (JSON.parse(body) as { models: unknown[] }).models,
  // Of the server, not of models.
  'serving GET /v2': () => [],
  'serving GET /version': () => [],
  'serving GET /v1/models': (body) => (JSON.parse(body) as { models: unknown[] }).models,
  'serving GET /v2/models/stats': (body) => (JSON.parse(body) as { model_stats: unknown[] }).model_stats,
  'serving POST /v2/repository/index': (body) => JSON.parse(body),
  'monitor GET /workflows': (body) => (JSON.parse(body) as { workflows: unknown[] }).workflows,
  'features GET /services': (body) => (JSON.parse(body) as { services: unknown[] }).services,
};

/** Routes that name what they read by an id alone: one of another model is answered as one that does not exist. */
const BY_ID: ReadonlySet<string> = new Set(['serving GET /why/predictions/:id']);

test('every listener has routes, and each declares who may call it', () => {
  expect(new Set(routes.map(({ role }) => role))).toEqual(new Set(ROLES));
  expect(routes.filter(({ access }) => access === undefined).map(describe)).toEqual([]);
  expect(closed().length).toBeGreaterThan(50);
  const openPaths = new Set(routes.filter(({ access }) => access.kind === 'open').map(({ path }) => path));
  const isDocumented =
    /^\/(health(\/(live|ready))?|metrics|graph|openapi\.json|docs(\/.*)?|console(\/([\w-]+\.(js|css))?)?|v2\/health\/(live|ready)|ping)$/;
  expect([...openPaths].filter((path) => !isDocumented.test(path))).toEqual([]);
});

test('without a key, and with one that is wrong, revoked or expired, every closed route gives one and the same answer', async () => {
  const answers = await each(closed(), async (route) => {
    const given = [{}, asKey(WRONG), asKey(keys.revoked), asKey(keys.expired), { authorization: 'Bearer x' }];
    const all = await Promise.all(
      given.map((headers) => sendRaw(urlOf(route.role), route.method, route.target, headers)),
    );
    return all.map((answer) => [
      describe(route),
      answer.status,
      typeof answer.headers['www-authenticate'],
      refusalIn(route, answer),
    ]);
  });
  for (const [index, route] of closed().entries()) {
    const one = [describe(route), 401, 'string', expectedOf(route, 401)];
    expect(answers[index]).toEqual([one, one, one, one, one]);
    // Also to the letter, but for what names the request.
    expect(new Set(answers[index]?.map((answer) => JSON.stringify(answer))).size).toBe(1);
  }
});

test('with a key of no scope that it needs every closed route answers 403, before it looks at anything', async () => {
  const answers = await each(closed(), async (route) => {
    const answer = await sendRaw(urlOf(route.role), route.method, route.target, asKey(keys.none));
    return [describe(route), answer.status, refusalIn(route, answer)];
  });
  expect(answers).toEqual(closed().map((route) => [describe(route), 403, expectedOf(route, 403)]));
});

test('a key for another model, view or counter is refused as well, also where the body names it; lists are empty', async () => {
  const wrong: unknown[] = [];
  for (const route of closed()) {
    const name = describe(route).replace(' HEAD ', ' GET ');
    const ask = (body: unknown) =>
      sendRaw(
        urlOf(route.role),
        route.method,
        route.target,
        asKey(keys.other),
        body === undefined ? '' : JSON.stringify(body),
      );
    const list = LISTS[name];
    if (list !== undefined) {
      const answer = await ask(undefined);
      if (answer.status !== 200 || (route.method === 'GET' && String(list(answer.body)) !== ''))
        wrong.push([name, answer]);
      continue;
    }
    const bodies = route.method === 'POST' && route.access.kind === 'some' ? BODIES[name] : [undefined];
    if (bodies === undefined) {
      wrong.push(`${name}: add a body that names a resource to BODIES`);
      continue;
    }
    for (const body of bodies) {
      const answer = await ask(body);
      if (answer.status !== (BY_ID.has(name) ? 404 : 403)) wrong.push([name, body, answer.status, answer.body]);
    }
  }
  expect(wrong).toEqual([]);
});

test('an administrator’s key and a key of the configuration are let in everywhere', async () => {
  const refused = await each(closed(), async (route) => {
    const given = [asKey(keys.admin), asKey(CONFIGURED)];
    const all = await Promise.all(
      given.map((headers) => sendRaw(urlOf(route.role), route.method, route.target, headers)),
    );
    return all.filter(
      ({ status, body }) => [401, 421].includes(status) || (status === 403 && body.includes('HTTP_FORBIDDEN')),
    );
  });
  expect(refused.flat()).toEqual([]);
});

/** Other ways to write a path, which routers, proxies and checks have read differently. */
function variantsOf(target: string, host: string): readonly string[] {
  const first = target.charCodeAt(1);
  const encoded = Number.isNaN(first) ? target : `/%${first.toString(16)}${target.slice(2)}`;
  return [
    ...[encoded, encoded.toUpperCase(), target.toUpperCase(), `/${target}`, target.replaceAll('/', '//'), `${target}/`],
    ...[
      `${target};jsessionid=1`,
      `${target}?key=${WRONG}`,
      `${target}#x`,
      `${target}%00`,
      `${target}%20`,
      `${target}.json`,
    ],
    ...[`/.${target}`, `/x/..${target}`, `/%2e%2e${target}`, `/health/..${target}`, `/docs/static/..%2f..${target}`],
    ...[
      `http://${host}${target}`,
      `http://elsewhere.test${target}`,
      `https://${host}${encoded}`,
      target.replaceAll('/', '%2f'),
    ],
    ...[`/\\${target.slice(1)}`, `${target}/%zz`, `/${'a'.repeat(300)}`, `${target}/${'a'.repeat(300)}`],
  ];
}

test('a path is never let in by how it is written', async () => {
  const requests = closed().flatMap((route) =>
    variantsOf(route.target, new URL(urlOf(route.role)).host).map((target) => ({ route, target })),
  );
  expect(requests.length).toBeGreaterThan(1_000);
  const wrong: unknown[] = [];
  await each(requests, async ({ route, target }) => {
    for (const headers of [{}, asKey(WRONG)]) {
      const answer = await sendRaw(urlOf(route.role), route.method, target, headers);
      const isRefused = answer.status === 401;
      // What is no request target, or holds NUL, is refused before any route is looked for.
      const isMalformed =
        answer.status === 400 &&
        ['HTTP_BAD_REQUEST', 'HTTP_INVALID_TARGET', undefined].includes(codeOf(answer) as string);
      const isOpenRoute = /^\/+(docs|health)/.test(target) || target.includes('/docs/');
      if (!isRefused && !isMalformed && !isOpenRoute) wrong.push([describe(route), target, answer.status, answer.body]);
    }
    const scoped = await sendRaw(urlOf(route.role), route.method, target, asKey(keys.none));
    if (![400, 403, 404, 405, 414].includes(scoped.status))
      wrong.push([describe(route), target, scoped.status, 'scoped']);
  });
  expect(wrong.slice(0, 5)).toEqual([]);
}, 240_000);

test('without a key every route and method answers the same', async () => {
  for (const role of ROLES) {
    for (const target of ['/', '/nothing', '/ingest', '/models', '/%zz', `/features/${'x'.repeat(500)}`, '*']) {
      for (const method of ['GET', 'POST', 'DELETE', 'PATCH', 'OPTIONS', 'PURGE']) {
        const answer = await sendRaw(urlOf(role), method, target === '*' && method !== 'OPTIONS' ? '/*' : target);
        expect([role, method, target, answer.status]).toEqual([role, method, target, 401]);
      }
    }
  }
});

test('every answer has the headers that browsers need, also to what is no request', async () => {
  const targets = ['/health', '/nothing', '/%zz', '/docs', '/metrics'];
  for (const role of ROLES) {
    const answers = await Promise.all([
      ...targets.map((target) => sendRaw(urlOf(role), 'GET', target)),
      ...targets.map((target) => sendRaw(urlOf(role), 'GET', target, asKey(keys.admin))),
      sendRaw(urlOf(role), 'GET', '/x y'),
      sendRaw(urlOf(role), 'GET', '/health', { 'x-long': 'a'.repeat(40_000) }),
      sendRaw(urlOf(role), 'POST', '/ingest', { 'content-length': 'many' }),
    ]);
    for (const { status, headers } of answers) {
      expect([status, headers]).toEqual([
        status,
        expect.objectContaining({
          'x-content-type-options': 'nosniff',
          'content-security-policy': expect.stringContaining("default-src '"),
          'referrer-policy': 'no-referrer',
          'cross-origin-resource-policy': 'same-origin',
        }),
      ]);
    }
  }
});

test('functions of AWS Lambda decide as the listeners do', async () => {
  for (const role of ['gateway', 'features', 'serving'] as const) {
    const answer = awsLambdaFastify(platform.listeners[role].app, { decorateRequest: false }) as unknown as (
      event: object,
      context: object,
    ) => Promise<{ statusCode: number; body: string }>;
    const invoke = (method: string, path: string, headers: Record<string, string>) =>
      answer(
        {
          ...{ version: '2.0', routeKey: '$default', rawPath: path, rawQueryString: '', isBase64Encoded: false },
          headers: { host: 'localhost', ...headers },
          requestContext: { http: { method, path, sourceIp: '10.0.0.1' }, stage: '$default' },
        },
        {},
      );
    for (const route of closed().filter((candidate) => candidate.role === role)) {
      for (const path of [route.target, `/%${route.target.charCodeAt(1).toString(16)}${route.target.slice(2)}`]) {
        const statuses = [];
        for (const headers of [{}, asKey(WRONG), asKey(keys.revoked), asKey(keys.none)]) {
          statuses.push((await invoke(route.method, path, headers)).statusCode);
        }
        // The adapter has decoded paths of its own: what they match then decides.
        expect([describe(route), path, statuses.slice(0, 3)]).toEqual([describe(route), path, [401, 401, 401]]);
        expect([403, 404]).toContain(statuses[3]);
      }
    }
  }
});

test('a listener with a route that declares nothing does not start, nor one without a guard', async () => {
  const settings = gatewayConfigSchema.parse({ port: 0 });
  const make = async (isGuarded: boolean, declared: object) => {
    const app = createHttpApp(undefined);
    if (isGuarded) await controlAccess(app, settings, silentLogger);
    const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
    const service = new HttpService(deps, { name: 'test', host: '127.0.0.1', port: 0, portSetting: 'PORT' }, app);
    app.post('/new', declared, async () => 'done');
    return service;
  };
  const undeclared = await make(true, {});
  await expect(undeclared.start()).rejects.toThrow(/POST \/new: set config\.access/);
  const unguarded = await make(false, { config: { access: open() } });
  await expect(unguarded.start()).rejects.toThrow(/has no guard/);
  await expect((await make(true, {})).app.inject({ method: 'POST', url: '/new' })).rejects.toThrow(/POST \/new/);
  const declared = await make(true, { config: { access: open() } });
  await declared.start();
  expect((await sendRaw(declared.url, 'POST', '/new')).status).toBe(200);
  for (const service of [undeclared, unguarded, declared]) await service.stop();
});
