import fc from 'fast-check';
import { ModelProto } from '#registry/onnx/onnx_proto';

const COMPARISONS = ['BRANCH_LT', 'BRANCH_LEQ', 'BRANCH_GT', 'BRANCH_GTE'] as const;
const EQUALITIES = ['BRANCH_EQ', 'BRANCH_NEQ'] as const;
type Mode = (typeof COMPARISONS)[number] | (typeof EQUALITIES)[number];

export type RandomTree =
  | {
      readonly weight: number;
      readonly target: number;
      readonly cover: number;
      /** What it adds to the next target as well. */
      readonly besides?: number | undefined;
    }
  | {
      readonly mode: Mode;
      readonly column: number;
      readonly value: number;
      readonly missingIsTrue: boolean;
      readonly whenTrue: RandomTree;
      readonly whenFalse: RandomTree;
    };

export const COLUMNS = 4;

/** Few values, so that rows fall onto thresholds. */
const threshold = fc.constantFrom(-1, -0.1, 0, 0.1, 1, 2.5);

export const trees = (
  targets: number,
  { isAny = false, isPositive = false }: { readonly isAny?: boolean; readonly isPositive?: boolean } = {},
) =>
  fc.array(
    fc.letrec<{ tree: RandomTree; leaf: RandomTree; split: RandomTree }>((tie) => ({
      tree: fc.oneof({ maxDepth: 4, depthIdentifier: 'tree' }, tie('leaf'), tie('split')),
      leaf: fc.record({
        weight: fc.double({ min: isPositive ? 0 : -2, max: 2, noNaN: true }).map(Math.fround),
        target: fc.nat(targets - 1),
        cover: fc.integer({ min: 1, max: 50 }),
        ...(isAny && targets > 1 ? { besides: fc.option(fc.constantFrom(-1, 0.5, 2), { nil: undefined }) } : {}),
      }),
      split: fc.record({
        mode: isAny ? fc.constantFrom(...COMPARISONS, ...EQUALITIES) : fc.constantFrom(...COMPARISONS),
        column: fc.nat(COLUMNS - 1),
        // LightGBM asks so whether a value is missing.
        value: fc.oneof({ weight: 6, arbitrary: threshold }, fc.constant(Number.POSITIVE_INFINITY)),
        missingIsTrue: fc.boolean(),
        whenTrue: tie('tree'),
        whenFalse: tie('tree'),
      }),
    })).tree,
    { minLength: 1, maxLength: 4 },
  );

export const rows = fc.array(
  fc.array(fc.oneof(threshold, fc.constant(Number.NaN), fc.double({ min: -3, max: 3, noNaN: true }).map(Math.fround)), {
    minLength: COLUMNS,
    maxLength: COLUMNS,
  }),
  { minLength: 1, maxLength: 20 },
);

/** What a leaf adds to a target. */
export const addedTo = ({ weight, target, besides = 0 }: Leaf, to: number, targets: number): number =>
  (target === to ? weight : 0) + ((target + 1) % targets === to ? besides : 0);

type Leaf = Extract<RandomTree, { weight: number }>;
export const isLeaf = (tree: RandomTree): tree is Leaf => 'weight' in tree;

export const coverOf = (tree: RandomTree): number =>
  isLeaf(tree) ? tree.cover : coverOf(tree.whenTrue) + coverOf(tree.whenFalse);

/** Where a row goes at a split, plainly. */
export function goesTrue(split: Exclude<RandomTree, { weight: number }>, row: readonly number[]): boolean {
  const value = Math.fround(row[split.column] as number);
  const at = Math.fround(split.value);
  // NaN is unequal to anything.
  if (Number.isNaN(value)) return split.missingIsTrue || split.mode === 'BRANCH_NEQ';
  switch (split.mode) {
    case 'BRANCH_LT':
      return value < at;
    case 'BRANCH_LEQ':
      return value <= at;
    case 'BRANCH_GT':
      return value > at;
    case 'BRANCH_GTE':
      return value >= at;
    case 'BRANCH_EQ':
      return value === at;
    case 'BRANCH_NEQ':
      return value !== at;
  }
}

