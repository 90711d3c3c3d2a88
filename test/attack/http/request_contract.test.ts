import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { RouteOptions } from 'fastify';
import { ensureInitialModels } from '#cli/project/initial_models';
import { type Platform, startPlatform } from '#cli/roles/platform';
import { ROLES, type Role } from '#cli/terminal/choices';
import type { JsonSchema } from '#feature_store/testing/sample_events';
import { silentLogger } from '#monitoring/log';
import { goodEvent } from '../../support/definitions/good_event.ts';
import { sampled, type Wrong, wrongValues } from '../../support/hostile/wrong_values.ts';
import { testProject } from '../../support/platforms/test_project.ts';

// The contract of requests, over every route of every listener of a real platform that takes input: what its schema does not allow is refused with 4xx
// in the form of the route, the field is named, and nothing is written. The routes are those that Fastify registered, the wrong values are made from their schemas.

const MODEL = 'fraud_detector';
/** What parameters of paths are. */
const PARAMETERS: Readonly<Record<string, string>> = {
  ...{ name: MODEL, version: '1', entity: 'e1', feature: 'amount', counter: 'attempts', id: 'p-1' },
  ...{ workflow: 'retrain', run: 'nightly@2024-12-20T02:30:00Z', schedule: 'nightly' },
};
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

