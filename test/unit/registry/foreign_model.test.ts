import { expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { describeOnnx, graphSpecOf } from '#registry/onnx/describe_onnx';
import { ModelProto } from '#registry/onnx/onnx_proto';
import { TextNumbers } from '#registry/packages/signature_encoder';
import { tinyModel } from '../../support/platforms/tiny_model.ts';

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
    inputs: [{ name: 'features', elementType: 1, hasShape: true, dims: [expect.any(String), 4] }],
    outputs: [{ name: 'probabilities', elementType: 1, hasShape: true, dims: [expect.any(String), 2] }],
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
      { name: 'amount', type: 'double', required: true, nullable: true },
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

test('nothing is guessed: a label output, classes that the file or its metadata names, or the plain output', () => {
  const input = tensor('X', 1, ['N', 2]);
  const scores = tensor('probabilities', 1, ['N', 3]);
  const both = graphOf([input], [tensor('label', 7, ['N']), scores]);
  expect(packageOfForeign(mlmodelOf(), both).signature).toMatchObject({
    task: 'values',
    classes: ['probabilities.0', 'probabilities.1', 'probabilities.2'],
    onnx: { input: 'X', output: 'probabilities', label: 'label' },
  });
  const plain = graphOf([input], [scores]);
  expect(packageOfForeign(mlmodelOf(), plain).signature).toMatchObject({
    task: 'values',
    onnx: { output: 'probabilities' },
  });
  expect(packageOfForeign(mlmodelOf(), plain).signature.onnx.label).toBeUndefined();
  const named = { task: 'multiclass_classification', classes: ['a', 'b', 'c'] };
  expect(packageOfForeign(mlmodelOf({ metadata: { classes: ['a', 'b', 'c'] } }), plain).signature).toMatchObject(named);
  const tags = { 'headwater.classes': '["a", "b", "c"]' };
  expect(packageOfForeign(mlmodelOf(), plain, { tags }).signature).toMatchObject(named);
  expect(() => packageOfForeign(mlmodelOf(), plain, { tags: { 'headwater.classes': '["a"]' } })).toThrow(
    /output probabilities has 3 values, and 1 classes are named/,
  );
  expect(() => packageOfForeign(mlmodelOf(), plain, { tags: { 'headwater.classes': 'a,b' } })).toThrow(
    /must be a list in JSON/,
  );
  expect(() => packageOfForeign(mlmodelOf(), plain, { tags: { 'headwater.output': 'x' } })).toThrow(
    /no output called x/,
  );
  // A width that the file leaves open: the label decides; without one, what the version states.
  const open = tensor('scores', 1, ['N', 'M']);
  expect(packageOfForeign(mlmodelOf(), graphOf([input], [tensor('label', 7, ['N']), open])).signature).toMatchObject({
    ...{ task: 'values', classes: [], onnx: { output: 'label', label: 'label' } },
  });
  expect(packageOfForeign(mlmodelOf(), graphOf([input], [open])).signature.task).toBe('tensors');
  const regression = mlmodelOf({ metadata: { task: 'regression' } });
  expect(packageOfForeign(regression, graphOf([input], [open])).signature.task).toBe('regression');
  const value = graphOf([input], [tensor('variable', 1, ['N', 1])]);
  expect(packageOfForeign(mlmodelOf(), value).signature).toMatchObject({ task: 'regression', classes: [] });
});

test('an input example is what explanations compare with; rows that the model does not take are left out', () => {
  const example = (content: object) => new Uint8Array(Buffer.from(JSON.stringify(content)));
  const rows = (content: object) =>
    packageOfForeign(mlmodelOf(), onnx, { example: example(content) }).examples.map(({ features }) => features);
  const [first, second] = [
    { f0: 1, f1: 2, f2: 3, f3: 4 },
    { f0: 5, f1: null, f2: 7, f3: 8 },
  ];
  const data = [
    [1, 2, 3, 4],
    [5, null, 7, 8],
    ['x', 2, 3, 4],
  ];
  expect(rows({ columns: ['f0', 'f1', 'f2', 'f3'], data })).toEqual([first, second]);
  expect(rows({ data })).toEqual([first, second]);
  expect(rows({ inputs: data })).toEqual([first, second]);
  expect(rows([first, { f0: 1, other: 2 }])).toEqual([first]);
  expect(rows({ something: 'else' })).toEqual([]);
});

test('params of a signature are kept with their types', () => {
  const params = JSON.stringify([
    { name: 'top_k', type: 'long', default: 3, shape: null },
    { name: 'names', type: 'string', default: ['a'], shape: [-1] },
  ]);
  expect(packageOfForeign(mlmodelOf({ signature: { params } }), onnx).signature.params).toEqual([
    { name: 'top_k', type: 'long', isList: false },
    { name: 'names', type: 'string', isList: true },
  ]);
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
    classes: ['b.0', 'b.1', 'b.2'],
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
  const maps = graphOf([tensor('X', 1, ['N', 2])], [{ name: 'output_probability' }]);
  expect(() => packageOfForeign(mlmodelOf(), maps)).toThrow(/its outputs output_probability are no tensors/);
  const odd = graphOf([tensor('X', 16, ['N', 2])], [tensor('p', 1, ['N', 2])]);
  expect(() => packageOfForeign(mlmodelOf(), odd)).toThrow(/its input "X" is a tensor of ONNX's type 16/);
  const columns = JSON.stringify([{ name: 'city', type: 'string' }]);
  expect(() => packageOfForeign(mlmodelOf({ signature: { inputs: columns } }), onnx)).toThrow(
    /its column city is string, the graph takes float32.*it takes 4 columns, and 1 are named/,
  );
  expect(() => readMlmodel(Buffer.from(stringify({ flavors: { sklearn: {} } })))).toThrow(/no onnx flavor/);
});

test('an output of a fixed number of values is not taken for that of rows, of which there may be any number', () => {
  const input = tensor('X', 1, ['N', 2]);
  const [last, each, only] = [tensor('last', 1, [3]), tensor('each', 1, ['N', 1]), tensor('label', 7, [5])];
  const onnxOf = (...outputs: readonly object[]) => packageOfForeign(mlmodelOf(), graphOf([input], outputs)).signature;
  expect(onnxOf(last, each)).toMatchObject({ task: 'regression', onnx: { output: 'each' } });
  expect(onnxOf(only, each).onnx.label).toBeUndefined();
  expect(onnxOf(last).task).toBe('tensors');
  // As exporters write it that have seen one row, and where the number of rows is fixed as well.
  expect(onnxOf(tensor('y', 1, [1, 1])).task).toBe('regression');
  const fixed = graphOf([tensor('X', 1, [3, 2])], [tensor('y', 1, [3, 1])]);
  expect(packageOfForeign(mlmodelOf(), fixed).signature.task).toBe('regression');
});

test('an input whose file leaves open how many dimensions it has takes any, and is no scalar', () => {
  const open = { name: 'x', type: { tensorType: { elemType: 1 } } };
  const { inputs } = graphSpecOf(describeOnnx(graphOf([open, tensor('s', 1, [])], [tensor('y', 1, ['N'])])));
  expect(inputs).toEqual([
    { name: 'x', type: 'float32', dims: [], isAnyRank: true },
    { name: 's', type: 'float32', dims: [] },
  ]);
});

test('a graph of other shapes than rows takes tensors', () => {
  const cube = graphOf([tensor('a', 1, ['N', 1, 3]), tensor('b', 1, ['N', 1])], [tensor('p', 1, ['N', 2])]);
  expect(packageOfForeign(mlmodelOf(), cube).signature).toMatchObject({ task: 'tensors', inputs: [], classes: [] });
});
