import { halfValue } from '#registry/graphs/half_float';
import type { TensorType, TypedTensor } from '#registry/graphs/typed_tensor';

// Tensors as the Open Inference Protocol writes them in JSON: answers and the prediction log.

/** The protocol's names of types. BF16 has none here: onnxruntime does not compute with it on a CPU. */
export const DATATYPES = {
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  bool: 'BOOL',
  string: 'BYTES',
} as const satisfies Record<TensorType, string>;

/**
 * Returns the data of a tensor as JSON text. NaN and infinities are strings, as in requests; integers of 64 bits have all their digits; −0 is 0, as JSON in
 * JavaScript has it.
 */
export function jsonOf({ type, data }: TypedTensor): string {
  if (type === 'string') return JSON.stringify(data);
  if (type === 'bool') return `[${Array.from(data as Uint8Array, (value) => value !== 0).join(',')}]`;
  if (type === 'float16') return numbersJson(Array.from(data as Uint16Array, halfValue));
  if (type === 'float32' || type === 'float64') return numbersJson(data as Float32Array | Float64Array);
  return `[${(data as Int32Array).join(',')}]`;
}

function numbersJson(values: ArrayLike<number>): string {
  let text = '[';
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] as number;
    if (index > 0) text += ',';
    text += Number.isFinite(value) ? value : `"${value}"`;
  }
  return `${text}]`;
}
