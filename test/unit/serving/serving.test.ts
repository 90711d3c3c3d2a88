import { mkdtempSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { LocalRegistry } from '#registry/local/local_registry';
import type { ModelPackage } from '#registry/packages/model_package';
import { servingConfigSchema } from '#serving/config';
import { ModelServer } from '#serving/inference/model_server';
import { LoadedModel } from '#serving/models/loaded_model';
import { MicroBatcher } from '#serving/models/micro_batcher';
import type { FeedbackRow } from '#serving/prediction_store/feedback_store';
import { PredictionLog } from '#serving/prediction_store/prediction_log';
import type { NewPrediction, RequestRow } from '#serving/prediction_store/prediction_store';
import { Assignment, experimentSchema } from '#serving/routing/assignment';
import type { RoutingRow } from '#serving/routing/routing';
import { createServing } from '#serving/server';
import { keyOf } from '../../support/entity_keys.ts';
import { tinyModel, tinyScore, tinyView } from '../../support/platforms/tiny_model.ts';
import { tinyOnline } from '../../support/platforms/tiny_serving.ts';
import { until } from '../../support/turns.ts';

const row: FeatureRow = {
  view: 'tiny',
  version: 1,
  entityKey: keyOf('e1'),
  eventTime: eventTime(0),
  computedAt: processingTime(0),
  values: { amount: 5, count: 2, weekend: false, category: 'a' },
};
const online: OnlineStore = {
  ...tinyOnline,
  read: async (_, keys) => keys.map((key) => (key === keyOf('e1') ? row : undefined)),
};

const reader = new FeatureReader({ online, clock: systemClock }, { views: [tinyView], services: [] });

let directory: string;
let registry: LocalRegistry;
let models: ModelServer;
let service: HttpService;
let logged: NewPrediction[];
let log: PredictionLog;

const register = async (model: ModelPackage): Promise<number> =>
  (await registry.register({ name: 'tiny', package: model, metrics: {}, params: {} })).version;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'serving-'));
  registry = new LocalRegistry({ kind: 'local', directory });
  await register(tinyModel(0));
  await registry.transition('tiny', 1, 'Production');
  const metrics = createMetricsRegistry({ process: false });
  const config = servingConfigSchema.parse({ models: [{ name: 'tiny' }], maxBodyBytes: 10_000, maxBatchRows: 50 });
  logged = [];
  models = new ModelServer({ registry, log: silentLogger, metrics }, config);
  log = new PredictionLog(
    {
      sinks: [{ target: 'test', write: async (rows) => void logged.push(...rows) }],
      deadLetters: { write: async () => {} },
      log: silentLogger,
      metrics,
    },
    { maxPending: 1_000 },
  );
  service = await createServing(
    { models, features: reader, predictions: log, clock: systemClock, metrics, log: silentLogger },
    config,
  );
  await models.start();
});
afterEach(async () => {
  await service.stop();
  await models.stop();
});

const features = { amount: 10, count: 3, weekend: true, category: 'b' };

async function post(path: string, payload: unknown) {
  const answer = await service.app.inject({
    method: 'POST',
    url: path,
    headers: { 'content-type': 'application/json', 'x-request-id': 'r-1' },
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  });
  return { status: answer.statusCode, body: answer.json() as Record<string, unknown>, text: answer.body };
}

test('one row by features, with probabilities, version and request id; and it is logged', async () => {
  const { status, body } = await post('/predict', { model_name: 'tiny', features, return_probabilities: true });
  const score = tinyScore(0, [10, 3, 1, 0.7]);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    prediction: score >= 0.5 ? 'fraud' : 'legitimate',
    model_name: 'tiny',
    model_version: 1,
    request_id: 'r-1',
    prediction_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
    latency_ms: expect.any(Number),
  });
  expect((body.probabilities as { fraud: number }).fraud).toBeCloseTo(score, 5);
  const sum = Object.values(body.probabilities as Record<string, number>).reduce((total, each) => total + each, 0);
  expect(Math.abs(sum - 1)).toBeLessThan(1e-6);
  await log.drain();
  expect(logged).toMatchObject([
    {
      predictionId: body.prediction_id,
      requestId: 'r-1',
      modelName: 'tiny',
      modelVersion: 1,
      features: JSON.stringify(features),
    },
  ]);
  for (const flag of [{}, { return_probabilities: false }]) {
    expect((await post('/predict', { model_name: 'tiny', features, ...flag })).body).not.toHaveProperty(
      'probabilities',
    );
  }
});

