import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import fc from 'fast-check';
import type { RouteOptions } from 'fastify';
import { closeFunctions, features, ingest, predict } from '#cli/roles/lambda';
import { type Platform, startPlatform } from '#cli/roles/platform';
import { ROLES, type Role } from '#cli/terminal/choices';
import { silentLogger } from '#monitoring/log';
import { goodEvent } from '../support/definitions/good_event.ts';
import { hostileBody, hostileHeaders, hostileText, hostileType } from '../support/hostile/hostile_requests.ts';
import { type RawAnswer, sendRaw } from '../support/hostile/raw_http.ts';
import { byForm } from '../support/jest/forms.ts';
import { fraudDetectorVersion, testProject } from '../support/platforms/test_project.ts';

// Fuzzed targets, headers and bodies on every route of every listener of a real platform, and on its functions for AWS Lambda: no 500, no unhandled
// rejection, no hang, and no good event of another client harmed. The routes are those that Fastify registered: a new one is fuzzed without being added here.

const RUNS_A_ROUTE = byForm({ short: 6, long: 16 });
const RUNS_A_FUNCTION = byForm({ short: 30, long: 80 });
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_128);
const MODEL = 'fraud_detector';
/** Moved and routed by fuzzed requests; the other one is to answer throughout. */
const SPARE = 'spare';

interface Route {
  readonly role: Role;
  readonly method: string;
  readonly path: string;
  readonly query: readonly string[];
  readonly bodies: readonly unknown[];
}

let folder: string;
let platform: Platform;
let routes: readonly Route[];
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
const HAS_BODY = ['POST', 'PUT', 'PATCH'];
/** Bodies of routes that no document describes. */
const HIDDEN_BODIES = [
  { stage: 'Staging', reason: 'fuzz', approvedBy: 'x' },
  { stage: 'pipeline.decode', reason: 'x' },
];

const urlOf = (role: Role): string => platform.urls[role] as string;

