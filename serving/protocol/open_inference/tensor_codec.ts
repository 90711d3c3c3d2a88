import { isUtf8 } from 'node:buffer';
import { endianness } from 'node:os';
import { halfBits, halfValue } from '#registry/graphs/half_float';
import {
  arrayOf,
  bytesPerValue,
  INTEGER_RANGES,
  LARGEST_FLOAT,
  type NumericArray,
  sizeOf,
  type TensorData,
  type TensorType,
  type TypedTensor,
} from '#registry/graphs/typed_tensor';
import { InvalidRequestError } from '../../errors.ts';
import { DATATYPES } from '../../models/tensor_json.ts';

// Tensors as the Open Inference Protocol writes them: in JSON, and as bytes, little-endian and row-major.

const TYPES: ReadonlyMap<string, TensorType> = new Map(
  Object.entries(DATATYPES).map(([type, datatype]) => [datatype, type as TensorType]),
);

/** A tensor and where it is in a request, for messages. */
export interface TensorHead {
  readonly name: string;
  readonly type: TensorType;
  readonly dims: readonly number[];
}

/** @throws {@link InvalidRequestError} for what is no datatype that is supported */
export function typeOf(name: string, datatype: unknown): TensorType {
  const type = typeof datatype === 'string' ? TYPES.get(datatype) : undefined;
  if (type !== undefined) return type;
  throw new InvalidRequestError(
    `input ${name} has the datatype ${JSON.stringify(datatype)?.slice(0, 60)}; supported: ${[...TYPES.keys()].join(', ')}`,
  );
}

/** The strings that JSON has for numbers it cannot write, as Protocol Buffers map them. */
const NOT_FINITE = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/**
 * Reads the data of a tensor in JSON: flat, or nested as its shape says.
 *
 * @throws {@link InvalidRequestError} naming the first value that the datatype does not hold exactly
 */
export function tensorFromJson(head: TensorHead, data: unknown): TypedTensor {
  if (!Array.isArray(data)) throw new InvalidRequestError(`data of input ${head.name} must be a list`);
  const flat = isFlat(data) ? data : (data.flat(Number.POSITIVE_INFINITY) as unknown[]);
  const { name, dims, type } = head;
  const size = sizeOf(dims);
  if (flat.length !== size) {
    throw new InvalidRequestError(`input ${name} has ${flat.length} values; its shape [${dims}] requires ${size}`);
  }
  if (!isFlat(data)) checkNesting(head, data, 0);
  return { type, dims, data: valuesFromJson(head, flat) };
}

const isFlat = (data: readonly unknown[]): boolean => !data.some((value) => Array.isArray(value));

/** @throws {@link InvalidRequestError} for lists that are not nested as the shape says */
function checkNesting({ name, dims }: TensorHead, data: readonly unknown[], depth: number): void {
  const wrong = (): never => {
    throw new InvalidRequestError(`data of input ${name} is not nested as its shape [${dims}] says`);
  };
  if (data.length !== dims[depth]) wrong();
  if (depth === dims.length - 1) {
    if (!isFlat(data)) wrong();
    return;
  }
  for (const inner of data) {
    if (!Array.isArray(inner)) wrong();
    checkNesting({ name, dims, type: 'float32' }, inner as unknown[], depth + 1);
  }
}

/** Returns values for a tensor of this type. @throws {@link InvalidRequestError} naming the first that it does not hold */
export function valuesFromJson(
  { name, type }: Pick<TensorHead, 'name' | 'type'>,
  flat: readonly unknown[],
): TensorData {
  const refuse = (index: number, rule: string): never => {
    const shown = String(JSON.stringify(flat[index])).slice(0, 60);
    throw new InvalidRequestError(`value ${index} of input ${name} is ${shown}: ${DATATYPES[type]} takes ${rule}`);
  };
  if (type === 'string') {
    const wrong = flat.findIndex((value) => typeof value !== 'string');
    return wrong === -1 ? (flat as string[]) : refuse(wrong, 'strings');
  }
  if (type === 'bool') {
    const wrong = flat.findIndex((value) => typeof value !== 'boolean');
    return wrong === -1 ? Uint8Array.from(flat as number[]) : refuse(wrong, 'true and false');
  }
  if (type === 'float16' || type === 'float32' || type === 'float64') {
    const largest = LARGEST_FLOAT[type];
    const numbers = new Float64Array(flat.length);
    for (let index = 0; index < flat.length; index += 1) {
      const value = flat[index];
      const number = typeof value === 'number' ? value : NOT_FINITE.get(value as string);
      if (number === undefined) refuse(index, 'numbers, "NaN", "Infinity" and "-Infinity"');
      else if (typeof value === 'number' && !holds(type, value)) refuse(index, `numbers within ±${largest}`);
      else numbers[index] = number;
    }
    if (type === 'float64') return numbers;
    return type === 'float32' ? Float32Array.from(numbers) : Uint16Array.from(numbers, halfBits);
  }
  const [least, most] = INTEGER_RANGES[type] as readonly [bigint, bigint];
  const isBig = type === 'int64' || type === 'uint64';
  const integers = new (arrayOf(type) as new (size: number) => NumericArray)(flat.length);
  for (let index = 0; index < flat.length; index += 1) {
    const integer = integerOf(flat[index]);
    if (integer === undefined || integer < least || integer > most) {
      refuse(index, `integers from ${least} to ${most}${isBig ? ', beyond 2^53 as strings' : ''}`);
    } else integers[index] = (isBig ? integer : Number(integer)) as never;
  }
  return integers;
}