test('by entity: stored features, with the request’s own on top; the only model needs no name', async () => {
  const stored = await post('/predict', { entity_id: 'e1', return_probabilities: true });
  expect((stored.body.probabilities as { fraud: number }).fraud).toBeCloseTo(tinyScore(0, [5, 2, 0, 0.1]), 5);
  const overridden = await post('/predict', { entity_id: 'e1', features: { amount: 100 }, return_probabilities: true });
  expect((overridden.body.probabilities as { fraud: number }).fraud).toBeCloseTo(tinyScore(0, [100, 2, 0, 0.1]), 5);
  expect(await post('/predict', { entity_id: 'nobody' })).toMatchObject({
    status: 404,
    text: expect.stringContaining('nobody'),
  });
});

test('batches of objects, arrays and entities', async () => {
  const { body } = await post('/predict/batch', {
    instances: [features, [1, null, null, 'a']],
    return_probabilities: true,
  });
  expect(body).toMatchObject({ count: 2, model_version: 1 });
  const [first, second] = body.probabilities as { fraud: number }[];
  expect(first?.fraud).toBeCloseTo(tinyScore(0, [10, 3, 1, 0.7]), 5);
  expect(second?.fraud).toBeCloseTo(tinyScore(0, [1, Number.NaN, 0, 0.1]), 5);
  expect(await post('/predict/batch', { entity_ids: ['e1', 'e1'] })).toMatchObject({ body: { count: 2 } });
});

test.each([
  [
    'every bad field at once',
    '/predict',
    { features: { amount: 'x', count: 1.5, weekend: 7, category: 'z', foo: 1 } },
    422,
    /amount must be a number.*count must be an integer.*weekend must be true or false.*"z" is not one of a, b.*foo is not a feature/,
  ],
  ['a missing required field', '/predict', { features: {} }, 422, /amount is required/],
  ['NaN as text', '/predict', { features: { amount: 'NaN' } }, 422, /amount must be a number/],
  [
    'a bad row of a batch',
    '/predict/batch',
    { instances: [features, { amount: null }] },
    422,
    /instances.1.amount is required/,
  ],
  [
    'an array of the wrong length',
    '/predict/batch',
    { instances: [[1, 2]] },
    400,
    /instances.0 has 2 values; the model has 4/,
  ],
  ['no instances', '/predict/batch', { instances: [] }, 400, /instances must have at least 1 item/],
  [
    'too many instances',
    '/predict/batch',
    { instances: Array.from({ length: 51 }, () => [1, 1, 1, 'a']) },
    400,
    /instances must have at most 50 items/,
  ],
  ['neither features nor entity', '/predict', {}, 400, /features is required, or entity_id/],
  ['an unknown key', '/predict', { feature: {} }, 400, /feature is not a known field; known: model_name/],
  ['an unknown model', '/predict', { model_name: 'huge', features }, 404, /"huge" is not served here; served: tiny/],
  ['no JSON', '/predict', '{"features": ', 400, /./],
  [
    'a body beyond the limit',
    '/predict',
    JSON.stringify({ features: { amount: 1, category: 'x'.repeat(20_000) } }),
    413,
    /./,
  ],
])('%s is refused clearly', async (_, path, payload, status, message) => {
  const answer = await post(path, payload);
  expect(answer.text.replaceAll('\\"', '"')).toMatch(message);
  expect(answer.status).toBe(status);
});

test('a promotion under load switches the answers, and no request fails', async () => {
  await register(tinyModel(3));
  const versions = new Map<number, number>();
  let running = true;
  const client = async (): Promise<void> => {
    while (running) {
      const { status, body } = await post('/predict', { features });
      expect(status).toBe(200);
      const version = body.model_version as number;
      versions.set(version, (versions.get(version) ?? 0) + 1);
    }
  };
  const clients = Promise.all(Array.from({ length: 4 }, client));
  await until(() => versions.has(1));
  await registry.transition('tiny', 2, 'Production');
  await models.refresh();
  await until(() => versions.has(2));
  running = false;
  await clients;
  expect([...versions.keys()].sort()).toEqual([1, 2]);
  expect((await post('/predict', { features })).body.model_version).toBe(2);
});

