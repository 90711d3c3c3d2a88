import { Tensor } from 'onnxruntime-node';
import type { ModelSignature, OnnxInput } from '#registry/model_package';
import type { SignatureEncoder } from '#registry/signature_encoder';

/**
 * The tensors that a graph takes: one of FP32, or several, of what they are made of, that share the columns.
 *
 * @param input - FP32 [rows, columns], row-major
 */
export function feedsOf(
  { onnx }: ModelSignature,
  encoder: SignatureEncoder,
  input: Float32Array,
  rows: number,
): Record<string, Tensor> {
  if (onnx.inputs === undefined) return { [onnx.input]: new Tensor('float32', input, [rows, encoder.width]) };
  const feeds: Record<string, Tensor> = {};
  let from = 0;
  for (const wanted of onnx.inputs) {
    const values = columnsOf(input, { rows, width: encoder.width, from, columns: wanted.columns });
    feeds[wanted.name] = tensorOf(wanted, values, rows, encoder);
    from += wanted.columns;
  }
  return feeds;
}

function columnsOf(
  input: Float32Array,
  { rows, width, from, columns }: Readonly<Record<'rows' | 'width' | 'from' | 'columns', number>>,
): Float32Array {
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row += 1) {
    values.set(input.subarray(row * width + from, row * width + from + columns), row * columns);
  }
  return values;
}

function tensorOf(
  { element, columns }: OnnxInput,
  values: Float32Array,
  rows: number,
  { texts }: SignatureEncoder,
): Tensor {
  const dims = [rows, columns];
  switch (element) {
    case 'float32':
      return new Tensor(element, values, dims);
    case 'float64':
      return new Tensor(element, Float64Array.from(values), dims);
    case 'int32':
      return new Tensor(element, Int32Array.from(values), dims);
    case 'int64':
      return new Tensor(element, BigInt64Array.from(values as unknown as number[], BigInt), dims);
    case 'bool':
      return new Tensor(element, Uint8Array.from(values), dims);
    case 'string':
      return new Tensor(
        element,
        Array.from(values, (value) => texts?.textOf(value) ?? ''),
        dims,
      );
  }
}
