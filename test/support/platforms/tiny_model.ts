import { field, fromEvent, isWeekend } from '#feature_store/definitions/feature';
import type { ModelPackage, ModelSignature } from '#registry/packages/model_package';
import { type Mlp, mlpToOnnx } from '#registry/trainers/tfjs/onnx_mlp';
import { testView } from '../definitions/test_view.ts';

const signature: ModelSignature = {
  inputs: [
    { name: 'amount', type: 'double', required: true },
    { name: 'count', type: 'long', required: false },
    { name: 'weekend', type: 'boolean', required: false, missing: 0 },
    { name: 'category', type: 'string', required: false, categories: { a: 0.1, b: 0.7 } },
  ],
  task: 'binary_classification',
  classes: ['legitimate', 'fraud'],
  onnx: { input: 'features', output: 'probabilities' },
  featureService: { service: 'tiny@1' },
};

/** The view it is of. */
export const tinyView = testView(
  {
    amount: field('amount', 'double', ''),
    count: fromEvent('long', '', () => 1),
    weekend: isWeekend(),
    category: field('merchant_category', 'string', ''),
  },
  { name: 'tiny' },
);

const FILL = Float32Array.of(1, 2, 0, 0.4);

/** A real ONNX model of four columns: logistic regression on squashed inputs, shifted by `bias`. */
export function tinyModel(bias: number): ModelPackage {
  const mlp: Mlp = {
    width: 4,
    fill: FILL,
    center: Float32Array.of(0, 0, 0, 0),
    scale: Float32Array.of(1, 1, 1, 1),
    layers: [{ weights: Float32Array.of(0.5, 0.25, -1, 2), bias: Float32Array.of(bias) }],
  };
  const features = { amount: 10, count: 3, weekend: true, category: 'b' };
  const score = tinyScore(bias, [10, 3, 1, 0.7]);
  return { onnx: mlpToOnnx(mlp, 'test'), signature, examples: [{ features, output: [1 - score, score] }] };
}

/** The same in plain arithmetic: probability of fraud for encoded inputs; NaN is missing. */
export function tinyScore(bias: number, inputs: readonly number[]): number {
  const weights = [0.5, 0.25, -1, 2];
  const sum = inputs.reduce((total, input, at) => {
    const value = Number.isNaN(input) ? (FILL[at] as number) : input;
    return total + Math.sign(value) * Math.log1p(Math.abs(value)) * (weights[at] as number);
  }, bias);
  return 1 / (1 + Math.exp(-sum));
}
