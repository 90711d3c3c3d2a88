import { ModelProto } from './onnx_proto.ts';

/**
 * A sum of decision trees, as one TreeEnsembleClassifier or TreeEnsembleRegressor has it (ONNX-ML, opsets 1 and 3). Nodes are numbered over all trees. A row
 * goes to `whenLess` when its feature is below the threshold, otherwise to `whenNot`; what is missing (NaN) goes where `missingIsLess` says. A leaf adds to
 * one output: a tree whose leaves add to several is as many trees here.
 */
export interface TreeEnsemble {
  readonly roots: Int32Array;
  /** Column of a split; -1 for a leaf. */
  readonly features: Int32Array;
  readonly thresholds: Float32Array;
  readonly whenLess: Int32Array;
  readonly whenNot: Int32Array;
  readonly missingIsLess: Uint8Array;
  /** 1 for a split of categories: a row goes to `whenLess` when its feature equals the threshold. Undefined when there is none. */
  readonly isEqual: Uint8Array | undefined;
  /** Of a leaf: what it adds to its output. */
  readonly weights: Float32Array;
  /** Of a leaf: the output that it adds to. */
  readonly targets: Int32Array;
  /** Training rows, or their weight, that came through a node: as many as through the two below it. Undefined when the file has no such numbers. */
  readonly covers: Float32Array | undefined;
  /** One sum for each output. */
  readonly outputs: number;
  readonly base: Float32Array;
  readonly transform: 'none' | 'logistic' | 'softmax';
  /** One sum gives the probabilities of two classes. */
  readonly isBinary: boolean;
  readonly input: string;
  /** Where a caller finds what is computed: probabilities or values. */
  readonly output: string;
  /** Whether the graph has no other node. */
  readonly isWhole: boolean;
}

interface WireAttribute {
  readonly name: string;
  readonly s?: Uint8Array;
  readonly i?: number;
  readonly floats?: readonly number[];
  readonly ints?: readonly number[];
  readonly strings?: readonly Uint8Array[];
}

interface WireTensor {
  readonly name: string;
  readonly floatData?: readonly number[];
  readonly rawData?: Uint8Array;
}

interface WireGraph {
  readonly node: readonly WireNode[];
  readonly output?: readonly { readonly name: string }[];
  readonly initializer?: readonly WireTensor[];
}

interface WireNode {
  readonly opType: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute?: readonly WireAttribute[];
}

const TRANSFORMS: Readonly<Record<string, TreeEnsemble['transform']>> = {
  NONE: 'none',
  LOGISTIC: 'logistic',
  SOFTMAX: 'softmax',
};

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bits = new DataView(new ArrayBuffer(4));

/** Returns the smallest FP32 number above `value`; infinity for infinity. */
export function nextAbove(value: number): number {
  if (value === Number.POSITIVE_INFINITY) return value;
  if (value === 0) return 2 ** -149;
  bits.setFloat32(0, value);
  bits.setInt32(0, bits.getInt32(0) + (value > 0 ? 1 : -1));
  return bits.getFloat32(0);
}

/** Numbers of float32 sums of rows may differ by so much of their size. */
const COVER_TOLERANCE = 1e-3;
/** Nodes of an ensemble whose leaves add to several outputs, once a tree is made for each. */
const MOST_NODES = 8_000_000;
/** Nodes that give the numbers that they take. */
const PASSING = new Set(['Identity', 'Cast']);