test('a damaged version is refused, the good one goes on, and GET /models says so', async () => {
  await register(tinyModel(3));
  truncateSync(join(directory, 'tiny', 'versions', '2', 'model.onnx'), 50);
  await registry.transition('tiny', 2, 'Production');
  await models.refresh();
  expect((await post('/predict', { features })).body.model_version).toBe(1);
  const { models: status } = (await service.app.inject('/models')).json() as { models: { rejected: unknown }[] };
  expect(status[0]).toMatchObject({
    ready: true,
    version: 1,
    rejected: { version: 2, reason: expect.stringContaining('SHA-256') },
  });
});

test('golden rows that do not come back, wrong names and garbage are refused at load', async () => {
  const good = tinyModel(0);
  const load = (changes: Partial<ModelPackage>) => LoadedModel.load({ ...good, ...changes });
  await expect(load({ examples: [{ features, output: [0.5, 0.5] }] })).rejects.toThrow(
    /example 0 gives .* where the trainer saw 0.5/,
  );
  const onnx = { input: 'x', output: 'y' };
  await expect(load({ signature: { ...good.signature, onnx } })).rejects.toThrow(
    /names input "x", the graph has features/,
  );
  await expect(load({ onnx: new Uint8Array([1, 2, 3]) })).rejects.toThrow(/it is no ONNX file/);
});

test('rows in an array of another kind or length are refused, not read as other numbers', async () => {
  const model = await LoadedModel.load(tinyModel(0));
  await expect(model.run(new Float64Array(4), 1)).rejects.toThrow(/takes a Float32Array of 1 × 4, not a Float64Array/);
  await expect(model.run(new Float32Array(7), 2)).rejects.toThrow(/of 2 × 4, not a Float32Array of 7/);
  await model.release();
});

test('requests that run together each get their own rows', async () => {
  const model = await LoadedModel.load(tinyModel(0));
  const batcher = new MicroBatcher(model);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 40 }), async (sizes) => {
      let next = 0;
      await Promise.all(
        sizes.map(async (rows) => {
          const amounts = Array.from({ length: rows }, () => next++);
          const input = Float32Array.from(amounts.flatMap((amount) => [amount, 1, 0, 0.1]));
          const output = await batcher.infer(input, rows);
          expect(output).toHaveLength(rows * 2);
          for (const [at, amount] of amounts.entries()) {
            expect(output[at * 2 + 1]).toBeCloseTo(tinyScore(0, [amount, 1, 0, 0.1]), 5);
          }
        }),
      );
    }),
    { numRuns: 50 },
  );
  await model.release();
});

test('an explanation: what each feature has added, and together they are the prediction; with the prediction, when asked', async () => {
  const { status, body } = await post('/explain', { model_name: 'tiny', features });
  expect(status).toBe(200);
  // A network, and few columns: all their coalitions against its examples.
  expect(body).toMatchObject({ method: 'kernel_shap', scale: 'probability', model_version: 1 });
  const [only] = body.outputs as [
    { output: string; base_value: number; value: number; contributions: Record<string, number> },
  ];
  expect(Object.keys(only.contributions)).toEqual(['amount', 'count', 'weekend', 'category']);
  expect(only.output).toBe('fraud');
  expect(only.value).toBeCloseTo(tinyScore(0, [10, 3, 1, 0.7]), 5);
  const asked = await post('/predict', { model_name: 'tiny', features, explain: true });
  expect(asked.body).toMatchObject({ prediction: expect.any(String), explanation: { method: 'kernel_shap' } });
  const missing = await post('/explain', { model_name: 'tiny', features: { count: 1 } });
  expect(missing).toMatchObject({ status: 422, text: expect.stringContaining('amount is required') });
  expect(await post('/explain', { model_name: 'tiny', instances: [features] })).toMatchObject({ status: 400 });
});

