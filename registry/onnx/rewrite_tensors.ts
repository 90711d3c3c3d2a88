import { Reader, Writer } from 'protobufjs';
import { PlatformError } from '#kernel/errors';
import { InvalidModelError } from '../errors.ts';

// Field numbers of onnx.proto, by message: which fields hold messages that tensors may be in.

type Message = 'Model' | 'Training' | 'Function' | 'Graph' | 'Node' | 'Attribute' | 'SparseTensor' | 'Tensor';

const FIELDS: Readonly<Record<Message, Readonly<Record<number, Message>>>> = {
  Model: { 7: 'Graph', 20: 'Training', 25: 'Function' },
  Training: { 1: 'Graph', 2: 'Graph' },
  Function: { 7: 'Node', 11: 'Attribute' },
  Graph: { 1: 'Node', 5: 'Tensor', 15: 'SparseTensor' },
  Node: { 5: 'Attribute' },
  Attribute: { 5: 'Tensor', 6: 'Graph', 10: 'Tensor', 11: 'Graph', 22: 'SparseTensor', 23: 'SparseTensor' },
  SparseTensor: { 1: 'Tensor', 2: 'Tensor' },
  Tensor: {},
};

const DELIMITED = 2;
/** Messages within messages; graphs within graphs have four of them each. */
const DEEPEST = 100;

/** A tensor, as its fields are written. */
export interface WireTensor {
  readonly name: string;
  /** Its values lie in another file. */
  readonly isExternal: boolean;
  /** Of `external_data`: location, offset, length. */
  readonly external: Readonly<Record<string, string>>;
}

/**
 * Copies a model with tensors replaced, wherever they are: initializers, attributes of nodes, graphs within graphs, functions, training. Everything
 * else stays byte by byte.
 *
 * @param replace - returns the bytes that a tensor gets, or those that it is given
 * @throws {@link InvalidModelError} when it is no ONNX
 */
export function rewriteTensors(
  onnx: Uint8Array,
  replace: (tensor: WireTensor, bytes: Uint8Array) => Uint8Array,
): Uint8Array {
  // The binary format of onnxruntime itself, which it would recognise, and which nothing here can read.
  if (Buffer.from(onnx.buffer, onnx.byteOffset, onnx.byteLength).subarray(4, 8).toString('latin1') === 'ORTM') {
    throw new InvalidModelError(['it is in ORT format: save it as ONNX']);
  }
  try {
    return rewrite(onnx, 'Model', replace, 0);
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw new InvalidModelError(['it is no ONNX file: its fields cannot be read'], error);
  }
}

function rewrite(
  bytes: Uint8Array,
  message: Message,
  replace: (tensor: WireTensor, bytes: Uint8Array) => Uint8Array,
  depth: number,
): Uint8Array {
  if (depth > DEEPEST) throw new InvalidModelError([`its graphs are nested more than ${DEEPEST} messages deep`]);
  if (message === 'Tensor') return replace(readTensor(bytes), bytes);
  const inner = FIELDS[message];
  const reader = Reader.create(bytes);
  const parts: Uint8Array[] = [];
  let isChanged = false;
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const key = reader.uint32();
    const kind = (key & 7) === DELIMITED ? inner[key >>> 3] : undefined;
    if (kind === undefined) {
      reader.skipType(key & 7);
      parts.push(bytes.subarray(from, reader.pos));
      continue;
    }
    const before = reader.bytes();
    const after = rewrite(before, kind, replace, depth + 1);
    if (after === before) parts.push(bytes.subarray(from, reader.pos));
    else {
      isChanged = true;
      parts.push(new Writer().uint32(key).bytes(after).finish());
    }
  }
  return isChanged ? Buffer.concat(parts) : bytes;
}

const NAME = 8;
const RAW_DATA = 9;
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;

function readTensor(bytes: Uint8Array): WireTensor {
  const reader = Reader.create(bytes);
  let name = '';
  let isExternal = false;
  const external: Record<string, string> = {};
  while (reader.pos < reader.len) {
    const key = reader.uint32();
    const field = key >>> 3;
    if (field === NAME && (key & 7) === DELIMITED) name = reader.string();
    else if (field === DATA_LOCATION && (key & 7) === 0) isExternal = reader.int64().toString() !== '0';
    else if (field === EXTERNAL_DATA && (key & 7) === DELIMITED) {
      const [entry, value] = readPair(reader.bytes());
      external[entry] = value;
    } else reader.skipType(key & 7);
  }
  return { name, isExternal, external };
}

function readPair(bytes: Uint8Array): readonly [string, string] {
  const reader = Reader.create(bytes);
  const pair: [string, string] = ['', ''];
  while (reader.pos < reader.len) {
    const key = reader.uint32();
    const field = key >>> 3;
    if ((field === 1 || field === 2) && (key & 7) === DELIMITED) pair[field - 1] = reader.string();
    else reader.skipType(key & 7);
  }
  return pair;
}

/** Returns the tensor with its values in the file. */
export function withValues(tensor: Uint8Array, values: Uint8Array): Uint8Array {
  const reader = Reader.create(tensor);
  const parts: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const key = reader.uint32();
    reader.skipType(key & 7);
    if ([RAW_DATA, EXTERNAL_DATA, DATA_LOCATION].includes(key >>> 3)) continue;
    parts.push(tensor.subarray(from, reader.pos));
  }
  parts.push(
    new Writer()
      .uint32((RAW_DATA << 3) | DELIMITED)
      .bytes(values)
      .finish(),
  );
  return Buffer.concat(parts);
}
