import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { RouteOptions } from 'fastify';
import { ensureInitialModels } from '#cli/project/initial_models';
import { type Platform, startPlatform } from '#cli/roles/platform';
import { ROLES, type Role } from '#cli/terminal/choices';
import { silentLogger } from '#monitoring/log';
import { byForm } from '../../support/jest/forms.ts';
import { testProject } from '../../support/platforms/test_project.ts';

// What a refusal costs, over every route of every listener of a real platform: however many mistakes a request has, its answer is small and is
// found without holding up other requests. The routes are those that Fastify registered.

const LARGEST_ANSWER = 64 * 1_024;
/** Of the process, client included. Jest makes globals slow: a server of its own takes a tenth of the time. */
const MOST_CPU_MS = 3_000;
const MODEL = 'fraud_detector';
const PARAMETERS: Readonly<Record<string, string>> = {
  ...{ name: MODEL, version: '1', entity: 'e1', feature: 'amount', counter: 'attempts' },
};

let folder: string;
let platform: Platform;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bounded-'));
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const config = testProject({ ...ports, DATA_DIRECTORY: folder }, { 'serving.onDemand': {} });
  platform = await startPlatform(config, silentLogger, ROLES, ensureInitialModels(config, ROLES));
}, 120_000);
afterAll(async () => {
  await platform?.services[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

interface Route {
  readonly role: Role;
  readonly method: string;
  readonly target: string;
  readonly name: string;
}

const routes = (): readonly Route[] =>
  ROLES.flatMap((role) =>
    platform.listeners[role].app.registeredRoutes.flatMap(({ method, url }: RouteOptions) => {
      const target = url
        .replace(/:(\w+)/g, (_, name: string) => PARAMETERS[name] ?? `:${name}`)
        .replace('*', 'index.html');
      return [method].flat().map((each) => ({ role, method: each, target, name: `${role} ${each} ${url}` }));
    }),
  );

interface Cost {
  readonly status: number;
  readonly bytes: number;
  readonly text: string;
  readonly cpuMs: number;
}

async function costOf({ role, method, target }: Route, query = '', body?: unknown, isZipped = false): Promise<Cost> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const sent = text !== undefined && isZipped ? gzipSync(text) : text;
  const before = process.cpuUsage();
  const answer = await fetch(`${platform.urls[role]}${target}${query}`, {
    method,
    redirect: 'manual',
    ...(sent === undefined ? {} : { body: sent }),
    headers: {
      ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
      ...(isZipped ? { 'content-encoding': 'gzip' } : {}),
    },
  });
  const received = await answer.text();
  const { user, system } = process.cpuUsage(before);
  return { status: answer.status, bytes: Buffer.byteLength(received), text: received, cpuMs: (user + system) / 1_000 };
}

const wrongIn = (where: string, { status, bytes, text, cpuMs }: Cost, refused: readonly number[]): unknown[] =>
  refused.includes(status) && bytes < LARGEST_ANSWER && cpuMs < MOST_CPU_MS
    ? []
    : [{ where, status, bytes, cpuMs: Math.round(cpuMs), text: text.slice(0, 300) }];

const unknownKeys = (count: number, value: unknown = 1): Record<string, unknown> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`unknown${index}`, value]));
const many = (count: number, value: unknown): readonly unknown[] => Array.from({ length: count }, () => value);

/** About 1 MB each, less than any listener's limit. */
const HUGE = {
  numbers: () => many(490_000, 1),
  'rows with unknown keys': () => many(60_000, { unknown: 1 }),
  keys: () => unknownKeys(50_000),
  'text that JSON escapes': () => '\u0001"'.repeat(120_000),
  'text like the scheme of a URL': () => `${'a'.repeat(900_000)}://x`,
  'one long key': () => ({ ['k'.repeat(1_000_000)]: 1 }),
} as const satisfies Readonly<Record<string, () => unknown>>;

const REFUSED = [400, 403, 404, 409, 413, 415, 422];

test('a body of a megabyte with nothing but mistakes has a small answer, soon, on every route that takes one', async () => {
  const wrong: unknown[] = [];
  const taking = routes().filter(({ method }) => ['POST', 'PUT', 'PATCH'].includes(method));
  expect(taking.length).toBeGreaterThan(12);
  for (const kind of ['numbers', 'keys', 'text that JSON escapes', 'one long key'] as const) {
    const value = HUGE[kind]();
    for (const route of taking) {
      wrong.push(...wrongIn(`${route.name}: ${kind}`, await costOf(route, '', value), [...REFUSED, 200]));
    }
  }
  expect(wrong).toEqual([]);
}, 300_000);