let folder: string;
let platform: Platform;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'request-contract-'));
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const unlimited = { requests: 1_000_000, windowMs: 60_000 };
  const config = testProject(
    { ...ports, DATA_DIRECTORY: join(folder, 'data') },
    { 'serving.onDemand': {}, 'access.refusedLimit': unlimited },
  );
  platform = await startPlatform(config, silentLogger, ROLES, ensureInitialModels(config, ROLES));
}, 120_000);
afterAll(async () => {
  await platform?.services[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Route {
  readonly role: Role;
  readonly name: string;
  readonly method: string;
  readonly url: string;
  readonly schema: Readonly<Partial<Record<'body' | 'querystring' | 'params' | 'headers', JsonSchema>>>;
  readonly isReadAsBytes: boolean;
}

const routes = (): readonly Route[] =>
  ROLES.flatMap((role) =>
    platform.listeners[role].app.registeredRoutes.flatMap(({ method, url, schema, config }: RouteOptions): Route[] => {
      if (method === 'HEAD' || schema === undefined) return [];
      const name = `${role} ${String(method)} ${url}`;
      const isReadAsBytes = config?.bodyReader === 'bytes';
      return [{ role, name, method: String(method), url, schema: schema as Route['schema'], isReadAsBytes }];
    }),
  );

interface Sent {
  readonly path?: Readonly<Record<string, unknown>>;
  readonly query?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Sends a request whose other parts are right. */
async function send({ role, method, url, schema }: Route, { path = {}, query = {}, headers = {}, body }: Sent) {
  const target = url.replace(/:(\w+)/g, (_, name: string) =>
    encodeURIComponent(text(path[name] ?? PARAMETERS[name] ?? name)),
  );
  const search = new URLSearchParams(
    Object.entries(query as object).map(([name, value]): [string, string] => [name, text(value)]),
  );
  const { app } = platform.listeners[role];
  // null is a body.
  const sent = body !== undefined || schema.body === undefined ? body : sampled(schema.body);
  const answer = await app.inject({
    method: method as 'POST',
    url: `${target}?${search}`,
    headers: {
      host: new URL(platform.urls[role] as string).host,
      ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(sent === undefined ? {} : { payload: JSON.stringify(sent) }),
  });
  return { status: answer.statusCode, type: String(answer.headers['content-type']), text: answer.body };
}
type Answer = Awaited<ReturnType<typeof send>>;

const FOREIGN = /^\/(v1|v2|invocations|endpoints|ping)\b/;

/** What is wrong with the answer to a request whose `field` is wrong. */
function lacking({ url }: Route, { status, type, text }: Answer, field: string): string | undefined {
  if (status < 400 || status > 499) return `is answered ${status}: ${text.slice(0, 200)}`;
  const answer = JSON.parse(text) as Record<string, unknown>;
  if (FOREIGN.test(url)) {
    const message = answer.error ?? answer.message ?? answer.Message;
    if (!type.startsWith('application/json') || typeof message !== 'string') return `has another form: ${text}`;
    // Readers word the path: "data of dataframe_split".
    const isNamed = field === '' || field.split('.').some((part) => part !== '' && message.includes(part));
    return isNamed ? undefined : `does not name ${field}: ${message}`;
  }
  if (!type.startsWith('application/problem+json')) return `has the type ${type}: ${text.slice(0, 200)}`;
  const fields = (answer.fields ?? []) as readonly { readonly field: string; readonly problem: string }[];
  const isNamed = fields.some((each) => each.field === field && each.problem !== '');
  return isNamed ? undefined : `does not name ${field}: ${text.slice(0, 300)}`;
}

/** Sends each wrong value, and collects answers that break the contract. */
async function broken(route: Route, wrong: readonly Wrong[], prefix: string, sentOf: (value: unknown) => Sent) {
  const found: string[] = [];
  for (const { what, field, value } of wrong) {
    const named = [prefix, field].filter((part) => part !== '').join('.');
    const problem = lacking(route, await send(route, sentOf(value)), named);
    if (problem !== undefined) {
      found.push(
        `${route.name}: ${what} at "${named}" ${problem}; seed ${SEED}, sent ${JSON.stringify(value)?.slice(0, 200)}`,
      );
    }
  }
  return found;
}

/** Sizes of the topics of events, and what the listeners show of what is kept. */
async function kept(): Promise<unknown> {
  const data = join(folder, 'data');
  const files = readdirSync(data, { recursive: true, encoding: 'utf8' }).filter((file) => /raw-events/.test(file));
  const shown = async (role: Role, path: string) => {
    const { statusCode, body } = await platform.listeners[role].app.inject({
      url: path,
      headers: { host: new URL(platform.urls[role] as string).host },
    });
    return [path, statusCode, statusCode === 200 ? body : ''];
  };
  return {
    events: files.map((file) => [file, statSync(join(data, file)).size]),
    shown: await Promise.all([
      shown('serving', `/models/${MODEL}/routing/history`),
      shown('serving', `/models/${MODEL}/versions`),
      shown('features', '/counters/e1/attempts?entity=account'),
      shown('features', '/features/u1'),
      shown('monitor', '/workflows/retrain/runs'),
      shown('monitor', '/workflows/retrain/schedules'),
    ]),
  };
}

describe('what a schema does not allow', () => {
  test('in a body is refused with 4xx, the field is named, and nothing is written', async () => {
    const taking = routes().filter(({ schema, isReadAsBytes }) => schema.body !== undefined && !isReadAsBytes);
    expect(taking.length).toBeGreaterThan(20);
    const before = await kept();
    const found: string[] = [];
    for (const route of taking) {
      const wrong = wrongValues(route.schema.body as JsonSchema, SEED);
      expect([route.name, wrong.length > 0]).toEqual([route.name, true]);
      found.push(...(await broken(route, wrong, '', (body) => ({ body }))));
    }
    expect(found).toEqual([]);
    expect(await kept()).toEqual(before);
  }, 300_000);

  test('in a query is refused with 4xx, and the parameter is named', async () => {
    const taking = routes().filter(({ schema }) => schema.querystring !== undefined);
    expect(taking.length).toBeGreaterThan(10);
    const found: string[] = [];
    for (const route of taking) {
      const wrong = wrongValues(route.schema.querystring as JsonSchema, SEED, { isText: true });
      found.push(...(await broken(route, wrong, 'query', (query) => ({ query }))));
    }
    expect(found).toEqual([]);
  }, 120_000);

  test('in a path or a header is refused with 4xx, and it is named', async () => {
    const found: string[] = [];
    let count = 0;
    for (const route of routes()) {
      const { params, headers } = route.schema;
      const ofPath = params === undefined ? [] : wrongValues(params, SEED, { isText: true });
      // A path without a part is another path.
      const whole = ofPath.filter(
        ({ what, value, field }) =>
          what !== 'missing' && what !== 'unknown' && (value as Record<string, unknown>)[field] !== '',
      );
      found.push(...(await broken(route, whole, 'path', (path) => ({ path: path as Sent['path'] & object }))));
      const ofHeaders =
        headers === undefined
          ? []
          : wrongValues(headers, SEED, { isText: true }).filter(({ what }) => what !== 'unknown');
      found.push(
        ...(await broken(route, ofHeaders, 'headers', (value) => ({ headers: value as Sent['headers'] & object }))),
      );
      count += whole.length + ofHeaders.length;
    }
    expect(found).toEqual([]);
    expect(count).toBeGreaterThan(10);
  }, 120_000);

  test('in a body that its route reads as bytes is refused with 4xx in the form of its protocol, and nothing is written', async () => {
    const reading = routes().filter(({ isReadAsBytes }) => isReadAsBytes);
    expect(reading.map(({ url }) => url).sort()).toEqual([
      ...['/endpoints/:name/invocations', '/ingest', '/ingest/batch', '/invocations', '/v1/models/:name'],
      ...['/v2/models/:name/infer', '/v2/models/:name/versions/:version/infer'],
    ]);
    const before = await kept();
    const found: string[] = [];
    for (const route of reading.filter(({ url }) => url !== '/ingest/batch')) {
      const { content } = route.schema.body as { content?: Record<string, { schema: JsonSchema }> };
      const schema = content?.['application/json']?.schema ?? (route.schema.body as JsonSchema);
      // The protocols have clients send fields that a server does not know.
      const wrong = wrongValues(schema, SEED).filter(({ what }) => what !== 'unknown' || route.role === 'gateway');
      found.push(
        ...(await broken(route, wrong, '', (body) => ({
          body,
          path: { name: route.url.startsWith('/v1') ? `${MODEL}:predict` : MODEL },
        }))),
      );
    }
    expect(found).toEqual([]);
    expect(await kept()).toEqual(before);
    // An event that is taken shows there.
    const ingest = reading.find(({ url }) => url === '/ingest') as Route;
    expect(await send(ingest, { body: goodEvent('right') })).toMatchObject({ status: 202 });
    expect(await kept()).not.toEqual(before);
  }, 120_000);
});
