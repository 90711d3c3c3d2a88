import { ModelProto } from '#registry/onnx/onnx_proto';
import type { ModelPackage } from '#registry/packages/model_package';
import { tinyModel } from '../platforms/tiny_model.ts';

// ONNX graphs that take a row of four columns and mean harm: to onnxruntime they are like any other.

const FLOAT = 1;
const INT64 = 7;
const BOOL = 9;
const [OF_INT, OF_TENSOR, OF_GRAPH] = [2, 4, 5];
const matrix = (name: string, columns: number) => ({
  name,
  type: { tensorType: { elemType: FLOAT, shape: { dim: [{ dimParam: 'N' }, { dimValue: columns }] } } },
});
const scalar = (name: string, elemType: number) => ({ name, type: { tensorType: { elemType, shape: {} } } });
const floats = (name: string, dims: readonly number[], values: readonly number[]) => ({
  ...{ name, dims, dataType: FLOAT },
  rawData: Buffer.from(Float32Array.from(values).buffer),
});
const integers = (name: string, dims: readonly number[], values: readonly bigint[]) => ({
  ...{ name, dims, dataType: INT64 },
  rawData: Buffer.from(BigInt64Array.from(values).buffer),
});
const YES = { name: 'yes', dims: [], dataType: BOOL, rawData: Buffer.from([1]) };
const WEIGHTS = floats('weights', [4, 1], [0.5, 0.25, -1, 2]);

function packageOf(graph: object, examples: ModelPackage['examples'] = []): ModelPackage {
  const onnx = ModelProto.encode(
    ModelProto.fromObject({
      irVersion: 8,
      opsetImport: [{ domain: '', version: 13 }],
      graph: { name: 'g', input: [matrix('features', 4)], output: [matrix('value', 1)], ...graph },
    }),
  ).finish();
  const { signature } = tinyModel(0);
  const { threshold: _, ...rest } = signature;
  return {
    ...{ onnx, examples },
    signature: { ...rest, task: 'regression', classes: [], onnx: { input: 'features', output: 'value' } },
  };
}

/** A loop that does nothing, `trips` times. */
const loop = {
  opType: 'Loop',
  input: ['trips', 'yes', 'features'],
  output: ['same'],
  attribute: [
    {
      ...{ name: 'body', type: OF_GRAPH },
      g: {
        name: 'body',
        node: [
          { opType: 'Identity', input: ['go'], output: ['goes'] },
          { opType: 'Identity', input: ['state'], output: ['kept'] },
        ],
        input: [scalar('turn', INT64), scalar('go', BOOL), matrix('state', 4)],
        output: [scalar('goes', BOOL), matrix('kept', 4)],
      },
    },
  ],
};
const product = (input: string) => ({ opType: 'MatMul', input: [input, 'weights'], output: ['value'] });

/** Never ends, whatever the row. */
export const endlessModel = (): ModelPackage =>
  packageOf({
    node: [loop, product('same')],
    initializer: [WEIGHTS, YES, integers('trips', [], [9_000_000_000_000_000_000n])],
  });

/** Goes round as often as the largest value of the rows: its example ends, and a row of 1e18 does not. */
export const sometimesEndlessModel = (): ModelPackage =>
  packageOf(
    {
      node: [
        {
          opType: 'ReduceMax',
          input: ['features'],
          output: ['most'],
          attribute: [{ name: 'keepdims', type: OF_INT, i: 0 }],
        },
        { opType: 'Cast', input: ['most'], output: ['trips'], attribute: [{ name: 'to', type: OF_INT, i: INT64 }] },
        loop,
        product('same'),
      ],
      initializer: [WEIGHTS, YES],
    },
    [{ features: { amount: 10, count: 3, weekend: true, category: 'b' }, output: [10 * 0.5 + 3 * 0.25 - 1 + 0.7 * 2] }],
  );

/** Makes a tensor of 3 GB on its way. */
export const greedyModel = (): ModelPackage =>
  packageOf({
    node: [
      { opType: 'ConstantOfShape', input: ['size'], output: ['zeros'] },
      {
        opType: 'ReduceMax',
        input: ['zeros'],
        output: ['zero'],
        attribute: [{ name: 'keepdims', type: OF_INT, i: 0 }],
      },
      { opType: 'Add', input: ['features', 'zero'], output: ['same'] },
      product('same'),
    ],
    initializer: [WEIGHTS, integers('size', [2], [28_000n, 28_000n])],
  });

/** As greedy as the row says. */
export const sometimesGreedyModel = (): ModelPackage =>
  packageOf({
    node: [
      {
        opType: 'ReduceMax',
        input: ['features'],
        output: ['most'],
        attribute: [{ name: 'keepdims', type: OF_INT, i: 0 }],
      },
      { opType: 'Cast', input: ['most'], output: ['size'], attribute: [{ name: 'to', type: OF_INT, i: INT64 }] },
      { opType: 'Range', input: ['from', 'size', 'step'], output: ['many'] },
      { opType: 'Cast', input: ['many'], output: ['floats'], attribute: [{ name: 'to', type: OF_INT, i: FLOAT }] },
      {
        opType: 'ReduceSum',
        input: ['floats'],
        output: ['sum'],
        attribute: [{ name: 'keepdims', type: OF_INT, i: 0 }],
      },
      { opType: 'Add', input: ['features', 'sum'], output: ['same'] },
      product('same'),
    ],
    initializer: [WEIGHTS, integers('from', [], [0n]), integers('step', [], [1n])],
  });

export const EXTERNAL_PLACES = ['initializer', 'attribute', 'subgraph', 'twice'] as const;

/** A model that does what its weights say, which lie in a file. */
export function externalModel(
  place: (typeof EXTERNAL_PLACES)[number],
  external: Readonly<Record<string, string>>,
): ModelPackage {
  const tensor = {
    ...{ name: 'weights', dims: [4, 1], dataType: FLOAT, dataLocation: 1 },
    externalData: Object.entries(external).map(([key, value]) => ({ key, value })),
  };
  const constant = {
    opType: 'Constant',
    output: ['weights'],
    attribute: [{ name: 'value', type: OF_TENSOR, t: tensor }],
  };
  const branch = (name: string) => ({
    ...{ name, type: OF_GRAPH },
    g: {
      name,
      node: [{ opType: 'MatMul', input: ['features', 'weights'], output: [`of_${name}`] }],
      initializer: [tensor],
      output: [matrix(`of_${name}`, 1)],
    },
  });
  switch (place) {
    case 'initializer':
      return packageOf({ node: [product('features')], initializer: [tensor] });
    case 'attribute':
      return packageOf({ node: [constant, product('features')] });
    case 'subgraph':
      return packageOf({
        node: [
          {
            ...{ opType: 'If', input: ['yes'], output: ['value'] },
            attribute: [branch('then_branch'), branch('else_branch')],
          },
        ],
        initializer: [YES],
      });
    case 'twice':
      return packageOf({
        node: [
          { opType: 'Add', input: ['weights', 'others'], output: ['sum'] },
          { opType: 'MatMul', input: ['features', 'sum'], output: ['value'] },
        ],
        initializer: [tensor, { ...tensor, name: 'others' }],
      });
  }
}
