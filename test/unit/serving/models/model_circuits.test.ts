import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { ModelProto } from '#registry/onnx/onnx_proto';
import { serveTiny, type TinyServing } from '../../../support/platforms/tiny_serving.ts';

// A model that fails for some rows: Gather of a table of three, whose index is the row's value.

function table() {
  const dims = (...of: (number | string)[]) =>
    of.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim }));
  const tensor = (name: string) => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: dims('N', 1) } } },
  });
  const graph = {
    name: 'g',
    node: [
      { opType: 'Cast', input: ['x'], output: ['at'], attribute: [{ name: 'to', type: 2, i: 7 }] },
      { opType: 'Gather', input: ['table', 'at'], output: ['y'], attribute: [{ name: 'axis', type: 2, i: 0 }] },
    ],
    initializer: [{ name: 'table', dataType: 1, dims: [3], floatData: [10, 20, 30] }],
    input: [tensor('x')],
    output: [tensor('y')],
  };
  const file = ModelProto.fromObject({ irVersion: 8, graph, opsetImport: [{ domain: '', version: 17 }] });
  const { mlmodel } = readMlmodel(Buffer.from('flavors: {onnx: {data: model.onnx}}'));
  return packageOfForeign(mlmodel, ModelProto.encode(file).finish());
}

let serving: TinyServing;
beforeAll(async () => {
  serving = await serveTiny({ models: [{ name: 'tiny' }, { name: 'table' }] }, async (registry) => {
    await registry.register({ name: 'table', package: table(), metrics: {}, params: {} });
    await registry.transition('table', 1, 'Production');
  });
});
afterAll(async () => {
  jest.restoreAllMocks();
  await serving.stop();
});

async function ask(value: number) {
  const payload = { model_name: 'table', features: { x: value } };
  const answer = await serving.service.app.inject({ method: 'POST', url: '/predict', payload });
  return { status: answer.statusCode, body: answer.json() };
}

test('a model that fails five times in a row is left alone, answers others at once with 503, and is tried again after a second', async () => {
  let nowMs = 1e6;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
  expect(await ask(1)).toMatchObject({ status: 200, body: { prediction: 20 } });
  for (let failure = 0; failure < 4; failure += 1) expect((await ask(7)).status).toBe(500);
  // A success begins the count anew.
  expect((await ask(2)).status).toBe(200);
  for (let failure = 0; failure < 5; failure += 1) expect((await ask(7)).status).toBe(500);
  for (const value of [1, 7]) {
    expect(await ask(value)).toMatchObject({ status: 503, body: { error: { code: 'SERVING_MODEL_FAILING' } } });
  }
  nowMs += 1_001;
  expect((await ask(7)).status).toBe(500);
  expect((await ask(1)).status).toBe(503);
  nowMs += 1_001;
  expect((await ask(1)).status).toBe(200);
  expect((await ask(1)).status).toBe(200);
  expect(await serving.metrics.metrics()).toContain('model_circuit_opened_total{model="table"} 2\n');
  // Other models are not concerned.
  const payload = { model_name: 'tiny', features: { amount: 1, count: 1, weekend: true, category: 'a' } };
  expect((await serving.service.app.inject({ method: 'POST', url: '/predict', payload })).statusCode).toBe(200);
});
