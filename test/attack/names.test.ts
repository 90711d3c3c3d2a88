import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { MlflowRegistry } from '#registry/mlflow/mlflow_registry';
import { serviceAddress } from '../integration/service_address.ts';
import { tinyModel } from '../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../support/platforms/tiny_serving.ts';

// Names as paths, filters and prefixes, through what serves: none is a way to another model.

const PATHS = [
  ...[
    '../models/tiny',
    './tiny',
    'tiny/',
    'tiny/.',
    '/tiny',
    'tiny/../tiny',
    '..\\models\\tiny',
    '..',
    '.',
    'tiny\0',
    'tiny/versions',
  ],
  ...[
    '%2e%2e/models/tiny',
    '..%2Fmodels%2Ftiny',
    'tiny%00',
    "tiny' OR '1'='1",
    '*',
    'models:/tiny/1',
    '__proto__',
    'constructor',
  ],
];

let served: TinyServing;
beforeAll(async () => {
  served = await serveTiny({ onDemand: {} });
}, 60_000);
afterAll(() => served.stop());

const features = { amount: 10 };

test.each(PATHS)('no body reaches a model as %j', async (name) => {
  for (const [url, payload] of [
    ['/predict', { model_name: name, features }],
    ['/predict/batch', { model_name: name, instances: [features] }],
    ['/explain', { model_name: name, features }],
  ] as const) {
    const { statusCode, body } = await served.service.app.inject({ method: 'POST', url, payload });
    expect([url, statusCode === 404 ? 'unknown' : statusCode >= 400 && statusCode < 500 ? 4 : statusCode]).toEqual([
      url,
      // Names that could be a model's are looked for, and not found.
      /^[\w]+$/.test(name) ? 'unknown' : 4,
    ]);
    expect(body).not.toContain('probabilit');
  }
});

test.each(PATHS)('no target reaches or moves a model as %j', async (name) => {
  const { app } = served.service;
  const before = JSON.stringify(await served.registry.listVersions('tiny'));
  const encoded = encodeURIComponent(name);
  const requests = [
    { method: 'GET', url: `/models/${encoded}` },
    { method: 'GET', url: `/v2/models/${encoded}` },
    { method: 'GET', url: `/v2/models/${encoded}/versions/1` },
    { method: 'GET', url: `/v2/models/${encoded}/ready` },
    { method: 'POST', url: `/v2/models/${encoded}/infer`, payload: { inputs: [] } },
    { method: 'PUT', url: `/models/${encoded}/routing`, payload: { routing: {}, by: 'x', reason: 'y' } },
  ] as const;
  for (const request of requests) {
    const { statusCode } = await app.inject(request);
    expect([request.url, statusCode < 400 || statusCode === 500]).toEqual([request.url, false]);
  }
  expect(JSON.stringify(await served.registry.listVersions('tiny'))).toBe(before);
  expect(
    (await app.inject({ method: 'POST', url: '/predict', payload: { model_name: 'tiny', features } })).statusCode,
  ).toBe(200);
});

test('a version in a path is a number', async () => {
  for (const version of ['..%2F1', '1e0', '0x1', '-1', '%201', '1.0', '']) {
    const { statusCode, body } = await served.service.app.inject({ url: `/v2/models/tiny/versions/${version}` });
    expect([version, statusCode, body.includes('"inputs"')]).toEqual([version, 404, false]);
  }
});

test('no path ends before the value of a parameter', async () => {
  const { app } = served.service;
  const withParams = app.registeredRoutes.filter(({ url }) => url.includes('/:'));
  expect(withParams.length).toBeGreaterThan(5);
  for (const { url, method } of withParams) {
    // Nothing for the last parameter, and for the first one.
    for (const path of [url.slice(0, url.lastIndexOf('/:') + 1), url.replace(/\/:\w+/, '/')]) {
      const target = path.replaceAll(/:\w+/g, 'tiny');
      const one = [method].flat()[0] as 'GET';
      const { statusCode } = await app.inject({ method: one, url: target, ...(one === 'GET' ? {} : { payload: {} }) });
      // A shorter path may be a route of its own.
      const isRoute = app.registeredRoutes.some((other) => other.url === target);
      expect([one, target, statusCode]).toEqual([one, target, isRoute ? expect.any(Number) : 404]);
    }
  }
});

const mlflow = serviceAddress('TEST_MLFLOW_URL');
test('MLflow: a name is no filter, and other models are not listed or moved by it', async () => {
  const registry = new MlflowRegistry(
    mlflowConfigSchema.parse({ kind: 'mlflow', trackingUri: mlflow, experimentName: 'attack' }),
  );
  const one = await registry.register({ name: 'attack one', package: tinyModel(0), metrics: {}, params: {} });
  expect(await registry.listVersions('attack one')).toHaveLength(one.version);
  for (const name of ["x' OR name LIKE '%", "attack one'", 'attack one/versions', 'attack:one', '../attack one', '']) {
    for (const call of [
      () => registry.listVersions(name),
      () => registry.resolve(name, { stage: 'Production' }),
      () => registry.transition(name, 1, 'Production'),
      () => registry.download({ ...one, name }),
      () => registry.exclusively(name, async () => 1),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
    }
  }
  expect((await registry.resolve('attack one', { version: one.version }))?.stage).toBe('None');
  expect(await registry.listModels()).toContain('attack one');
}, 60_000);

test('nothing was made beside the models', () => {
  expect(existsSync('versions')).toBe(false);
  expect(readdirSync('.')).not.toContain('index.json');
});
