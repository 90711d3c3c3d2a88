import { ModelProto } from './onnx_proto.ts';

/**
 * A sum of decision trees, as a graph that is nothing but one TreeEnsembleClassifier or TreeEnsembleRegressor has it (ONNX-ML, opsets 1 and 3).
 * Nodes are numbered over all trees. A row goes to `whenLess` when its feature is below the threshold, otherwise to `whenNot`; what is missing
 * (NaN) goes where `missingIsLess` says.
 */
export interface TreeEnsemble {
  readonly roots: Int32Array;
  /** Column of a split; -1 for a leaf. */
  readonly features: Int32Array;
  readonly thresholds: Float32Array;
  readonly whenLess: Int32Array;
  readonly whenNot: Int32Array;
  readonly missingIsLess: Uint8Array;
  /** Of a leaf: what it adds to its output. */
  readonly weights: Float32Array;
  /** Of a leaf: the output that it adds to. */
  readonly targets: Int32Array;
  /** Training rows, or their weight, that came through a node; undefined when the file does not say. */
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
}

interface WireAttribute {
  readonly name: string;
  readonly s?: Uint8Array;
  readonly i?: number;
  readonly floats?: readonly number[];
  readonly ints?: readonly number[];
  readonly strings?: readonly Uint8Array[];
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

/** The smallest FP32 number above `value`. */
function nextAbove(value: number): number {
  if (value === 0) return 2 ** -149;
  bits.setFloat32(0, value);
  bits.setInt32(0, bits.getInt32(0) + (value > 0 ? 1 : -1));
  return bits.getFloat32(0);
}

/** @returns undefined when the graph is something else, or has what is not known here: leaves with several weights, splits by equality */
export function readTreeEnsemble(onnx: Uint8Array): TreeEnsemble | undefined {
  const wire = ModelProto.toObject(ModelProto.decode(onnx), { longs: Number, arrays: true }) as {
    readonly graph?: { readonly node: readonly WireNode[] };
  };
  const [node, ...others] = wire.graph?.node ?? [];
  if (node === undefined || others.length > 0) return undefined;
  const isClassifier = node.opType === 'TreeEnsembleClassifier';
  if (!isClassifier && node.opType !== 'TreeEnsembleRegressor') return undefined;
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
  const covers = floats('nodes_hitrates');
  const [trueIds, falseIds] = [ints('nodes_truenodeids'), ints('nodes_falsenodeids')];
  const [featureIds, values] = [ints('nodes_featureids'), floats('nodes_values')];
  const size = nodeIds.length;
  const ensemble = {
    features: new Int32Array(size).fill(-1),
    thresholds: new Float32Array(size),
    whenLess: new Int32Array(size),
    whenNot: new Int32Array(size),
    missingIsLess: new Uint8Array(size),
    weights: new Float32Array(size),
    targets: new Int32Array(size),
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
    // All splits as "less than": `x <= v` is `x < the number after v`, and the other two are these two the other way round.
    const isTurned = mode === 'BRANCH_GT' || mode === 'BRANCH_GTE';
    if (mode === 'BRANCH_LT' || mode === 'BRANCH_GTE') ensemble.thresholds[index] = value;
    else if (mode === 'BRANCH_LEQ' || mode === 'BRANCH_GT') ensemble.thresholds[index] = nextAbove(value);
    else return undefined;
    ensemble.features[index] = featureIds[index] as number;
    ensemble.whenLess[index] = isTurned ? whenFalse : whenTrue;
    ensemble.whenNot[index] = isTurned ? whenTrue : whenFalse;
    ensemble.missingIsLess[index] = (tracksTrue[index] === 1) === isTurned ? 0 : 1;
  }
  const prefix = isClassifier ? 'class' : 'target';
  const [leafTrees, leafNodes] = [ints(`${prefix}_treeids`), ints(`${prefix}_nodeids`)];
  const [leafTargets, leafWeights] = [ints(`${prefix}_ids`), floats(`${prefix}_weights`)];
  const seen = new Set<number>();
  for (const [at, id] of leafNodes.entries()) {
    const leaf = indexOf.get(`${leafTrees[at]} ${id}`);
    if (leaf === undefined || ensemble.features[leaf] !== -1 || seen.has(leaf)) return undefined;
    seen.add(leaf);
    ensemble.weights[leaf] = leafWeights[at] as number;
    ensemble.targets[leaf] = leafTargets[at] as number;
  }
  const classes = Math.max(
    ints('classlabels_int64s').length,
    attributes.get('classlabels_strings')?.strings?.length ?? 0,
  );
  const isBinary = isClassifier && classes === 2 && leafTargets.every((target) => target === leafTargets[0]);
  // A sum without a transformation is no probability of two classes: left to onnxruntime, which has rules of its own for it.
  if (isBinary && transform !== 'logistic') return undefined;
  if (isBinary) ensemble.targets.fill(0);
  const outputs = isBinary ? 1 : isClassifier ? classes : (attributes.get('n_targets')?.i ?? 1);
  const base = new Float32Array(outputs);
  base.set(floats('base_values').slice(0, outputs));
  return {
    ...ensemble,
    ...{ outputs, base, transform, isBinary },
    roots: Int32Array.from(roots.values()),
    covers: covers.length === size ? Float32Array.from(covers) : undefined,
    input: node.input[0] as string,
    output: node.output[isClassifier ? 1 : 0] as string,
  };
}