/** @returns undefined when the graph is something else, or has what is not known here, such as sums that are not added up */
export function readTreeEnsemble(onnx: Uint8Array): TreeEnsemble | undefined {
  const wire = ModelProto.toObject(ModelProto.decode(onnx), { longs: Number, arrays: true }) as {
    readonly graph?: WireGraph;
  };
  const graph = wire.graph ?? { node: [] };
  const nodes = graph.node ?? [];
  const [node, ...others] = nodes.filter(({ opType }) => opType.startsWith('TreeEnsemble'));
  if (node === undefined || others.length > 0) return undefined;
  const isClassifier = node.opType === 'TreeEnsembleClassifier';
  if (!isClassifier && node.opType !== 'TreeEnsembleRegressor') return undefined;
  const input = node.input[0] as string;
  // What is computed before the trees is no split of theirs.
  if (nodes.some(({ output }) => output.includes(input))) return undefined;
  const output = passedOn(node.output[isClassifier ? 1 : 0] as string, graph);
  if (output === undefined) return undefined;
  const attributes = new Map((node.attribute ?? []).map((attribute) => [attribute.name, attribute]));
  const ints = (name: string): readonly number[] => attributes.get(name)?.ints ?? [];
  const floats = (name: string): readonly number[] => attributes.get(name)?.floats ?? [];
  const transform = TRANSFORMS[text(attributes.get('post_transform')?.s ?? Buffer.from('NONE'))];
  const aggregate = text(attributes.get('aggregate_function')?.s ?? Buffer.from('SUM'));
  if (transform === undefined || aggregate !== 'SUM') return undefined;

  const [treeIds, nodeIds] = [ints('nodes_treeids'), ints('nodes_nodeids')];
  const indexOf = new Map(nodeIds.map((id, index) => [`${treeIds[index]} ${id}`, index]));
  const modes = (attributes.get('nodes_modes')?.strings ?? []).map(text);
  const tracksTrue = ints('nodes_missing_value_tracks_true');
  const hits = floats('nodes_hitrates');
  const [trueIds, falseIds] = [ints('nodes_truenodeids'), ints('nodes_falsenodeids')];
  const [featureIds, values] = [ints('nodes_featureids'), floats('nodes_values')];
  const size = nodeIds.length;
  const ensemble = {
    features: new Int32Array(size).fill(-1),
    thresholds: new Float32Array(size),
    whenLess: new Int32Array(size),
    whenNot: new Int32Array(size),
    missingIsLess: new Uint8Array(size),
    isEqual: modes.some(isEquality) ? new Uint8Array(size) : undefined,
  };
  const roots = new Map<number, number>();
  for (let index = 0; index < size; index += 1) {
    const tree = treeIds[index] as number;
    if (!roots.has(tree)) roots.set(tree, index);
    const mode = modes[index];
    if (mode === 'LEAF') continue;
    const whenTrue = indexOf.get(`${tree} ${trueIds[index]}`);
    const whenFalse = indexOf.get(`${tree} ${falseIds[index]}`);
    if (whenTrue === undefined || whenFalse === undefined) return undefined;
    const value = Math.fround(values[index] as number);
    // All splits as "less than" or "equals": `x <= v` is `x < the number after v`, and the others are these the other way round.
    const isTurned = mode === 'BRANCH_GT' || mode === 'BRANCH_GTE' || mode === 'BRANCH_NEQ';
    if (mode === 'BRANCH_LT' || mode === 'BRANCH_GTE') ensemble.thresholds[index] = value;
    else if (mode === 'BRANCH_LEQ' || mode === 'BRANCH_GT') ensemble.thresholds[index] = nextAbove(value);
    else if (ensemble.isEqual !== undefined && isEquality(mode)) {
      ensemble.thresholds[index] = value;
      ensemble.isEqual[index] = 1;
    } else return undefined;
    ensemble.features[index] = featureIds[index] as number;
    ensemble.whenLess[index] = isTurned ? whenFalse : whenTrue;
    ensemble.whenNot[index] = isTurned ? whenTrue : whenFalse;
    // NaN is unequal to anything, whatever the file says.
    const tracks = tracksTrue[index] === 1 || mode === 'BRANCH_NEQ';
    ensemble.missingIsLess[index] = tracks === isTurned ? 0 : 1;
  }
  const prefix = isClassifier ? 'class' : 'target';
  const [leafTrees, leafNodes] = [ints(`${prefix}_treeids`), ints(`${prefix}_nodeids`)];
  const [leafTargets, leafWeights] = [ints(`${prefix}_ids`), floats(`${prefix}_weights`)];
  const classes = Math.max(
    ints('classlabels_int64s').length,
    attributes.get('classlabels_strings')?.strings?.length ?? 0,
  );
  const isBinary = isClassifier && classes === 2 && leafTargets.every((target) => target === leafTargets[0]);
  // A sum without a transformation is a probability where no weight is negative; other sums are left to onnxruntime, which has rules of its own for them.
  if (isBinary && (transform === 'softmax' || (transform === 'none' && leafWeights.some((weight) => weight < 0)))) {
    return undefined;
  }
  const leaves: Leaf[] = [];
  for (const [at, id] of leafNodes.entries()) {
    const leaf = indexOf.get(`${leafTrees[at]} ${id}`);
    if (leaf === undefined || ensemble.features[leaf] !== -1) return undefined;
    leaves.push({ leaf, target: isBinary ? 0 : (leafTargets[at] as number), weight: leafWeights[at] as number });
  }
  const outputs = isBinary ? 1 : isClassifier ? classes : (attributes.get('n_targets')?.i ?? 1);
  const base = new Float32Array(outputs);
  base.set(floats('base_values').slice(0, outputs));
  const covers = hits.length === size ? Float32Array.from(hits) : undefined;
  const splits = {
    ...ensemble,
    covers: covers !== undefined && addUp(covers, ensemble) ? covers : undefined,
    roots: Int32Array.from(roots.values()),
  };
  const trees = withTargets(splits, leaves);
  if (trees === undefined) return undefined;
  return { ...trees, ...{ outputs, base, transform, isBinary, input, output }, isWhole: nodes.length === 1 };
}

