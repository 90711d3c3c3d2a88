import { expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { describeOnnx } from '#registry/onnx/describe_onnx';
import { ModelProto } from '#registry/onnx/onnx_proto';
import { TextNumbers } from '#registry/signature_encoder';
import { tinyModel } from '../../support/tiny_model.ts';

const { onnx } = tinyModel(0);
const mlmodelOf = (more: object = {}) =>
  readMlmodel(Buffer.from(stringify({ flavors: { onnx: { data: 'model.onnx' }, python_function: {} }, ...more })))
    .mlmodel;

/** A graph with these inputs and outputs, and no nodes. */
function graphOf(inputs: readonly object[], outputs: readonly object[]): Uint8Array {
  return ModelProto.encode(
    ModelProto.fromObject({ irVersion: 8, graph: { name: 'g', input: inputs, output: outputs } }),
  ).finish();
}
const tensor = (name: string, elemType: number, dims: readonly (number | string)[]) => ({
  name,
  type: {
    tensorType: {
      elemType,
      shape: { dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) },
    },
  },
});

test('a file says what it takes and gives', () => {
  expect(describeOnnx(onnx)).toEqual({
    producer: 'headwater',
    opset: 17,
    domains: [],
    inputs: [{ name: 'features', elementType: 1, dims: [undefined, 4] }],
    outputs: [{ name: 'probabilities', elementType: 1, dims: [undefined, 2] }],
  });
  expect(() => describeOnnx(Buffer.from('not a model'))).toThrow(/no ONNX file/);
  expect(() => describeOnnx(new Uint8Array(0))).toThrow(/no ONNX file: it has no graph/);
});

test('columns have the names of the signature, of the metadata, or numbers', () => {
  const names = (more: object) => packageOfForeign(mlmodelOf(more), onnx).signature.inputs.map(({ name }) => name);
  expect(names({})).toEqual(['f0', 'f1', 'f2', 'f3']);
  const tensors = JSON.stringify([{ type: 'tensor', 'tensor-spec': { dtype: 'float32', shape: [-1, 4] } }]);
  expect(names({ signature: { inputs: tensors } })).toEqual(['f0', 'f1', 'f2', 'f3']);
  expect(names({ metadata: { columns: ['a', 'b', 'c', 'd'] } })).toEqual(['a', 'b', 'c', 'd']);
  const columns = [
    { name: 'amount', type: 'double', required: true },
    { name: 'count', type: 'long', required: false },
    { name: 'flag', type: 'boolean' },
    { name: 'score', type: 'float', required: false },
  ];
  const metadata = { classes: ['good', 'bad'], threshold: 0.3, feature_service: 'fraud@1' };
  const model = packageOfForeign(mlmodelOf({ signature: { inputs: JSON.stringify(columns) }, metadata }), onnx);
  expect(model.signature).toEqual({
    inputs: [
      { name: 'amount', type: 'double', required: true },
      { name: 'count', type: 'long', required: false },
      { name: 'flag', type: 'boolean', required: true },
      { name: 'score', type: 'double', required: false },
    ],
    task: 'binary_classification',
    classes: ['good', 'bad'],
    threshold: 0.3,
    onnx: { input: 'features', output: 'probabilities' },
    featureService: { service: 'fraud@1' },
  });
});

test('labels beside probabilities are left alone; values alone are a regression', () => {
  const input = tensor('X', 1, ['N', 2]);
  const both = graphOf([input], [tensor('label', 7, ['N']), tensor('probabilities', 1, ['N', 3])]);
  expect(packageOfForeign(mlmodelOf(), both).signature).toMatchObject({
    task: 'multiclass_classification',
    classes: ['0', '1', '2'],
    onnx: { input: 'X', output: 'probabilities' },
  });
  const value = graphOf([input], [tensor('variable', 1, ['N', 1])]);
  expect(packageOfForeign(mlmodelOf(), value).signature).toMatchObject({ task: 'regression', classes: [] });
});

test('several inputs, of numbers, truth values and texts, are columns by their names', () => {
  const inputs = [tensor('city', 8, ['N', 1]), tensor('age', 7, ['N', 1]), tensor('income', 11, ['N', 1])];
  const file = graphOf(inputs, [tensor('a', 1, ['N', 2]), tensor('b', 11, ['N', 3])]);
  expect(packageOfForeign(mlmodelOf({ metadata: { output: 'b' } }), file).signature).toMatchObject({
    inputs: [
      { name: 'city', type: 'string', required: true },
      { name: 'age', type: 'long', required: true },
      { name: 'income', type: 'double', required: false },
    ],
    classes: ['0', '1', '2'],
    onnx: {
      output: 'b',
      inputs: [
        { name: 'city', element: 'string', columns: 1 },
        { name: 'age', element: 'int64', columns: 1 },
        { name: 'income', element: 'float64', columns: 1 },
      ],
    },
  });
});

test('texts that a model takes have numbers; the oldest make room, the first ones stay', () => {
  const texts = new TextNumbers();
  const first = texts.numberOf('first');
  let others = 0;
  for (let index = 0; index < 2 ** 20 + 10; index += 1) {
    const text = `text-${index}`;
    if (texts.textOf(texts.numberOf(text)) !== text) others += 1;
  }
  expect(others).toBe(0);
  expect(texts.textOf(first)).toBe('first');
  expect(texts.numberOf('first')).toBe(first);
});

test('what could not be served is refused, all of it at once', () => {
  const zipmap = graphOf([tensor('X', 1, ['N', 2])], [tensor('label', 7, ['N']), { name: 'output_probability' }]);
  expect(() => packageOfForeign(mlmodelOf(), zipmap)).toThrow(
    /its outputs label, output_probability are no FP32 or FP64 tensor/,
  );
  const cube = graphOf([tensor('a', 1, ['N', 1, 3]), tensor('b', 1, ['N', 1])], [tensor('p', 1, ['N', 2])]);
  expect(() => packageOfForeign(mlmodelOf(), cube)).toThrow(/takes a, b: tensors \[rows, columns\]/);
  const columns = JSON.stringify([{ name: 'city', type: 'string' }]);
  expect(() => packageOfForeign(mlmodelOf({ signature: { inputs: columns } }), onnx)).toThrow(
    /its column city is string, the graph takes float32.*it takes 4 columns, and 1 are named/,
  );
  expect(() => readMlmodel(Buffer.from(stringify({ flavors: { sklearn: {} } })))).toThrow(/no onnx flavor/);
});
