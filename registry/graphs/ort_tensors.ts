import type { Tensor } from 'onnxruntime-node';
import { type NamedTensors, TENSOR_TYPES, type TensorData, type TensorType, type TypedTensor } from './typed_tensor.ts';

type HalfArray = new (buffer: ArrayBufferLike, offset: number, length: number) => Tensor.DataType;
/** onnxruntime takes FP16 in it where Node has it (from version 24), otherwise as bits. */
const { Float16Array } = globalThis as { readonly Float16Array?: HalfArray };

const KNOWN = new Set<string>(TENSOR_TYPES);

/** The class `Tensor` of a build of onnxruntime: onnxruntime-node, onnxruntime-web. */
export type TensorClass = new (type: 'float32', data: Float32Array, dims: readonly number[]) => Tensor;

/** Returns the tensors as onnxruntime takes them; values are not copied. */
export function toOrt(tensors: NamedTensors, tensorClass: TensorClass): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const name in tensors) {
    const { type, data, dims } = tensors[name] as TypedTensor;
    feeds[name] = new tensorClass(type as 'float32', ortData(type, data) as Float32Array, dims);
  }
  return feeds;
}

function ortData(type: TensorType, data: TensorData): unknown {
  if (type !== 'float16' || Float16Array === undefined) return data;
  const { buffer, byteOffset, length } = data as Uint16Array;
  return new Float16Array(buffer, byteOffset, length);
}

/** Returns what onnxruntime has given; an output of another type than those of {@link TENSOR_TYPES} is left out. */
export function fromOrt(results: Readonly<Record<string, unknown>>): NamedTensors {
  const tensors: Record<string, TypedTensor> = {};
  for (const name in results) {
    const { type, data, dims } = results[name] as Tensor;
    if (!KNOWN.has(type)) continue;
    tensors[name] = { type: type as TensorType, dims, data: ownData(type, data) };
  }
  return tensors;
}

function ownData(type: string, data: Tensor.DataType): TensorData {
  if (type !== 'float16' || data instanceof Uint16Array) return data as TensorData;
  const { buffer, byteOffset, length } = data as unknown as Uint16Array;
  return new Uint16Array(buffer, byteOffset, length);
}