test('the Open Inference Protocol: what there is, and rows as tensors', async () => {
  const get = async (url: string) => {
    const answer = await service.app.inject({ url });
    return { status: answer.statusCode, body: answer.json() as Record<string, unknown> };
  };
  expect(await get('/v2')).toMatchObject({
    status: 200,
    body: { name: 'headwater', extensions: expect.arrayContaining(['binary_tensor_data']) },
  });
  expect(await get('/v2/health/live')).toMatchObject({ status: 200, body: { live: true } });
  expect(await get('/v2/health/ready')).toMatchObject({ status: 200, body: { ready: true } });
  expect(await get('/v2/models/tiny/ready')).toMatchObject({ status: 200, body: { name: 'tiny', ready: true } });
  expect(await get('/v2/models/tiny/versions/2/ready')).toMatchObject({ status: 404 });
  expect(await get('/v2/models/nobody')).toMatchObject({ status: 404 });
  expect((await get('/v2/models/tiny')).body).toMatchObject({
    ...{ name: 'tiny', versions: ['1'], platform: 'onnx_onnxruntime' },
    inputs: [{ name: 'features', datatype: 'FP32', shape: [-1, 4] }],
    outputs: [{ name: 'probabilities', datatype: 'FP32', shape: [-1, 2] }],
  });
  const tensor = (name: string, datatype: string, data: readonly unknown[]) => ({
    name,
    datatype,
    shape: [data.length],
    data,
  });
  const inputs = [
    tensor('amount', 'FP64', [10, 2]),
    tensor('count', 'INT64', [3, 1]),
    tensor('weekend', 'BOOL', [true, false]),
    tensor('category', 'BYTES', ['b', 'a']),
  ];
  const { body } = await post('/v2/models/tiny/infer', { id: 'call-7', inputs });
  expect(body).toMatchObject({
    ...{ model_name: 'tiny', model_version: '1', id: 'call-7' },
    outputs: [
      { name: 'prediction', datatype: 'BYTES', shape: [2] },
      { name: 'probabilities', shape: [2, 2] },
    ],
  });
  const outputs = body.outputs as readonly { data: readonly number[] }[];
  expect(outputs[1]?.data[1]).toBeCloseTo(tinyScore(0, [10, 3, 1, 0.7]), 5);
  expect(outputs[1]?.data[3]).toBeCloseTo(tinyScore(0, [2, 1, 0, 0.1]), 5);
  const one = await post('/v2/models/tiny/versions/1/infer', { inputs, outputs: [{ name: 'prediction' }] });
  expect(one.body.outputs).toHaveLength(1);
  const refusals: readonly (readonly [object, number, string])[] = [
    [{ inputs: [] }, 400, 'inputs must be a list of tensors'],
    [{ inputs: [{ ...inputs[0], shape: [3] }] }, 400, 'its shape [3] requires 3'],
    [{ inputs: [tensor('amount', 'FP64', [1]), tensor('count', 'INT64', [1, 2])] }, 400, 'has 2 rows, amount has 1'],
    [{ inputs: [tensor('colour', 'BYTES', ['x'])] }, 400, 'there is no input colour'],
    [{ inputs, outputs: [{ name: 'nothing' }] }, 400, 'there is no output nothing'],
  ];
  for (const [bad, status, reason] of refusals) {
    expect(await post('/v2/models/tiny/infer', bad)).toMatchObject({ status, text: expect.stringContaining(reason) });
  }
});

test('MLflow’s /invocations, in its four forms', async () => {
  const columns = Object.keys(features);
  const score = tinyScore(0, [10, 3, 1, 0.7]);
  for (const body of [
    { dataframe_split: { columns, data: [Object.values(features)] } },
    { dataframe_records: [features] },
    { instances: [features] },
    { inputs: Object.fromEntries(Object.entries(features).map(([name, value]) => [name, [value]])) },
  ]) {
    const { predictions } = (await post('/invocations', body)).body as { predictions: readonly { fraud: number }[] };
    expect(predictions[0]?.fraud).toBeCloseTo(score, 5);
    const named = (await post('/endpoints/tiny/invocations', body)).body as {
      predictions: readonly { fraud: number }[];
    };
    expect(named.predictions[0]?.fraud).toBeCloseTo(score, 5);
  }
  expect(await post('/endpoints/nobody/invocations', { instances: [features] })).toMatchObject({ status: 404 });
  expect((await service.app.inject({ url: '/ping' })).statusCode).toBe(200);
  expect(await post('/invocations', {})).toMatchObject({ status: 400 });
});

