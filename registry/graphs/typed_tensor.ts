/** What a tensor is made of: every type of ONNX that onnxruntime computes with on a CPU, without those of eight bits and fewer for weights. */
export const TENSOR_TYPES = [
  ...(['float16', 'float32', 'float64', 'int8', 'int16', 'int32', 'int64'] as const),
  ...(['uint8', 'uint16', 'uint32', 'uint64', 'bool', 'string'] as const),
];
export type TensorType = (typeof TENSOR_TYPES)[number];

/** Values of a tensor, row-major. FP16 is kept as its bits, in a Uint16Array; booleans are 0 and 1. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | readonly string[];

/** A tensor with its type and shape: the one form in which models take and give values. */
export interface TypedTensor {
  readonly type: TensorType;
  readonly dims: readonly number[];
  readonly data: TensorData;
}

export type NamedTensors = Readonly<Record<string, TypedTensor>>;

/** An input or output of a graph. A dimension is a number, a name that several share, or undefined where it may be any. */
export interface TensorSpec {
  readonly name: string;
  readonly type: TensorType;
  readonly dims: readonly (number | string | undefined)[];
  /** Whether the file leaves open how many dimensions it has; `dims` is empty then. */
  readonly isAnyRank?: boolean;
}

/** A graph from the outside, under its own names. */
export interface GraphSpec {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Outputs that are no tensors (maps, sequences), which cannot be read here. */
  readonly unreadable: readonly string[];
}

const ARRAYS = {
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

export type NumericArray = Exclude<TensorData, readonly string[]>;

/** Returns the array that holds values of a type. */
export const arrayOf = (type: Exclude<TensorType, 'string'>): (typeof ARRAYS)[typeof type] => ARRAYS[type];

/** Bytes of a value; undefined for strings, which have any number. */
export const bytesPerValue = (type: TensorType): number | undefined =>
  type === 'string' ? undefined : ARRAYS[type].BYTES_PER_ELEMENT;

export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, part) => product * part, 1);

/** Returns a tensor of zeros, or of empty strings. */
export function zeros(type: TensorType, dims: readonly number[]): TypedTensor {
  const size = sizeOf(dims);
  return { type, dims, data: type === 'string' ? new Array<string>(size).fill('') : new ARRAYS[type](size) };
}

/** Lowest and highest integer of a type, both as numbers; undefined for types that are no integers. */
export const INTEGER_RANGES: Readonly<Partial<Record<TensorType, readonly [bigint, bigint]>>> = {
  int8: [-(2n ** 7n), 2n ** 7n - 1n],
  int16: [-(2n ** 15n), 2n ** 15n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0n, 2n ** 8n - 1n],
  uint16: [0n, 2n ** 16n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** The largest finite value of a type of floats. */
export const LARGEST_FLOAT = { float16: 65_504, float32: 3.4028234663852886e38, float64: Number.MAX_VALUE } as const;
