import { GraphBuilder } from '../../onnx/graph_builder.ts';
import type { InputColumn, ModelPackage } from '../../packages/model_package.ts';

/** What a column of a logistic regression adds to the sum. */
export interface LinearColumn {
  readonly name: string;
  readonly type: InputColumn['type'];
  /** Times sign(x)·log(1 + |x|); not of strings. */
  readonly weight: number;
  /** Of a missing value. */
  readonly missing: number;
  /** Of strings, by category. */
  readonly categories: Readonly<Record<string, number>>;
  /** Of any other category. */
  readonly other: number;
}

/** A linear model: a bias, and a weight for each column. */
export interface LinearModel {
  readonly bias: number;
  readonly columns: readonly LinearColumn[];
  /** Of labels 0 and 1. */
  readonly classes: readonly [string, string];
}

const INPUT = 'features';
const OUTPUT = 'probabilities';

/**
 * Returns a logistic regression as a model: FP64 [N, columns] in, FP32 [N, 2] out, the probabilities of both classes. The sum is computed in FP64, so
 * that its probabilities are those of the weights to the last digits of FP32. Strings come as the weights of their categories.
 */
export function linearPackage({ bias, columns, classes }: LinearModel): ModelPackage {
  const graph = new GraphBuilder();
  const isText = Uint8Array.from(columns, ({ type }) => Number(type === 'string'));
  const one = graph.row('one', new Float64Array([1]));
  const size = graph.node('Add', [graph.node('Abs', [INPUT], 'abs'), one], 'size');
  const squashed = graph.node(
    'Mul',
    [graph.node('Sign', [INPUT], 'sign'), graph.node('Log', [size], 'log')],
    'squashed',
  );
  const weights = graph.row(
    'weights',
    Float64Array.from(columns, ({ weight }) => weight),
  );
  const numbers = graph.node('Mul', [squashed, weights], 'numbers');
  const present = graph.node('Where', [graph.row('is_text', isText), INPUT, numbers], 'present');
  const missing = graph.row(
    'missing',
    Float64Array.from(columns, (column) => column.missing),
  );
  const added = graph.node('Where', [graph.node('IsNaN', [INPUT], 'is_missing'), missing, present], 'added');
  const ones = graph.constant('ones', [columns.length, 1], new Float64Array(columns.length).fill(1));
  const sum = graph.node('MatMul', [added, ones], 'sum');
  const second = graph.node(
    'Sigmoid',
    [graph.node('Add', [sum, graph.row('bias', new Float64Array([bias]))], 'logit')],
    'second',
  );
  const both = graph.node('Concat', [graph.node('Sub', [one, second], 'first'), second], 'both', { axis: 1 });
  graph.node('Cast', [both], OUTPUT, { to: 1 });
  return {
    onnx: graph.encode('logistic_regression', '1', {
      input: { name: INPUT, element: 'float64', columns: columns.length },
      output: { name: OUTPUT, element: 'float32', columns: 2 },
    }),
    signature: {
      inputs: columns.map(({ name, type, categories, other }) => ({
        ...{ name, type, required: false },
        ...(type === 'string' ? { categories, unknownCategory: other } : {}),
      })),
      task: 'binary_classification',
      classes,
      onnx: {
        ...{ input: INPUT, output: OUTPUT },
        inputs: [{ name: INPUT, element: 'float64', columns: columns.length }],
      },
    },
    examples: [],
  };
}