test('with API keys, only health and documents are open', async () => {
  const key = 'a-key-of-sixteen-characters';
  const closed = await createServing(
    {
      models,
      features: reader,
      predictions: log,
      clock: systemClock,
      metrics: createMetricsRegistry({ process: false }),
      log: silentLogger,
    },
    servingConfigSchema.parse({ models: [{ name: 'tiny' }], apiKeys: [key] }),
  );
  const statusOf = async (url: string, headers: Record<string, string> = {}) =>
    (await closed.app.inject({ url, headers })).statusCode;
  expect(await statusOf('/models')).toBe(401);
  expect(await statusOf('/models', { 'x-api-key': 'another-key-of-sixteen' })).toBe(401);
  expect(await statusOf('/models', { 'x-api-key': key })).toBe(200);
  for (const url of ['/health/live', '/metrics', '/v2/health/live']) expect(await statusOf(url)).toBe(200);
  await closed.stop();
});

test('an experiment: each entity has one variant, shares are as configured, answers and log say which; one without a version leaves its share', async () => {
  await register(tinyModel(3));
  await registry.transition('tiny', 2, 'Staging');
  const metrics = createMetricsRegistry({ process: false });
  const config = servingConfigSchema.parse({
    models: [
      {
        name: 'tiny',
        experiment: {
          name: 'steeper',
          variants: [
            { name: 'control', weight: 3 },
            { name: 'challenger', weight: 1, follow: { stage: 'Staging' } },
            { name: 'absent', weight: 0.0001, follow: { alias: 'nobody' } },
          ],
        },
      },
    ],
  });
  const dealing = new ModelServer({ registry, log: silentLogger, metrics }, config);
  const own = await createServing(
    { models: dealing, features: reader, predictions: log, clock: systemClock, metrics, log: silentLogger },
    config,
  );
  await dealing.start();
  const versionOf = (entity: string) => dealing.active('tiny', { entity }).version;
  const entities = Array.from({ length: 4_000 }, (_, index) => `user-${index}`);
  const challenged = entities.filter((entity) => versionOf(entity) === 2);
  expect(challenged.length / entities.length).toBeGreaterThan(0.22);
  expect(challenged.length / entities.length).toBeLessThan(0.28);
  expect(challenged.every((entity) => dealing.active('tiny', { entity }).variant === 'challenger')).toBe(true);
  expect(dealing.waiting).toEqual([]);
  expect((await own.app.inject({ url: '/health/ready' })).statusCode).toBe(200);
  expect((await own.app.inject({ url: '/models/tiny' })).json()).toMatchObject({
    variants: [
      { variant: 'control', version: 1 },
      { variant: 'challenger', version: 2, follows: { stage: 'Staging' } },
      { variant: 'absent', ready: false },
    ],
  });
  const seen = new Set<string>();
  for (let call = 0; call < 60; call += 1) {
    const answer = await own.app.inject({ method: 'POST', url: '/predict', payload: { features } });
    const { variant, model_version: version } = answer.json() as { variant: string; model_version: number };
    expect(version).toBe(variant === 'challenger' ? 2 : 1);
    seen.add(variant);
  }
  expect([...seen].sort()).toEqual(['challenger', 'control']);
  await log.drain();
  expect(new Set(logged.map(({ variant }) => variant))).toEqual(seen);
  const before = (await metrics.metrics()).match(/^ab_variant_assignments.*$/gm);
  for (const url of ['/models/tiny', '/v2/models/tiny', '/v2/models/tiny/versions/2']) {
    expect((await own.app.inject({ url })).statusCode).toBe(200);
  }
  const text = await metrics.metrics();
  // Whoever only looks is dealt to nobody.
  expect(text.match(/^ab_variant_assignments.*$/gm)).toEqual(before);
  expect(text).toMatch(/ab_variant_assignments\{model="tiny",experiment="steeper",variant="challenger"\} \d+/);
  await own.stop();
  await dealing.stop();
});

