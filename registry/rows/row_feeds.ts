import { halfBits, halfValue } from '../graphs/half_float.ts';
import type { NamedTensors, TensorData, TypedTensor } from '../graphs/typed_tensor.ts';
import type { ModelSignature, OnnxInput, RowValues } from '../packages/model_package.ts';
import type { SignatureEncoder } from '../packages/signature_encoder.ts';

/**
 * Returns the tensors that a graph takes: one of FP32, or several, of their own types, that share the columns.
 *
 * @param input - [rows, columns], row-major
 */
export function feedsOf(
  { onnx }: ModelSignature,
  encoder: SignatureEncoder,
  input: RowValues,
  rows: number,
): NamedTensors {
  if (onnx.inputs === undefined) {
    return { [onnx.input]: { type: 'float32', data: input, dims: [rows, encoder.width] } };
  }
  const feeds: Record<string, TypedTensor> = {};
  let from = 0;
  for (const wanted of onnx.inputs) {
    const values = columnsOf(input, { rows, width: encoder.width, from, columns: wanted.columns });
    feeds[wanted.name] = tensorOf(wanted, values, rows, encoder);
    from += wanted.columns;
  }
  return feeds;
}

function columnsOf(
  input: RowValues,
  { rows, width, from, columns }: Readonly<Record<'rows' | 'width' | 'from' | 'columns', number>>,
): Float64Array {
  const values = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    values.set(input.subarray(row * width + from, row * width + from + columns), row * columns);
  }
  return values;
}

function tensorOf(
  { element: type, columns, isFlat }: OnnxInput,
  values: Float64Array,
  rows: number,
  { texts }: SignatureEncoder,
): TypedTensor {
  const dims = isFlat === true ? [rows] : [rows, columns];
  return { type, dims, data: dataOf(type, values, texts) };
}

function dataOf(type: TypedTensor['type'], values: Float64Array, texts: SignatureEncoder['texts']): TensorData {
  return type === 'string' ? Array.from(values, (value) => texts?.textOf(value) ?? '') : arrayFrom(type, values);
}

/** Returns numbers in the array of a type, which holds them exactly. */
export function arrayFrom(type: Exclude<TypedTensor['type'], 'string'>, values: Float64Array): TensorData {
  switch (type) {
    case 'float16':
      return Uint16Array.from(values, halfBits);
    case 'float32':
      return Float32Array.from(values);
    case 'float64':
      return values;
    case 'int8':
      return Int8Array.from(values);
    case 'int16':
      return Int16Array.from(values);
    case 'int32':
      return Int32Array.from(values);
    case 'int64':
      return BigInt64Array.from(values as unknown as number[], BigInt);
    case 'uint8':
    case 'bool':
      return Uint8Array.from(values);
    case 'uint16':
      return Uint16Array.from(values);
    case 'uint32':
      return Uint32Array.from(values);
    case 'uint64':
      return BigUint64Array.from(values as unknown as number[], BigInt);
  }
}

/**
 * Returns the rows that tensors under the graph's own names hold: what {@link feedsOf} would make these tensors of.
 *
 * @returns undefined where a value of INT64 is beyond what a row holds exactly
 */
export function rowsOfTensors(
  { onnx }: ModelSignature,
  encoder: SignatureEncoder,
  tensors: NamedTensors,
  rows: number,
): RowValues | undefined {
  const whole = onnx.inputs === undefined ? tensors[onnx.input]?.data : undefined;
  if (whole instanceof Float32Array && !encoder.isWide) return whole;
  const input = encoder.allocate(rows);
  let from = 0;
  for (const { name, columns } of onnx.inputs ?? [{ name: onnx.input, columns: encoder.width }]) {
    const { type, data } = tensors[name] as TypedTensor;
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const value = numberOf(type, data[row * columns + column] as number | bigint | string, encoder);
        if (value === undefined) return undefined;
        input[row * encoder.width + from + column] = value;
      }
    }
    from += columns;
  }
  return input;
}

function numberOf(
  type: TypedTensor['type'],
  value: number | bigint | string,
  { texts }: SignatureEncoder,
): number | undefined {
  if (typeof value === 'string') return texts?.numberOf(value);
  if (typeof value === 'number') return type === 'float16' ? halfValue(value) : value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}