function holds(type: 'float16' | 'float32' | 'float64', value: number): boolean {
  if (type === 'float64') return true;
  return type === 'float32' ? Number.isFinite(Math.fround(value)) : (halfBits(value) & 0x7c00) !== 0x7c00;
}

const INTEGER = /^-?\d{1,20}$/;

function integerOf(value: unknown): bigint | undefined {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  return typeof value === 'string' && INTEGER.test(value) ? BigInt(value) : undefined;
}

const LENGTH_BYTES = 4;

/**
 * Reads the data of a tensor as bytes.
 *
 * @param bytes - of this tensor alone
 * @throws {@link InvalidRequestError} when there are more or fewer than its shape has
 */
export function tensorFromBytes({ name, type, dims }: TensorHead, bytes: Buffer): TypedTensor {
  if (type === 'string') return { type, dims, data: stringsFromBytes(name, dims, bytes) };
  const each = bytesPerValue(type) as number;
  const wanted = sizeOf(dims) * each;
  if (bytes.length !== wanted) {
    throw new InvalidRequestError(
      `input ${name} has ${bytes.length} bytes; ${DATATYPES[type]} of the shape [${dims}] has ${wanted}`,
    );
  }
  // A copy, aligned: views need it.
  const copy = new Uint8Array(bytes).buffer;
  if (endianness() === 'BE' && each > 1) swap(Buffer.from(copy), each);
  if (type === 'bool') {
    const wrong = bytes.findIndex((byte) => byte > 1);
    if (wrong !== -1)
      throw new InvalidRequestError(`value ${wrong} of input ${name} is ${bytes[wrong]}: BOOL is 0 or 1`);
  }
  return { type, dims, data: new (arrayOf(type) as new (buffer: ArrayBuffer) => NumericArray)(copy) };
}

function stringsFromBytes(name: string, dims: readonly number[], bytes: Buffer): readonly string[] {
  const strings: string[] = [];
  const size = sizeOf(dims);
  let at = 0;
  while (at < bytes.length) {
    if (at + LENGTH_BYTES > bytes.length || strings.length === size) break;
    const length = bytes.readUInt32LE(at);
    const to = at + LENGTH_BYTES + length;
    if (to > bytes.length) break;
    strings.push(textOf(name, bytes.subarray(at + LENGTH_BYTES, to)));
    at = to;
  }
  if (at === bytes.length && strings.length === size) return strings;
  throw new InvalidRequestError(
    `input ${name} must be ${size} strings, each after its length in 4 bytes: ${strings.length} were read, and ${bytes.length - at} bytes are left`,
  );
}

/** @throws {@link InvalidRequestError} for bytes that are no text: strings of a graph are */
export function textOf(name: string, bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new InvalidRequestError(`a value of input ${name} is not UTF-8: strings of ONNX are text`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function swap(bytes: Buffer, each: number): void {
  if (each === 2) bytes.swap16();
  else if (each === 4) bytes.swap32();
  else bytes.swap64();
}

/** Returns the bytes of a tensor. */
export function bytesOf({ type, data }: TypedTensor): Buffer {
  if (type === 'string') {
    return Buffer.concat(
      (data as readonly string[]).flatMap((text) => {
        const bytes = Buffer.from(text);
        const length = Buffer.alloc(LENGTH_BYTES);
        length.writeUInt32LE(bytes.length);
        return [length, bytes];
      }),
    );
  }
  const { buffer, byteOffset, byteLength } = data as NumericArray;
  const bytes = Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
  const each = bytesPerValue(type) as number;
  if (endianness() === 'LE' || each === 1) return bytes;
  const swapped = Buffer.from(bytes);
  swap(swapped, each);
  return swapped;
}

/** Returns values as JavaScript has them in answers that are objects: integers beyond 2^53 as strings. */
export function plainValues({ type, data }: TypedTensor): readonly unknown[] {
  if (type === 'string') return data as readonly string[];
  if (type === 'bool') return Array.from(data as Uint8Array, (value) => value !== 0);
  if (type === 'float16') return Array.from(data as Uint16Array, halfValue).map(finiteOrText);
  if (type === 'float32' || type === 'float64') return Array.from(data as Float64Array, finiteOrText);
  return Array.from(data as ArrayLike<number | bigint>, (value) => {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  });
}

const finiteOrText = (value: number): number | string => (Number.isFinite(value) ? value : String(value));

/** Returns values nested as the shape says; a tensor without dimensions is its value. */
export function nestedValues(tensor: TypedTensor): unknown {
  let nested: readonly unknown[] = plainValues(tensor);
  const { dims } = tensor;
  if (dims.length === 0) return nested[0];
  for (let depth = dims.length - 1; depth > 0; depth -= 1) {
    const size = dims[depth] as number;
    const values = nested;
    const count = sizeOf(dims.slice(0, depth));
    nested = Array.from({ length: count }, (_, at) => values.slice(at * size, (at + 1) * size));
  }
  return nested;
}
