import { ONNX_FLOAT as FLOAT, ModelProto } from '../../onnx/onnx_proto.ts';

/** Opset and IR that every onnxruntime since 1.15 takes. */
const OPSET = 17;
const IR_VERSION = 8;

const ATTRIBUTE_INT = 2;

export interface DenseLayer {
  /** [inputs, outputs], row-major. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

/** A multi-layer perceptron with its preprocessing, all of it in the graph. */
export interface Mlp {
  readonly width: number;
  /** What a missing (NaN) value becomes, by column. */
  readonly fill: Float32Array;
  /** After sign(x)·log(1+|x|): subtracted, then divided by `scale`. */
  readonly center: Float32Array;
  readonly scale: Float32Array;
  /** ReLU between, sigmoid after the last. */
  readonly layers: readonly DenseLayer[];
}

export const MLP_INPUT = 'features';
export const MLP_OUTPUT = 'probabilities';

/**
 * Returns ONNX bytes: FP32 [N, width] in. A last layer with one output gives FP32 [N, 2], the probabilities of 0 and of 1; one with several gives
 * FP32 [N, outputs], a probability each, which do not add up to 1.
 */
export function mlpToOnnx(mlp: Mlp, producerVersion: string): Uint8Array {
  const nodes: object[] = [];
  const initializers: object[] = [];
  const node = (
    opType: string,
    input: readonly string[],
    output: string,
    attributes: Record<string, number> = {},
  ): string => {
    nodes.push({
      opType,
      name: output,
      input,
      output: [output],
      attribute: Object.entries(attributes).map(([name, i]) => ({ name, i, type: ATTRIBUTE_INT })),
    });
    return output;
  };
  const constant = (name: string, dims: readonly number[], data: Float32Array): string => {
    initializers.push({
      name,
      dims,
      dataType: FLOAT,
      rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    });
    return name;
  };
  const row = (name: string, data: Float32Array): string => constant(name, [1, data.length], data);

  const missing = node('IsNaN', [MLP_INPUT], 'missing');
  const filled = node('Where', [missing, row('fill', mlp.fill), MLP_INPUT], 'filled');
  const size = node('Add', [node('Abs', [filled], 'abs'), row('one', new Float32Array([1]))], 'size');
  const squashed = node('Mul', [node('Sign', [filled], 'sign'), node('Log', [size], 'log')], 'squashed');
  const centered = node('Sub', [squashed, row('center', mlp.center)], 'centered');
  let current = node('Div', [centered, row('scale', mlp.scale)], 'scaled');
  for (const [index, { weights, bias }] of mlp.layers.entries()) {
    const name = `layer${index}`;
    const inputs = weights.length / bias.length;
    const kernel = constant(`${name}_weights`, [inputs, bias.length], weights);
    current = node('Gemm', [current, kernel, constant(`${name}_bias`, [bias.length], bias)], name);
    if (index < mlp.layers.length - 1) current = node('Relu', [current], `${name}_relu`);
  }
  const outputs = mlp.layers.at(-1)?.bias.length ?? 1;
  if (outputs === 1) {
    const positive = node('Sigmoid', [current], 'positive');
    const negative = node('Sub', ['one', positive], 'negative');
    node('Concat', [negative, positive], MLP_OUTPUT, { axis: 1 });
  } else {
    node('Sigmoid', [current], MLP_OUTPUT);
  }

  const value = (name: string, columns: number): object => ({
    name,
    type: { tensorType: { elemType: FLOAT, shape: { dim: [{ dimParam: 'N' }, { dimValue: columns }] } } },
  });
  const message = ModelProto.fromObject({
    irVersion: IR_VERSION,
    producerName: 'headwater',
    producerVersion,
    opsetImport: [{ domain: '', version: OPSET }],
    graph: {
      name: 'mlp',
      node: nodes,
      initializer: initializers,
      input: [value(MLP_INPUT, mlp.width)],
      output: [value(MLP_OUTPUT, Math.max(2, outputs))],
    },
  });
  return ModelProto.encode(message).finish();
}
