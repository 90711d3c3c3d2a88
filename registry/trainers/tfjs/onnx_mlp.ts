import { GraphBuilder } from '../../onnx/graph_builder.ts';

/** A layer of a network: weights [inputs, outputs] row-major, biases and activation. */
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

/** Name of the input of a network that `mlpToOnnx` writes. */
export const MLP_INPUT = 'features';
/** Name of its output. */
export const MLP_OUTPUT = 'probabilities';

/**
 * Returns ONNX bytes: FP32 [N, width] in. A last layer with one output gives FP32 [N, 2], the probabilities of 0 and of 1; one with several gives
 * FP32 [N, outputs], a probability each, which do not add up to 1.
 */
export function mlpToOnnx(mlp: Mlp, producerVersion: string): Uint8Array {
  const graph = new GraphBuilder();
  const missing = graph.node('IsNaN', [MLP_INPUT], 'missing');
  const filled = graph.node('Where', [missing, graph.row('fill', mlp.fill), MLP_INPUT], 'filled');
  const size = graph.node('Add', [graph.node('Abs', [filled], 'abs'), graph.row('one', new Float32Array([1]))], 'size');
  const squashed = graph.node(
    'Mul',
    [graph.node('Sign', [filled], 'sign'), graph.node('Log', [size], 'log')],
    'squashed',
  );
  const centered = graph.node('Sub', [squashed, graph.row('center', mlp.center)], 'centered');
  let current = graph.node('Div', [centered, graph.row('scale', mlp.scale)], 'scaled');
  for (const [index, { weights, bias }] of mlp.layers.entries()) {
    const name = `layer${index}`;
    const inputs = weights.length / bias.length;
    const kernel = graph.constant(`${name}_weights`, [inputs, bias.length], weights);
    current = graph.node('Gemm', [current, kernel, graph.constant(`${name}_bias`, [bias.length], bias)], name);
    if (index < mlp.layers.length - 1) current = graph.node('Relu', [current], `${name}_relu`);
  }
  const outputs = mlp.layers.at(-1)?.bias.length ?? 1;
  if (outputs === 1) {
    const positive = graph.node('Sigmoid', [current], 'positive');
    const negative = graph.node('Sub', ['one', positive], 'negative');
    graph.node('Concat', [negative, positive], MLP_OUTPUT, { axis: 1 });
  } else {
    graph.node('Sigmoid', [current], MLP_OUTPUT);
  }

  return graph.encode('mlp', producerVersion, {
    input: { name: MLP_INPUT, columns: mlp.width },
    output: { name: MLP_OUTPUT, columns: Math.max(2, outputs) },
  });
}
