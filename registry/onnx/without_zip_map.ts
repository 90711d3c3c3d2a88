import { Reader, Writer } from 'protobufjs';
import { ModelProto, ONNX_FLOAT } from './onnx_proto.ts';

// Field numbers of onnx.proto.
const GRAPH = 7;
const NODE = 1;
const OUTPUT = 12;
const OP_TYPE = 4;
const NODE_INPUT = 1;
const NODE_OUTPUT = 2;
const DELIMITED = 2;

export interface ZipMap {
  /** What it turns into maps: a matrix [rows, classes]. */
  readonly input: string;
  readonly output: string;
  readonly classes: readonly string[];
}

interface WireGraph {
  readonly graph?: {
    readonly node?: readonly {
      readonly opType?: string;
      readonly input?: readonly string[];
      readonly output?: readonly string[];
      readonly attribute?: readonly {
        readonly name?: string;
        readonly ints?: readonly number[];
        readonly strings?: readonly Uint8Array[];
      }[];
    }[];
  };
}

/**
 * Classifiers of skl2onnx end in a node ZipMap, which makes a list of maps out of the matrix of probabilities. onnxruntime's binding for Node cannot read
 * such lists: the matrix itself becomes the output, under the output's own name, in a copy of the file in which everything else stays as it was.
 *
 * @returns the file itself when there is no such node
 */
export function withoutZipMap(onnx: Uint8Array): { readonly onnx: Uint8Array; readonly zipMaps: readonly ZipMap[] } {
  const zipMaps = findZipMaps(onnx);
  if (zipMaps.length === 0) return { onnx, zipMaps };
  const copied = copyFields(onnx, (field, bytes) => (field === GRAPH ? copyGraph(bytes, zipMaps) : bytes));
  return { onnx: copied, zipMaps };
}

function findZipMaps(onnx: Uint8Array): readonly ZipMap[] {
  const { graph } = ModelProto.toObject(ModelProto.decode(onnx), { longs: Number }) as WireGraph;
  return (graph?.node ?? []).flatMap(({ opType, input: inputs = [], output: outputs = [], attribute = [] }) => {
    const [input] = inputs;
    const [output] = outputs;
    if (opType !== 'ZipMap' || input === undefined || output === undefined) return [];
    const named = attribute.filter(({ name }) => name?.startsWith('classlabels') === true);
    const strings = named.find(({ strings: list = [] }) => list.length > 0)?.strings;
    const labels = strings?.map((label) => Buffer.from(label).toString('utf8'));
    return [
      { input, output, classes: labels ?? named.find(({ ints = [] }) => ints.length > 0)?.ints?.map(String) ?? [] },
    ];
  });
}

function copyGraph(graph: Uint8Array, zipMaps: readonly ZipMap[]): Uint8Array {
  const byOutput = new Map(zipMaps.map((zipMap) => [zipMap.output, zipMap]));
  const renamed = new Map(zipMaps.map(({ input, output }) => [input, output]));
  return copyFields(graph, (field, bytes) => {
    if (field === NODE) return textOf(bytes, OP_TYPE) === 'ZipMap' ? undefined : withNames(bytes, renamed);
    const ofZipMap = field === OUTPUT ? byOutput.get(textOf(bytes, 1) ?? '') : undefined;
    return ofZipMap === undefined ? bytes : matrixInfo(ofZipMap.output);
  });
}

/** A node whose inputs and outputs have other names. */
function withNames(node: Uint8Array, renamed: ReadonlyMap<string, string>): Uint8Array {
  let isChanged = false;
  const copied = copyFields(node, (field, bytes) => {
    if (field !== NODE_INPUT && field !== NODE_OUTPUT) return bytes;
    const name = renamed.get(Buffer.from(bytes).toString('utf8'));
    if (name === undefined) return bytes;
    isChanged = true;
    return Buffer.from(name);
  });
  return isChanged ? copied : node;
}

/** ValueInfoProto of an FP32 tensor [any, any]. */
function matrixInfo(name: string): Uint8Array {
  const shape = new Writer();
  for (let dimension = 0; dimension < 2; dimension += 1) shape.uint32(tag(1)).bytes(new Uint8Array(0));
  const tensor = new Writer()
    .uint32(1 << 3)
    .int32(ONNX_FLOAT)
    .uint32(tag(2))
    .bytes(shape.finish())
    .finish();
  const type = new Writer().uint32(tag(1)).bytes(tensor).finish();
  return new Writer().uint32(tag(1)).string(name).uint32(tag(2)).bytes(type).finish();
}

const tag = (field: number): number => (field << 3) | DELIMITED;

/** A message with its delimited fields replaced, or left out for undefined; others as they are. */
function copyFields(
  message: Uint8Array,
  replace: (field: number, bytes: Uint8Array) => Uint8Array | undefined,
): Uint8Array {
  const reader = Reader.create(message);
  const parts: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const from = reader.pos;
    const key = reader.uint32();
    if ((key & 7) !== DELIMITED) {
      reader.skipType(key & 7);
      parts.push(message.subarray(from, reader.pos));
      continue;
    }
    const bytes = reader.bytes();
    const replaced = replace(key >>> 3, bytes);
    if (replaced === bytes) parts.push(message.subarray(from, reader.pos));
    else if (replaced !== undefined) parts.push(new Writer().uint32(key).bytes(replaced).finish());
  }
  return Buffer.concat(parts);
}

function textOf(message: Uint8Array, wanted: number): string | undefined {
  const reader = Reader.create(message);
  while (reader.pos < reader.len) {
    const key = reader.uint32();
    if (key >>> 3 === wanted && (key & 7) === DELIMITED) return reader.string();
    reader.skipType(key & 7);
  }
  return undefined;
}