const isEquality = (mode: string | undefined): boolean => mode === 'BRANCH_EQ' || mode === 'BRANCH_NEQ';

/** The output of the graph that has a node's numbers as they are; undefined when there is none. */
function passedOn(name: string, graph: WireGraph): string | undefined {
  if (graph.output?.some((each) => each.name === name) === true) return name;
  for (const { opType, input, output } of graph.node) {
    if (!input.includes(name)) continue;
    const factor = opType === 'Mul' ? graph.initializer?.find((each) => input.includes(each.name)) : undefined;
    if (!PASSING.has(opType) && !(factor !== undefined && isOne(factor))) continue;
    const found = passedOn(output[0] as string, graph);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Converters of LightGBM multiply by 1. */
function isOne({ floatData = [], rawData }: WireTensor): boolean {
  return rawData !== undefined && rawData.length > 0
    ? Buffer.from(rawData).equals(ONE)
    : floatData.length > 0 && floatData.every((value) => value === 1);
}
const ONE = Buffer.from(Float32Array.of(1).buffer);

type Splits = Pick<TreeEnsemble, 'roots' | 'features' | 'thresholds' | 'whenLess' | 'whenNot' | 'missingIsLess'> &
  Pick<TreeEnsemble, 'isEqual' | 'covers'>;

/** Whether as much came through each split as through the two nodes below it. Converters write 1 for every node where they know nothing. */
function addUp(covers: Float32Array, { features, whenLess, whenNot }: Omit<Splits, 'covers' | 'roots'>): boolean {
  for (let node = 0; node < features.length; node += 1) {
    if (features[node] === -1) continue;
    const own = covers[node] as number;
    const [less, not] = [covers[whenLess[node] as number] as number, covers[whenNot[node] as number] as number];
    if (!(own > 0 && less >= 0 && not >= 0 && Math.abs(less + not - own) <= COVER_TOLERANCE * own)) return false;
  }
  return true;
}

interface Leaf {
  readonly leaf: number;
  readonly target: number;
  readonly weight: number;
}

/** Trees whose leaves add to one output each: one whose leaves add to several is copied for each of them. @returns undefined for too many nodes */
function withTargets(
  splits: Splits,
  leaves: readonly Leaf[],
): (Splits & Pick<TreeEnsemble, 'weights' | 'targets'>) | undefined {
  const size = splits.features.length;
  const seen = new Set<number>();
  const hasSeveral = leaves.some(({ leaf }) => seen.size === seen.add(leaf).size);
  const targets: readonly (number | undefined)[] = hasSeveral
    ? [...new Set(leaves.map(({ target }) => target))]
    : [undefined];
  if (size * targets.length > MOST_NODES) return undefined;
  const all = {
    weights: new Float32Array(size * targets.length),
    targets: new Int32Array(size * targets.length),
  };
  for (const { leaf, target, weight } of leaves) {
    const node = (hasSeveral ? targets.indexOf(target) : 0) * size + leaf;
    // What is said twice of a leaf counts twice.
    all.weights[node] = (all.weights[node] as number) + weight;
    all.targets[node] = target;
  }
  if (!hasSeveral) return { ...splits, ...all };
  for (const [at, target] of targets.entries()) all.targets.fill(target as number, at * size, (at + 1) * size);
  const copied = <T extends Float32Array | Uint8Array>(values: T): T => {
    const copies = new (values.constructor as new (length: number) => T)(size * targets.length);
    for (const at of targets.keys()) copies.set(values, at * size);
    return copies;
  };
  const moved = (nodes: Int32Array): Int32Array =>
    Int32Array.from({ length: nodes.length * targets.length }, (_, at) => {
      return (nodes[at % nodes.length] as number) + Math.floor(at / nodes.length) * size;
    });
  return {
    ...all,
    roots: moved(splits.roots),
    features: Int32Array.from({ length: size * targets.length }, (_, at) => splits.features[at % size] as number),
    thresholds: copied(splits.thresholds),
    whenLess: moved(splits.whenLess),
    whenNot: moved(splits.whenNot),
    missingIsLess: copied(splits.missingIsLess),
    isEqual: splits.isEqual === undefined ? undefined : copied(splits.isEqual),
    covers: splits.covers === undefined ? undefined : copied(splits.covers),
  };
}
