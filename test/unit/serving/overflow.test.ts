import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { GraphBuilder } from '#registry/onnx/graph_builder';
import type { ModelPackage } from '#registry/packages/model_package';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';

// A model whose arithmetic leaves FP32: `large` times 3e38, and the difference of two such products.

function overflowing(): ModelPackage {
  const graph = new GraphBuilder();
  const scaled = graph.node('Mul', ['features', graph.row('scale', Float32Array.of(3e38, -3e38))], 'scaled');
  graph.node('MatMul', [scaled, graph.constant('ones', [2, 1], Float32Array.of(1, 1))], 'value');
  return {
    onnx: graph.encode('overflowing', '1', {
      input: { name: 'features', element: 'float32', columns: 2 },
      output: { name: 'value', element: 'float32', columns: 1 },
    }),
    signature: {
      inputs: ['plus', 'minus'].map((name) => ({ name, type: 'double', required: true })),
      ...{ task: 'regression', classes: [], onnx: { input: 'features', output: 'value' } },
    },
    examples: [{ features: { plus: 0.5, minus: 0.5 }, output: [0] }],
  };
}

let serving: TinyServing;
beforeAll(async () => {
  serving = await serveTiny({ models: [{ name: 'tiny' }, { name: 'overflowing' }] }, async (registry) => {
    await registry.register({ name: 'overflowing', package: overflowing(), metrics: {}, params: {} });
    await registry.transition('overflowing', 1, 'Production');
  });
});
afterAll(() => serving.stop());

const post = (url: string, payload: object) => serving.service.app.inject({ method: 'POST', url, payload });
const FINITE = { plus: 0.5, minus: 0.25 };

test.each([
  ['Infinity', { plus: 10, minus: 0 }],
  ['-Infinity', { plus: 0, minus: 10 }],
  ['NaN', { plus: 10, minus: 10 }],
])('an output of %s is an error that names the row, and no null', async (value, features) => {
  const one = await post('/predict', { model_name: 'overflowing', features });
  expect([one.statusCode, one.json().code]).toEqual([422, 'SERVING_OUTPUT_NOT_FINITE']);
  expect(one.json().detail).toContain(`gave ${value} for row 0`);
  const batch = await post('/predict/batch', { model_name: 'overflowing', instances: [FINITE, features] });
  expect([batch.statusCode, batch.json().detail]).toEqual([422, expect.stringContaining(`gave ${value} for row 1`)]);
  const frame = { columns: ['plus', 'minus'], data: [Object.values(FINITE), Object.values(features)] };
  const scored = await post('/endpoints/overflowing/invocations', { dataframe_split: frame });
  expect(scored.statusCode).toBe(422);
});

test('rows beside it are answered', async () => {
  const answer = await post('/predict', { model_name: 'overflowing', features: FINITE });
  expect([answer.statusCode, answer.json().prediction]).toEqual([200, expect.closeTo(0.75e38, -34)]);
});