test('another salt deals anew; two variants of one name are refused', () => {
  const variants = [
    { name: 'a', weight: 1 },
    { name: 'b', weight: 1 },
  ];
  const [first, second] = ['one', 'two'].map((name) => new Assignment(experimentSchema.parse({ name, variants })));
  const entities = Array.from({ length: 4_000 }, (_, index) => `user-${index}`);
  const same = entities.filter((entity) => first?.variantOf({ entity }) === second?.variantOf({ entity })).length;
  expect(Math.abs(same / entities.length - 0.5)).toBeLessThan(0.05);
  expect(() => experimentSchema.parse({ name: 'x', variants: [variants[0], variants[0]] })).toThrow(
    'two variants have one name',
  );
});

test('a shadow computes along: answers stay as they are, metrics say how it differs', async () => {
  await register(tinyModel(6));
  await registry.transition('tiny', 2, 'Staging');
  const metrics = createMetricsRegistry({ process: false });
  const config = servingConfigSchema.parse({ models: [{ name: 'tiny', shadow: { stage: 'Staging' } }] });
  const shadowed = new ModelServer({ registry, log: silentLogger, metrics }, config);
  const own = await createServing(
    { models: shadowed, features: reader, predictions: log, clock: systemClock, metrics, log: silentLogger },
    config,
  );
  await shadowed.start();
  const instances = Array.from({ length: 40 }, (_, index) => ({ ...features, amount: index - 30 }));
  const answer = await own.app.inject({ method: 'POST', url: '/predict/batch', payload: { instances } });
  expect(answer.json()).toMatchObject({ model_version: 1, variant: 'production', count: 40 });
  const compared = 'shadow_difference_count{model="tiny",version="2"} 40';
  await until(async () => (await metrics.metrics()).includes(compared));
  const encoded = instances.map(({ amount }) => [amount, 3, 1, 0.7]);
  const others = encoded.filter((row) => tinyScore(0, row) >= 0.5 !== tinyScore(6, row) >= 0.5).length;
  expect(others).toBeGreaterThan(0);
  const text = await metrics.metrics();
  expect(text).toContain(`shadow_rows_total{model="tiny",version="2",outcome="other"} ${others}`);
  expect(text).toContain(`shadow_rows_total{model="tiny",version="2",outcome="same"} ${40 - others}`);
  expect((await own.app.inject({ url: '/models/tiny' })).json()).toMatchObject({
    variants: [
      { variant: 'production', version: 1 },
      { variant: 'shadow', version: 2 },
    ],
  });
  await own.stop();
  await shadowed.stop();
});

