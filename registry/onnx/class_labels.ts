import { ModelProto } from './onnx_proto.ts';

// Class labels that a graph holds: in attributes of ONNX-ML's classifiers, or in the list that skl2onnx picks the predicted class from.

interface WireAttribute {
  readonly name?: string;
  readonly ints?: readonly number[];
  readonly strings?: readonly Uint8Array[];
}

interface WireNode {
  readonly opType?: string;
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  readonly attribute?: readonly WireAttribute[];
}

interface WireTensor {
  readonly name?: string;
  readonly dataType?: number;
  readonly rawData?: Uint8Array;
  readonly int32Data?: readonly number[];
  readonly int64Data?: readonly number[];
  readonly stringData?: readonly Uint8Array[];
}

export interface GraphClasses {
  /** Outputs of the graph that come out of a classifier's first output: the predicted class. */
  readonly labels: ReadonlySet<string>;
  /** Labels in the order of the scores, by the name of an output that they are known for. */
  readonly classesOf: ReadonlyMap<string, readonly string[]>;
}

const CLASSIFIERS = new Set(['TreeEnsembleClassifier', 'LinearClassifier', 'SVMClassifier']);
/** Nodes that give what they take, in another type or shape. */
const PASSING = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Flatten', 'Normalizer', 'Unsqueeze']);
const INT32 = 6;
const INT64 = 7;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

/** Returns what a graph itself says about classes. Nothing is concluded from the number of values. */
export function graphClasses(onnx: Uint8Array): GraphClasses {
  const { graph } = ModelProto.toObject(ModelProto.decode(onnx), { longs: Number }) as {
    readonly graph?: {
      readonly node?: readonly WireNode[];
      readonly initializer?: readonly WireTensor[];
      readonly output?: readonly { readonly name?: string }[];
    };
  };
  const { node: nodes = [], initializer = [], output = [] } = graph ?? {};
  const producers = new Map<string, { readonly node: WireNode; readonly at: number }>();
  for (const node of nodes) for (const [at, name] of (node.output ?? []).entries()) producers.set(name, { node, at });
  const initializers = new Map(initializer.map((tensor) => [tensor.name ?? '', tensor]));
  const labels = new Set<string>();
  const found: (readonly string[])[] = [];
  const scores = new Set<string>();
  for (const { name = '' } of output) {
    const source = sourceOf(name, producers);
    const isClassifier = CLASSIFIERS.has(source?.node.opType ?? '');
    const picked = source === undefined ? undefined : pickedFrom(source.node, initializers);
    const classes = isClassifier ? attributeClasses(source?.node as WireNode) : picked;
    if (classes !== undefined) found.push(classes);
    if (picked !== undefined || (isClassifier && source?.at === 0)) labels.add(name);
    else scores.add(name);
  }
  // Of a classifier whose scores are computed further, all the same.
  for (const node of nodes) {
    const classes = CLASSIFIERS.has(node.opType ?? '') ? attributeClasses(node) : undefined;
    if (classes !== undefined && found.length === 0) found.push(classes);
  }
  const distinct = new Set(found.map((classes) => JSON.stringify(classes)));
  const [only] = found;
  const classesOf = new Map<string, readonly string[]>();
  if (distinct.size === 1 && only !== undefined) for (const name of [...scores, ...labels]) classesOf.set(name, only);
  return { labels, classesOf };
}

function sourceOf(
  name: string,
  producers: ReadonlyMap<string, { readonly node: WireNode; readonly at: number }>,
): { readonly node: WireNode; readonly at: number } | undefined {
  let source = producers.get(name);
  for (let steps = 0; source !== undefined && PASSING.has(source.node.opType ?? '') && steps < 16; steps += 1) {
    const before = producers.get(source.node.input?.[0] ?? '');
    if (before === undefined) return source;
    source = before;
  }
  return source;
}

function attributeClasses({ attribute = [] }: WireNode): readonly string[] | undefined {
  const named = attribute.filter(({ name }) => name?.startsWith('classlabels') === true);
  const strings = named.find(({ strings: list = [] }) => list.length > 0)?.strings?.map(text);
  return strings ?? named.find(({ ints = [] }) => ints.length > 0)?.ints?.map(String);
}

/** Of an ArrayFeatureExtractor that picks one out of a list in the file. */
function pickedFrom(
  { opType, input = [] }: WireNode,
  initializers: ReadonlyMap<string, WireTensor>,
): readonly string[] | undefined {
  if (opType !== 'ArrayFeatureExtractor') return undefined;
  const list = initializers.get(input[0] ?? '');
  if (list === undefined) return undefined;
  if (list.stringData !== undefined && list.stringData.length > 0) return list.stringData.map(text);
  const { rawData, dataType } = list;
  if (list.int64Data !== undefined && list.int64Data.length > 0) return list.int64Data.map(String);
  if (list.int32Data !== undefined && list.int32Data.length > 0) return list.int32Data.map(String);
  if (rawData === undefined || (dataType !== INT64 && dataType !== INT32)) return undefined;
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength);
  const size = dataType === INT64 ? 8 : 4;
  return Array.from({ length: rawData.byteLength / size }, (_, at) =>
    String(size === 8 ? view.getBigInt64(at * 8, true) : view.getInt32(at * 4, true)),
  );
}
