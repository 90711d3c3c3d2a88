import { InexactOutputError, InvalidModelError } from '../errors.ts';
import { halfValue } from '../graphs/half_float.ts';
import type { NamedTensors, TypedTensor } from '../graphs/typed_tensor.ts';
import { type ModelSignature, outputWidth, type RowValues, scoreWidth } from '../packages/model_package.ts';
import type { TextNumbers } from '../packages/signature_encoder.ts';

/** Returns the outputs that decide what a row is: scores, and the label where the graph has one. */
export const decidingOutputs = ({ onnx }: ModelSignature): readonly string[] =>
  onnx.label === undefined || onnx.label === onnx.output ? [onnx.output] : [onnx.output, onnx.label];

/**
 * Returns [rows, scores and label], row-major, out of a graph's outputs. A label that is a string is a number that stands for it.
 *
 * @throws {@link InvalidModelError} when an output has another shape than the signature says
 */
export function decisionOf(
  signature: ModelSignature,
  results: NamedTensors,
  rows: number,
  labels: TextNumbers | undefined,
): RowValues {
  const { onnx } = signature;
  const width = scoreWidth(signature);
  const scores = width === 0 ? undefined : numbersOf(onnx.output, results[onnx.output], rows * width);
  if (onnx.label === undefined) return scores ?? new Float32Array(0);
  const label = results[onnx.label];
  const values = label?.type === 'string' ? label.data : numbersOf(onnx.label, label, rows);
  if (values.length !== rows) throw unlike(onnx.label, label, rows);
  const all = outputWidth(signature);
  const decided = new Float64Array(rows * all);
  for (let row = 0; row < rows; row += 1) {
    if (scores !== undefined) decided.set(scores.subarray(row * width, (row + 1) * width), row * all);
    const value = values[row] as number | string;
    decided[row * all + width] = typeof value === 'string' ? (labels as TextNumbers).numberOf(value) : value;
  }
  return decided;
}

function numbersOf(name: string, tensor: TypedTensor | undefined, count: number): RowValues {
  if (tensor === undefined || tensor.type === 'string' || tensor.data.length !== count)
    throw unlike(name, tensor, count);
  const { type, data } = tensor;
  if (data instanceof Float32Array || data instanceof Float64Array) return data;
  if (type === 'float16') return Float32Array.from(data as Uint16Array, halfValue);
  return Float64Array.from(data as ArrayLike<number | bigint>, (value) => {
    const number = Number(value);
    if (typeof value === 'bigint' && !Number.isSafeInteger(number)) throw new InexactOutputError(name, value);
    return number;
  });
}

const unlike = (name: string, tensor: TypedTensor | undefined, count: number): InvalidModelError => {
  const found = tensor === undefined ? 'no tensor' : `${tensor.type} [${tensor.dims}]`;
  return new InvalidModelError([`its output "${name}" is ${found} where ${count} numbers were expected`]);
};