test('over HTTP: routing is changed with a reason, feedback taken, results told', async () => {
  await register(tinyModel(3));
  const rows: RoutingRow[] = [];
  const routings = {
    read: async () => rows.slice(-1),
    append: async (row: RoutingRow) => rows.push(row) > 0,
    list: async () => [...rows].reverse(),
  };
  const told: FeedbackRow[] = [];
  const predictions = {
    find: async (rows: readonly RequestRow[]) =>
      rows
        .filter(({ requestId }) => requestId !== 'never')
        .flatMap((row) =>
          (row.requestId === 'twice' ? ['p-1', 'p-2'] : [`p-${row.requestId}`]).map((predictionId) => ({
            ...{ ...row, predictionId, modelName: 'tiny', modelVersion: 1, predictedAtMs: 0 },
          })),
        ),
    modelsOfRequests: async () => new Map(),
  };
  const outcomes = {
    write: async (given: readonly FeedbackRow[]) => void told.push(...given),
    read: async () => [],
    experimentOutcomes: async () => [],
  };
  const feedback = { predictions, feedback: outcomes };
  const metrics = createMetricsRegistry({ process: false });
  const config = servingConfigSchema.parse({ models: [{ name: 'tiny' }] });
  const dealing = new ModelServer({ registry, log: silentLogger, metrics, routings }, config);
  const own = await createServing(
    { models: dealing, features: reader, predictions: log, clock: systemClock, metrics, log: silentLogger, feedback },
    config,
  );
  await dealing.start();
  const send = async (method: 'GET' | 'PUT' | 'POST', url: string, payload?: object) => {
    const answer = await own.app.inject({ method, url, ...(payload === undefined ? {} : { payload }) });
    return { status: answer.statusCode, body: answer.json() as Record<string, unknown>, text: answer.body };
  };
  const variants = [
    { name: 'control', weight: 1 },
    { name: 'challenger', weight: 1, follow: { version: 2 } },
  ];
  const rules = [{ variant: 'challenger', feature: 'category', in: ['b'] }];
  const experiment = { name: 'steeper', variants, rules };
  const change = { routing: { experiment }, reason: 'try it', revision: 0 };
  expect(await send('PUT', '/models/tiny/routing', change)).toMatchObject({ status: 200, body: { revision: 1 } });
  expect(await send('PUT', '/models/tiny/routing', change)).toMatchObject({ status: 409 });
  expect(await send('PUT', '/models/nobody/routing', change)).toMatchObject({ status: 404 });
  const bad = { routing: { experiment: { ...experiment, variants: [variants[0]] } } };
  const refused = await send('PUT', '/models/tiny/routing', bad);
  expect(refused).toMatchObject({ status: 400, text: expect.stringMatching(/reason.*variants/s) });
  expect((await send('GET', '/models/tiny/routing/history')).body).toMatchObject({
    changes: [{ revision: 1, reason: 'try it', by: '127.0.0.1' }],
  });
  // A rule about a feature of the request, which is otherwise read without making an object of it.
  for (let call = 0; call < 20; call += 1) {
    expect((await send('POST', '/predict', { features })).body).toMatchObject({ variant: 'challenger' });
  }
  expect(await send('POST', '/feedback', { request_id: 'r-9', label: 'fraud' })).toMatchObject({
    body: { accepted: 1 },
  });
  const several = [
    { request_id: 'r-9', row_index: 1, value: 0.5 },
    { request_id: 'r-8', label: true },
  ];
  expect(await send('POST', '/feedback', { feedback: several })).toMatchObject({ body: { accepted: 2 } });
  expect(told).toMatchObject([
    { predictionId: 'p-r-9', rowIndex: 0, label: 'fraud', value: undefined },
    { predictionId: 'p-r-9', rowIndex: 1, value: 0.5 },
    { predictionId: 'p-r-8', label: 'true' },
  ]);
  expect(await send('POST', '/feedback', { prediction_id: 'p-2', value: 1 })).toMatchObject({ body: { accepted: 1 } });
  expect(told.at(-1)).toMatchObject({ predictionId: 'p-2', rowIndex: 0, value: 1 });
  // All of a list, or none of it.
  const mixed = [
    { request_id: 'r-7', value: 1 },
    { request_id: 'twice', value: 1 },
  ];
  expect(await send('POST', '/feedback', { feedback: mixed })).toMatchObject({
    status: 409,
    text: expect.stringMatching(/request_id \\"twice\\", row 0 may be p-1 \(tiny 1.*or p-2/),
  });
  expect(await send('POST', '/feedback', { request_id: 'never', value: 1 })).toMatchObject({
    status: 404,
    text: expect.stringContaining('never'),
  });
  expect(await send('POST', '/feedback', { request_id: 'a', prediction_id: 'b', value: 1 })).toMatchObject({
    status: 400,
  });
  // What no row of a store can have is refused before the store.
  expect(await send('POST', '/feedback', { prediction_id: 'p-2', row_index: 2 ** 31, value: 1 })).toMatchObject({
    status: 400,
    text: expect.stringMatching(/row_index/),
  });
  expect(told).toHaveLength(4);
  expect(await send('POST', '/feedback', { request_id: 'r-9' })).toMatchObject({
    status: 400,
    text: expect.stringContaining('what it should have been'),
  });
  expect((await send('GET', '/models/tiny/results')).body).toMatchObject({
    experiment: 'steeper',
    variants: [{ variant: 'control', predictions: 0 }, { variant: 'challenger' }],
  });
  expect(await send('GET', '/models/tiny/results?outcome=luck')).toMatchObject({ status: 400 });
  expect(await send('GET', '/models/tiny/results?experiment=other')).toMatchObject({ status: 404 });
  await send('PUT', '/models/tiny/routing', { routing: null, reason: 'done' });
  // What has ended can still be looked at.
  expect(await send('GET', '/models/tiny/results?experiment=steeper')).toMatchObject({ status: 200 });
  await own.stop();
  await dealing.stop();
});