/** Bodies that are right but for one member. */
const ALMOST: Readonly<Record<string, (huge: unknown) => readonly unknown[]>> = {
  'features POST /features/vector': (huge) => [
    { service: 'fraud@1', rows: huge },
    { service: huge, rows: [{ entity: 'e1' }] },
    { service: 'fraud@1', rows: [huge] },
    { service: 'fraud@1', rows: [{ entity: huge }] },
    { service: 'fraud@1', rows: [{ entity: 'e1', request: huge }], more: huge },
  ],
  'features POST /features/batch': (huge) => [{ entities: huge }, { entities: ['e1'], features: huge }],
  'serving POST /feedback': (huge) => [
    { feedback: huge },
    { feedback: [huge] },
    { prediction_id: huge, label: 'x' },
    { prediction_id: 'p', label: 'x', more: huge },
  ],
  'serving PUT /models/:name/routing': (huge) => [
    { routing: huge, reason: 'r' },
    { routing: { experiment: { name: 'e', variants: huge } }, reason: 'r' },
    { routing: { experiment: { name: 'e', variants: [{ name: 'a', weight: 1 }], rules: huge } }, reason: 'r' },
  ],
  'serving POST /predict': (huge) => [{ features: huge }, { model_name: huge, features: {} }],
  'serving POST /explain': (huge) => [{ features: huge }, { model_name: huge, features: {} }],
  'serving POST /predict/batch': (huge) => [{ instances: huge }, { instances: [huge] }, { entity_ids: huge }],
  'serving POST /v2/models/:name/infer': (huge) => [
    { inputs: huge },
    { inputs: [{ name: 'x', shape: [1], datatype: 'FP32', data: huge }] },
    { inputs: [{ name: 'x', shape: huge, datatype: 'FP32', data: [1] }] },
    { inputs: [], outputs: huge },
  ],
  'serving POST /invocations': (huge) => [
    { instances: huge },
    { dataframe_split: { columns: huge, data: [[1]] } },
    { inputs: huge },
  ],
};

/** In the short form every member has two of the kinds, in turn. */
const SHARE = byForm({ short: 3, long: 1 });

test('so has one whose members are right but for one', async () => {
  const wrong: unknown[] = [];
  const byName = new Map(routes().map((route) => [route.name, route]));
  for (const [name, bodies] of Object.entries(ALMOST)) {
    const route = byName.get(name) as Route;
    expect([name, route]).not.toEqual([name, undefined]);
    for (const [at, [kind, make]] of Object.entries(HUGE).entries()) {
      for (const [index, body] of bodies(make()).entries()) {
        if ((at + index) % SHARE !== 0) continue;
        const cost = await costOf(route, '', body, true);
        wrong.push(...wrongIn(`${name} ${index}: ${kind}`, cost, [...REFUSED, 200]));
      }
    }
  }
  expect(wrong).toEqual([]);
}, 300_000);

test('so has a query with unknown names', async () => {
  const wrong: unknown[] = [];
  const query = `?${Array.from({ length: 1_500 }, (_, index) => `q${index}=1`).join('&')}`;
  for (const route of routes().filter(({ method }) => method === 'GET')) {
    const cost = await costOf(route, query);
    // Routes without parameters leave a query alone: what they answer is not a refusal.
    if (cost.status !== 200) wrong.push(...wrongIn(route.name, cost, [...REFUSED, 302, 303, 304, 307, 308, 503]));
  }
  expect(wrong).toEqual([]);
}, 120_000);

test('20 problems are named, and how many more there are', async () => {
  const route = routes().find(({ name }) => name === 'features POST /features/vector') as Route;
  const rows = Array.from({ length: 30 }, () => ({ entity: 1 }));
  const refused = JSON.parse((await costOf(route, '', { service: 'fraud@1', rows })).text);
  expect(refused.fields).toHaveLength(20);
  expect(refused.fields[19]).toEqual({ field: 'rows.19.entity', problem: 'must be a string, not 1' });
  expect(refused.detail).toMatch(/^the request was refused: rows\.0\.entity must be a string, not 1; .*; and 10 more$/);
  const few = JSON.parse((await costOf(route, '', { service: 1, rows: [{}, 1] })).text);
  expect(few.fields.map(({ field }: { field: string }) => field).toSorted()).toEqual([
    ...['rows.0.entity', 'rows.1', 'service'],
  ]);
  const long = JSON.parse((await costOf(route, '', { service: 'fraud@1', rows: many(400_000, 1) })).text);
  expect(long.fields[0]).toEqual({ field: 'rows', problem: 'must have at most 1000 items' });
  const feedback = routes().find(({ name }) => name === 'serving POST /feedback') as Route;
  const told = JSON.parse((await costOf(feedback, '', { feedback: many(9_000, { label: 'x' }) })).text);
  expect(told.fields).toHaveLength(20);
  expect(told.detail).toMatch(/; and 8,980 more$/);
  const unknown = JSON.parse((await costOf(feedback, '', { prediction_id: 'p', label: 'x', ...unknownKeys(25) })).text);
  expect(unknown.detail).toMatch(/unknown0 is not a known field; .*; and 5 more$/);
});
