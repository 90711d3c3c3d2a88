import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { ModelProto } from '#registry/onnx/onnx_proto';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';

// Bodies of MLflow's scoring server, SageMaker and KServe's protocol of version 1.

const FLOAT = 1;
const INT64 = 7;
const tensor = (name: string, elemType: number, dims: readonly (number | string)[]) => ({
  name,
  type: {
    tensorType: {
      elemType,
      shape: { dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});

/** Gives back cubes and counts: no rows of columns. */
function cubes() {
  const graph = {
    name: 'g',
    node: [
      { opType: 'Neg', input: ['cube'], output: ['negative'] },
      { opType: 'Neg', input: ['count'], output: ['less'] },
    ],
    input: [tensor('cube', FLOAT, ['N', 2, 'M']), tensor('count', INT64, ['N'])],
    output: [tensor('negative', FLOAT, ['N', 2, 'M']), tensor('less', INT64, ['N'])],
  };
  const file = ModelProto.fromObject({ irVersion: 8, graph, opsetImport: [{ domain: '', version: 17 }] });
  const params = JSON.stringify([{ name: 'top_k', type: 'long', default: 1, shape: null }]);
  const mlmodel = JSON.stringify({ flavors: { onnx: { data: 'model.onnx' } }, signature: { params } });
  return packageOfForeign(readMlmodel(Buffer.from(mlmodel)).mlmodel, ModelProto.encode(file).finish());
}

let serving: TinyServing;
beforeAll(async () => {
  serving = await serveTiny({ models: [{ name: 'tiny' }, { name: 'cubes' }] }, async (registry) => {
    await registry.register({ name: 'cubes', package: cubes(), metrics: {}, params: {} });
    await registry.transition('cubes', 1, 'Production');
  });
});
afterAll(() => serving.stop());

async function post(url: string, payload: object | string, type = 'application/json') {
  const answer = await serving.service.app.inject({ method: 'POST', url, payload, headers: { 'content-type': type } });
  return { status: answer.statusCode, body: answer.json() as Record<string, unknown> };
}

const CUBES = '/endpoints/cubes/invocations';
const TINY = '/endpoints/tiny/invocations';
const row = { amount: 10, count: 3, weekend: true, category: 'b' };

test('tensors by name, as a whole and by row', async () => {
  const cube = [
    [
      [1, 2],
      [3, 4],
    ],
    [
      [5, 6],
      [7, 8],
    ],
  ];
  const negative = [
    [
      [-1, -2],
      [-3, -4],
    ],
    [
      [-5, -6],
      [-7, -8],
    ],
  ];
  const whole = await post(CUBES, { inputs: { cube, count: [1, '9007199254740993'] } });
  expect(whole).toEqual({ status: 200, body: { predictions: { negative, less: [-1, '-9007199254740993'] } } });
  const instances = cube.map((each, at) => ({ cube: each, count: at }));
  for (const url of [CUBES, '/v1/models/cubes:predict']) {
    const byRow = await post(url, { instances });
    expect(byRow.body).toEqual({
      predictions: negative.map((each, at) => ({ negative: each, less: at === 0 ? 0 : -1 })),
    });
  }
  const refused = [
    [{ inputs: { cube } }, /input count is missing/],
    [{ inputs: { cube: [[[1], [2]], [[3]]], count: [1, 2] } }, /lists of the same length/],
    [{ inputs: { cube: [[[1], [2], [3]]], count: [1] } }, /has the shape \[1, 3, 1\], not \[N, 2, M\]/],
    [{ inputs: { cube, count: [1, 1.5] } }, /INT64 takes integers/],
    [{ dataframe_records: [{ cube: 1 }] }, /takes tensors, no rows of columns/],
  ] as const;
  for (const [body, message] of refused) {
    expect(await post(CUBES, body)).toMatchObject({ status: 400, body: { Message: expect.stringMatching(message) } });
  }
  const predict = await post('/predict', { model_name: 'cubes', features: { cube: 1 } });
  expect(predict).toMatchObject({ status: 400, body: { code: 'SERVING_TENSORS_ONLY' } });
});

test('two formats, unknown params and params of another type are refused by name', async () => {
  const two = await post(TINY, { instances: [row], dataframe_records: [row] });
  expect(two).toMatchObject({
    status: 400,
    body: { Message: expect.stringContaining('dataframe_records and instances were sent') },
  });
  const inputs = { cube: [[[1], [2]]], count: [1] };
  expect((await post(CUBES, { inputs, params: { top_k: 2 } })).status).toBe(200);
  for (const [params, message] of [
    [{ top_k: 'two' }, /param top_k must be long/],
    [{ other: 1 }, /no param other: there is top_k/],
    [[1], /params must be an object/],
  ] as const) {
    expect(await post(CUBES, { inputs, params })).toMatchObject({
      status: 400,
      body: { Message: expect.stringMatching(message) },
    });
  }
});

test('CSV, with the names of columns or without, gives what JSON gives', async () => {
  const expected = await post(TINY, { instances: [row, { ...row, count: null }] });
  const lines = ['10,3,true,b', '10,,true,b'];
  for (const csv of [
    ['amount,count,weekend,category', ...lines],
    lines,
    ['category,weekend,count,amount', 'b,true,3,10', 'b,true,,10'],
  ]) {
    expect(await post(TINY, `${csv.join('\n')}\n`, 'text/csv')).toEqual(expected);
  }
  expect(await post(TINY, '1,2\n', 'text/csv')).toMatchObject({ status: 400 });
  expect(await post(TINY, 'amount,amount\n1,2\n', 'text/csv')).toMatchObject({ status: 400 });
  expect(await post(TINY, '{}', 'text/plain')).toMatchObject({ status: 415 });
});

test('KServe’s protocol of version 1, and MLflow’s version', async () => {
  const get = async (url: string) => serving.service.app.inject({ url });
  expect((await get('/v1/models')).json()).toEqual({ models: ['tiny', 'cubes'] });
  expect((await get('/v1/models/tiny')).json()).toEqual({ name: 'tiny', ready: true });
  expect((await get('/v1/models/nothing')).json()).toEqual({ error: expect.stringContaining('nothing') });
  expect((await post('/v1/models/tiny:predict', { instances: [row] })).body).toEqual(
    (await post(TINY, { instances: [row] })).body,
  );
  expect((await post('/v1/models/nothing:predict', { instances: [row] })).status).toBe(404);
  expect((await post('/v1/models/tiny', { instances: [row] })).status).toBe(400);
  expect((await get('/version')).payload).toMatch(/^\d+\.\d+\.\d+$/);
});

test('tensors that are no rows are logged as they came, once a request; many values by type and shape', async () => {
  const send = async (cube: unknown, count: readonly number[]): Promise<void> => {
    const inputs = { cube, count };
    expect((await post(CUBES, { inputs })).status).toBe(200);
  };
  await serving.log.flush();
  const before = serving.logged.length;
  await send([[[1.5], [2]]], [7]);
  await send([[Array(600).fill(1), Array(600).fill(2)]], [7]);
  await serving.log.flush();
  const logged = serving.logged.slice(before);
  const count = { datatype: 'INT64', shape: [1], data: [7] };
  const less = { ...count, data: [-7] };
  const seen = logged.map(({ features, prediction }) => [JSON.parse(features as string), JSON.parse(prediction)]);
  expect(seen).toEqual([
    [
      { cube: { datatype: 'FP32', shape: [1, 2, 1], data: [1.5, 2] }, count },
      { negative: { datatype: 'FP32', shape: [1, 2, 1], data: [-1.5, -2] }, less },
    ],
    [
      { cube: { datatype: 'FP32', shape: [1, 2, 600] }, count },
      { negative: { datatype: 'FP32', shape: [1, 2, 600] }, less },
    ],
  ]);
  expect(logged[0]).toMatchObject({ modelName: 'cubes', modelVersion: 1, rowIndex: 0 });
  expect(await serving.metrics.getSingleMetricAsString('prediction_log_tensors_without_values_total')).toContain(
    'prediction_log_tensors_without_values_total{model="cubes"} 2',
  );
});