const FLOATS = 6;
const INTS = 7;
const STRINGS = 8;
const STRING = 3;
const FLOAT_TENSOR = { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'N' }, { dimParam: 'C' }] } } };

interface Graph {
  readonly kind: 'classifier' | 'regressor';
  /** Of a classifier. */
  readonly classes?: number;
  readonly targets: number;
  readonly transform: 'NONE' | 'LOGISTIC' | 'SOFTMAX';
  readonly base: readonly number[];
  /** As converters write it that know nothing: 1 for each node. */
  readonly hasCovers?: boolean;
}

/** The trees as an ONNX file. */
export function treesToOnnx(ensemble: readonly RandomTree[], graph: Graph): Uint8Array {
  const nodes: Record<string, unknown[]> = {};
  const put = (name: string, value: unknown): void => {
    nodes[name] ??= [];
    nodes[name].push(value);
  };
  const prefix = graph.kind === 'classifier' ? 'class' : 'target';
  ensemble.forEach((root, tree) => {
    let next = 0;
    const place = (node: RandomTree): number => {
      const id = next;
      next += 1;
      const at = (nodes.nodes_nodeids ?? []).length;
      put('nodes_treeids', tree);
      put('nodes_nodeids', id);
      put('nodes_modes', isLeaf(node) ? 'LEAF' : node.mode);
      put('nodes_featureids', isLeaf(node) ? 0 : node.column);
      put('nodes_values', isLeaf(node) ? 0 : node.value);
      put('nodes_hitrates', graph.hasCovers === false ? 1 : coverOf(node));
      put('nodes_missing_value_tracks_true', !isLeaf(node) && node.missingIsTrue ? 1 : 0);
      put('nodes_truenodeids', 0);
      put('nodes_falsenodeids', 0);
      if (isLeaf(node)) {
        put(`${prefix}_treeids`, tree);
        put(`${prefix}_nodeids`, id);
        put(`${prefix}_ids`, node.target);
        put(`${prefix}_weights`, node.weight);
        if (node.besides !== undefined) {
          put(`${prefix}_treeids`, tree);
          put(`${prefix}_nodeids`, id);
          put(`${prefix}_ids`, (node.target + 1) % graph.targets);
          put(`${prefix}_weights`, node.besides);
        }
        return id;
      }
      (nodes.nodes_truenodeids as unknown[])[at] = place(node.whenTrue);
      (nodes.nodes_falsenodeids as unknown[])[at] = place(node.whenFalse);
      return id;
    };
    place(root);
  });
  const attribute = Object.entries(nodes).map(([name, values]) => {
    if (typeof values[0] === 'string') {
      return { name, type: STRINGS, strings: values.map((value) => Buffer.from(String(value))) };
    }
    const isFloat = /weights|values|hitrates/.test(name);
    return isFloat ? { name, type: FLOATS, floats: values } : { name, type: INTS, ints: values };
  });
  const isClassifier = graph.kind === 'classifier';
  const more = [
    { name: 'post_transform', type: STRING, s: Buffer.from(graph.transform) },
    { name: 'base_values', type: FLOATS, floats: graph.base },
    isClassifier
      ? {
          name: 'classlabels_int64s',
          type: INTS,
          ints: Array.from({ length: graph.classes ?? 2 }, (_, index) => index),
        }
      : { name: 'n_targets', type: 2, i: graph.targets },
  ];
  const output = isClassifier ? ['label', 'probabilities'] : ['values'];
  const model = {
    irVersion: 8,
    opsetImport: [
      { domain: 'ai.onnx.ml', version: 3 },
      { domain: '', version: 15 },
    ],
    graph: {
      name: 'trees',
      node: [
        {
          opType: isClassifier ? 'TreeEnsembleClassifier' : 'TreeEnsembleRegressor',
          ...{ domain: 'ai.onnx.ml', name: 'trees', input: ['features'], output },
          attribute: [...attribute, ...more],
        },
      ],
      input: [{ name: 'features', type: FLOAT_TENSOR }],
      output: [{ name: output.at(-1), type: FLOAT_TENSOR }],
    },
  };
  return ModelProto.encode(ModelProto.fromObject(model)).finish();
}
