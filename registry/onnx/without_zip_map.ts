import { Reader, Writer } from 'protobufjs';
import { ModelProto, ONNX_FLOAT } from './onnx_proto.ts';

// Field numbers of onnx.proto.
const GRAPH = 7;
const NODE = 1;
const OUTPUT = 12;
const OP_TYPE = 4;
const DELIMITED = 2;

interface ZipMap {
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
 * such lists: the matrix itself is made the output, in a copy of the file in which everything else stays byte by byte as it was.
 *
 * @returns the file itself, and no classes, when there is no such node
 */
export function withoutZipMap(onnx: Uint8Array): { readonly onnx: Uint8Array; readonly zipMap?: ZipMap } {
  const zipMap = findZipMap(onnx);
  if (zipMap === undefined) return { onnx };
  const copied = copyFields(onnx, (field, bytes) => (field === GRAPH ? copyGraph(bytes, zipMap) : bytes));
  return { onnx: copied, zipMap };
}

function findZipMap(onnx: Uint8Array): ZipMap | undefined {
  const { graph } = ModelProto.toObject(ModelProto.decode(onnx), { longs: Number }) as WireGraph;
  const node = graph?.node?.find(({ opType }) => opType === 'ZipMap');
  const [input] = node?.input ?? [];
  const [output] = node?.output ?? [];
  if (node === undefined || input === undefined || output === undefined) return undefined;
  const labels = node.attribute?.find(({ name }) => name?.startsWith('classlabels') === true);
  const classes = labels?.strings?.map((label) => Buffer.from(label).toString('utf8')) ?? labels?.ints?.map(String);
  return { input, output, classes: classes ?? [] };
}

function copyGraph(graph: Uint8Array, { input, output }: ZipMap): Uint8Array {
  return copyFields(graph, (field, bytes) => {
    if (field === NODE && textOf(bytes, OP_TYPE) === 'ZipMap') return undefined;
    if (field === OUTPUT && textOf(bytes, 1) === output) return matrixInfo(input);
    return bytes;
  });
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