beforeAll(async () => {
  process.on('unhandledRejection', note).on('uncaughtException', note);
  folder = mkdtempSync(join(tmpdir(), 'fuzz-'));
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const config = testProject(
    { ...ports, DATA_DIRECTORY: join(folder, 'data') },
    { 'serving.models': [{ name: MODEL }, { name: SPARE }], 'serving.onDemand': {} },
  );
  platform = await startPlatform(config, silentLogger, ROLES, async ({ registry }) => {
    const shipped = await fraudDetectorVersion();
    for (const name of [MODEL, SPARE]) {
      await registry.register({ ...shipped, name });
      await registry.transition(name, 1, 'Production');
    }
  });
  routes = (await Promise.all(ROLES.map(routesOf))).flat();
}, 180_000);
afterAll(async () => {
  await closeFunctions();
  await platform?.services[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
  process.off('unhandledRejection', note).off('uncaughtException', note);
}, 120_000);

interface Described {
  readonly requestBody?: { readonly content: Readonly<Record<string, Shown>> };
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
}
interface Shown {
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
  readonly schema?: { readonly examples?: readonly unknown[] };
}

async function routesOf(role: Role): Promise<Route[]> {
  const answer = await fetch(`${urlOf(role)}/openapi.json`);
  const { paths } = (answer.ok ? await answer.json() : { paths: {} }) as {
    paths: Record<string, Record<string, Described>>;
  };
  return platform.listeners[role].app.registeredRoutes.flatMap(({ method, url }: RouteOptions) =>
    [method].flat().map((each) => {
      const described = paths[url.replace(/:(\w+)/g, '{$1}')]?.[each.toLowerCase()];
      const shown = Object.values(described?.requestBody?.content ?? {}).flatMap(({ example, examples, schema }) => [
        ...(example === undefined ? [] : [example]),
        ...Object.values(examples ?? {}).map(({ value }) => value),
        ...(schema?.examples ?? []),
      ]);
      const query = (described?.parameters ?? [])
        .filter((parameter) => parameter.in === 'query')
        .map(({ name }) => name);
      return { role, method: each, path: url, query, bodies: shown.length === 0 ? HIDDEN_BODIES : shown };
    }),
  );
}

/** Routes that change a model: they get the one that no other request needs. */
const changesModel = ({ method, path }: Route): boolean => HAS_BODY.includes(method) && /routing|move/.test(path);
const goodParameter = (route: Route, name: string): string =>
  ({
    name: changesModel(route) ? SPARE : MODEL,
    version: '1',
    entity: 'good-0',
    feature: 'amount',
    counter: 'attempts',
  })[name] ?? 'x';

interface Request {
  readonly target: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

function requestsTo(route: Route): fc.Arbitrary<Request> {
  const names = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name as string);
  const parameters = fc.tuple(
    ...names.map((name) => fc.oneof({ weight: 2, arbitrary: fc.constant(goodParameter(route, name)) }, hostileText)),
  );
  const queryName = fc.constantFrom(...route.query, 'limit', 'view', 'model_name', '__proto__');
  const query = fc.oneof(
    fc.constant(''),
    fc
      .array(fc.tuple(queryName, hostileText), { maxLength: 3 })
      .map((pairs) => `?${pairs.map((pair) => pair.join('=')).join('&')}`),
  );
  const body = HAS_BODY.includes(route.method) ? hostileBody(route.bodies) : fc.constant(Buffer.alloc(0));
  return fc.tuple(parameters, query, hostileHeaders, hostileType, body).map(([given, search, headers, type, bytes]) => {
    let at = 0;
    const path = route.path.replace(/:(\w+)/g, () => given[at++] as string).replace('*', 'index.html');
    const own = bytes.length === 0 ? {} : { 'content-type': type, 'content-length': String(bytes.length) };
    return { target: `${path}${search}`, headers: { ...headers, ...own }, body: bytes };
  });
}

/** 503 where it is not the request's: a limit of rows, a model that is moved by another request. */
const MAY_BE_AWAY =
  /SERVING_MODEL_NOT_READY|SERVING_OVERLOADED|has no version that can answer|no version of|is not ready|"ready":false/;

function problemOf(route: Route, answer: RawAnswer): string | undefined {
  const { status, headers, body } = answer;
  if (status >= 500 && !(status === 503 && (MAY_BE_AWAY.test(body) || route.method === 'HEAD')) && status !== 504)
    return `${status}: ${body.slice(0, 300)}`;
  if (headers['x-request-id'] === undefined) return `${status} without x-request-id`;
  if (/\bat \S+ \(|node_modules|\/dist\//.test(body) && status >= 400)
    return `${status} with a stack: ${body.slice(0, 300)}`;
  return undefined;
}

const accounts: string[] = [];
/** A good event and a good prediction of other clients. */
async function goodWork(): Promise<void> {
  const account = `good-${accounts.length}`;
  const event = JSON.stringify(goodEvent(account, { account_id: account, user_id: account }));
  const json = { 'content-type': 'application/json' };
  const sent = await fetch(`${urlOf('gateway')}/ingest`, { method: 'POST', headers: json, body: event });
  expect([sent.status, await sent.json()]).toEqual([202, { event_id: account, status: 'accepted' }]);
  accounts.push(account);
  const body = JSON.stringify({ model_name: MODEL, features: { amount: 5 } });
  const predicted = await fetch(`${urlOf('serving')}/predict`, { method: 'POST', headers: json, body });
  expect([predicted.status, await predicted.json()]).toEqual([200, expect.objectContaining({ model_name: MODEL })]);
}

test('every route of every listener answers fuzzed requests, and other clients are served meanwhile', async () => {
  expect(new Set(routes.map(({ role }) => role))).toEqual(new Set(ROLES));
  expect(routes.filter(({ path }) => path.startsWith('/console/api')).length).toBeGreaterThan(8);
  const problems: string[] = [];
  for (const [index, route] of routes.entries()) {
    const property = fc.asyncProperty(requestsTo(route), async ({ target, headers, body }) => {
      const answer = await sendRaw(urlOf(route.role), route.method, target, headers, body);
      expect(problemOf(route, answer)).toBeUndefined();
    });
    const checked = await fc.check(property, { numRuns: RUNS_A_ROUTE, seed: SEED + index });
    if (checked.failed) {
      const [request] = (checked.counterexample ?? []) as unknown as readonly [Request?];
      const cause = String((checked.errorInstance as Error | undefined)?.message ?? '').slice(0, 500);
      problems.push(
        `${route.role} ${route.method} ${request?.target} ${JSON.stringify(request?.headers)} ${request?.body}: ${cause}`,
      );
    }
    await goodWork();
  }
  expect(problems).toEqual([]);
}, 400_000);

const FUNCTIONS = { predict, ingest, features };

test.each(Object.keys(FUNCTIONS) as (keyof typeof FUNCTIONS)[])(
  'the function %s answers fuzzed events of API Gateway, of both versions',
  async (name) => {
    Object.assign(process.env, {
      DATA_DIRECTORY: join(folder, name),
      LOG_LEVEL: 'silent',
      LISTEN_WITHOUT_KEYS: 'true',
    });
    const handle = FUNCTIONS[name];
    const role = { predict: 'serving', ingest: 'gateway', features: 'features' }[name] as Role;
    const own = routes.filter((route) => route.role === role && !changesModel(route));
    const property = fc.asyncProperty(
      fc.constantFrom(...own).chain((route) => fc.tuple(fc.constant(route), requestsTo(route))),
      fc.boolean(),
      fc.boolean(),
      async ([route, { target, headers, body }], isSecond, isBase64) => {
        const answer = await handle(eventOf(route.method, target, headers, body, isSecond, isBase64), context);
        expect([answer.statusCode, answer.body].slice(0, answer.statusCode >= 500 ? 2 : 0)).toEqual(
          answer.statusCode === 503 && MAY_BE_AWAY.test(answer.body) ? [503, answer.body] : [],
        );
        expect(answer.headers['x-request-id']).toEqual(expect.any(String));
      },
    );
    await fc.assert(property, { numRuns: RUNS_A_FUNCTION, seed: SEED });
    const good = await handle(eventOf('GET', '/health/live', {}, Buffer.alloc(0), true, false), context);
    expect(good.statusCode).toBe(200);
  },
  200_000,
);

const context = { awsRequestId: 'r' } as Context;

/** As API Gateway hands a request on: version 1 has null for what is absent. */
function eventOf(
  method: string,
  target: string,
  headers: Record<string, string>,
  bytes: Buffer,
  isSecond: boolean,
  isBase64Encoded: boolean,
): APIGatewayProxyEventV2 {
  const [path = '', search = ''] = target.split('?');
  const body = bytes.length === 0 ? null : bytes.toString(isBase64Encoded ? 'base64' : 'utf8');
  const sent = {
    ...headers,
    host: 'api.test',
    ...(body === null || isBase64Encoded ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
  };
  if (isSecond) {
    return {
      ...{
        version: '2.0',
        routeKey: '$default',
        rawPath: path,
        rawQueryString: search,
        isBase64Encoded,
        headers: sent,
      },
      requestContext: {
        http: { method, path, protocol: 'HTTP/1.1', sourceIp: '10.0.0.1', userAgent: 'x' },
        stage: '$default',
      },
      ...(body === null ? {} : { body }),
    } as unknown as APIGatewayProxyEventV2;
  }
  const pairs = search === '' ? [] : search.split('&').map((pair) => pair.split('=') as [string, string]);
  const query = pairs.length === 0 ? null : Object.fromEntries(pairs.map(([key, value]) => [key, value ?? '']));
  return {
    ...{
      resource: '/{proxy+}',
      path,
      httpMethod: method,
      isBase64Encoded,
      body,
      headers: sent,
      multiValueHeaders: null,
    },
    ...{
      queryStringParameters: query,
      multiValueQueryStringParameters: null,
      pathParameters: null,
      stageVariables: null,
    },
    requestContext: { httpMethod: method, path, stage: 'prod', identity: { sourceIp: '10.0.0.1' } },
  } as unknown as APIGatewayProxyEventV2;
}

test('every good event of the others was counted; the jobs run, and nothing was left unhandled', async () => {
  const entities = [...accounts];
  expect(entities.length).toBe(routes.length);
  let missing: readonly string[] = entities;
  for (let tries = 0; tries < 300 && missing.length > 0; tries += 1) {
    if (tries > 0) await sleep(200);
    const answer = await fetch(`${urlOf('features')}/features/batch?view=fraud%401&entity=account`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ entities }),
    });
    const { results } = (await answer.json()) as { results: { user_id: string; features: object | null }[] };
    missing = results.filter(({ features: found }) => found === null).map(({ user_id: id }) => id);
  }
  expect(missing).toEqual([]);
  for (const role of ROLES) {
    const ready = await fetch(`${urlOf(role)}/health/ready`);
    expect([role, ready.status, await ready.json()]).toEqual([role, 200, expect.anything()]);
  }
  expect(unhandled).toEqual([]);
}, 120_000);
