import { GraphBuilder } from '../onnx/graph_builder.ts';
import { nextAbove } from '../onnx/tree_ensemble.ts';
import type { Booster, BoosterColumn, BoosterTree } from './booster.ts';

export const BOOSTER_INPUT = 'features';
const TREES = { name: 'ai.onnx.ml', version: 3 };
/** A definition of ONNX-ML's operators, which needs a list of it in either case. */
const LESS = 'BRANCH_LT';
const LEAF = 'LEAF';

export interface BoosterGraph {
  readonly onnx: Uint8Array;
  readonly output: string;
  /** Values of a row in the output. */
  readonly width: number;
}

/** Returns the graph that computes a model of XGBoost: FP32 [N, columns] in, with NaN where a value is missing; FP32 [N, values] out. */
export function graphOf(booster: Booster): BoosterGraph {
  const graph = new GraphBuilder();
  const { objective, groups, columns } = booster;
  const isBinary = objective.isClassifier && groups === 1;
  const output = objective.isClassifier ? 'probabilities' : groups > 1 ? 'values' : 'value';
  const width = isBinary ? 2 : groups;
  if (booster.linear !== undefined) addOutput(graph, booster, addLinear(graph, booster.linear, booster), output);
  else addTrees(graph, booster, output);
  const onnx = graph.encode('xgboost', booster.version, {
    input: { name: BOOSTER_INPUT, columns: columns.length },
    output: { name: output, columns: width },
  });
  return { onnx, output, width };
}

/** Adds trees with what their operator itself makes of sums, where it can: a graph without other nodes is computed by serving's kernel. */
function addTrees(graph: GraphBuilder, booster: Booster, output: string): void {
  const { objective, groups, base } = booster;
  const ensemble = ensembleOf(booster);
  const nodes = ensemble.attributes;
  const bases = { base_values: Float32Array.from(base) };
  const leaves = (prefix: 'class' | 'target') => ({
    [`${prefix}_treeids`]: ensemble.leaves.trees,
    [`${prefix}_nodeids`]: ensemble.leaves.nodes,
    [`${prefix}_ids`]: ensemble.leaves.groups,
    [`${prefix}_weights`]: Float32Array.from(ensemble.leaves.weights),
  });
  const isBinary = objective.output === 'logistic' && objective.isClassifier && groups === 1;
  // onnxruntime takes two classes for one sum and its complement.
  if (isBinary || (objective.output === 'softmax' && groups > 2)) {
    const classes = Array.from({ length: Math.max(2, groups) }, (_, index) => index);
    const meaning = { classlabels_int64s: classes, post_transform: isBinary ? 'LOGISTIC' : 'SOFTMAX' };
    const attributes = { ...nodes, ...leaves('class'), ...bases, ...meaning };
    graph.node('TreeEnsembleClassifier', [BOOSTER_INPUT], ['label', output], attributes, TREES);
    return;
  }
  const attributes = { ...nodes, ...leaves('target'), ...bases, n_targets: groups };
  const isWhole = objective.output === 'identity';
  const margins = isWhole ? output : 'margins';
  graph.node('TreeEnsembleRegressor', [BOOSTER_INPUT], margins, attributes, TREES);
  if (!isWhole) addOutput(graph, booster, margins, output);
}

/** Returns the name of the sums of a linear model, in which what is missing adds nothing. */
function addLinear(graph: GraphBuilder, weights: ArrayLike<number>, { columns, groups, base }: Booster): string {
  const size = columns.length * groups;
  const all = Float32Array.from(weights);
  const isMissing = graph.node('IsNaN', [BOOSTER_INPUT], 'is_missing');
  const zero = graph.constant('zero', [1], Float32Array.of(0));
  const filled = graph.node('Where', [isMissing, zero, BOOSTER_INPUT], 'filled');
  const kernel = graph.constant('weights', [columns.length, groups], all.slice(0, size));
  const bias = all.slice(size).map((value, group) => value + (base[group] as number));
  return graph.node('Gemm', [filled, kernel, graph.constant('bias', [groups], bias)], 'margins');
}

/** Adds what the objective makes of margins, by nodes of their own. */
function addOutput(graph: GraphBuilder, { objective, groups }: Booster, margins: string, output: string): void {
  const isBinary = objective.isClassifier && groups === 1;
  const to = isBinary ? 'positive' : output;
  switch (objective.output) {
    case 'identity':
      graph.node('Identity', [margins], to);
      break;
    case 'exp':
      graph.node('Exp', [margins], to);
      break;
    case 'softmax':
      graph.node('Softmax', [margins], to, { axis: 1 });
      break;
    case 'logistic':
      graph.node('Sigmoid', [margins], to);
      break;
    case 'step': {
      const isAbove = graph.node('Greater', [margins, graph.constant('none', [1], Float32Array.of(0))], 'is_above');
      graph.node('Cast', [isAbove], to, { to: 1 });
    }
  }
  if (!isBinary) return;
  const negative = graph.node('Sub', [graph.constant('one', [1], Float32Array.of(1)), to], 'negative');
  graph.node('Concat', [negative, to], output, { axis: 1 });
}

interface Leaves {
  readonly trees: number[];
  readonly nodes: number[];
  readonly groups: number[];
  readonly weights: number[];
}

/** Nodes of all trees, as TreeEnsembleClassifier and TreeEnsembleRegressor take them. */
class Ensemble {
  readonly #trees: number[] = [];
  readonly #nodes: number[] = [];
  readonly #columns: number[] = [];
  readonly #modes: string[] = [];
  readonly #values: number[] = [];
  readonly #whenLess: number[] = [];
  readonly #whenNot: number[] = [];
  readonly #missingIsLess: number[] = [];
  readonly #covers: number[] = [];
  readonly leaves: Leaves = { trees: [], nodes: [], groups: [], weights: [] };

  add(tree: number, node: number, split: Split | undefined, cover: number): void {
    this.#trees.push(tree);
    this.#nodes.push(node);
    this.#columns.push(split?.column ?? 0);
    this.#modes.push(split === undefined ? LEAF : LESS);
    this.#values.push(split?.threshold ?? 0);
    this.#whenLess.push(split?.whenLess ?? 0);
    this.#whenNot.push(split?.whenNot ?? 0);
    this.#missingIsLess.push(Number(split?.missingIsLess ?? false));
    this.#covers.push(cover);
  }

  get attributes() {
    return {
      ...{ nodes_treeids: this.#trees, nodes_nodeids: this.#nodes, nodes_featureids: this.#columns },
      ...{ nodes_modes: this.#modes, nodes_values: Float32Array.from(this.#values) },
      ...{ nodes_truenodeids: this.#whenLess, nodes_falsenodeids: this.#whenNot },
      nodes_missing_value_tracks_true: this.#missingIsLess,
      nodes_hitrates: Float32Array.from(this.#covers),
    };
  }
}

interface Split {
  readonly column: number;
  readonly threshold: number;
  readonly whenLess: number;
  readonly whenNot: number;
  readonly missingIsLess: boolean;
}

function ensembleOf(booster: Booster): Ensemble {
  const ensemble = new Ensemble();
  for (const [index, tree] of booster.trees.entries()) addTree(ensemble, index, tree, booster.columns);
  return ensemble;
}

function addTree(ensemble: Ensemble, index: number, tree: BoosterTree, columns: readonly BoosterColumn[]): void {
  const { leaves } = ensemble;
  // Nodes that a split by category adds have numbers after those that there are.
  let added = tree.left.length;
  const waiting = [0];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const cover = tree.covers?.[node] ?? 1;
    const [left, right] = [tree.left[node] as number, tree.right[node] as number];
    if (left === -1) {
      ensemble.add(index, node, undefined, cover);
      for (const { group, value } of tree.addsTo(node)) {
        leaves.trees.push(index);
        leaves.nodes.push(node);
        leaves.groups.push(group);
        leaves.weights.push(value);
      }
      continue;
    }
    waiting.push(right, left);
    const column = tree.columns[node] as number;
    const missingIsLeft = Boolean(tree.missingIsLeft[node]);
    const set = tree.categories.get(node);
    if (set === undefined) {
      const threshold = tree.thresholds[node] as number;
      ensemble.add(
        index,
        node,
        { column, threshold, whenLess: left, whenNot: right, missingIsLess: missingIsLeft },
        cover,
      );
      continue;
    }
    let from = node;
    for (const { threshold, isLeft, takesMissing, isLast } of stepsOf(
      set,
      columns[column]?.categories,
      missingIsLeft,
    )) {
      const whenNot = isLast ? left : added;
      const whenLess = isLeft ? left : right;
      ensemble.add(index, from, { column, threshold, whenLess, whenNot, missingIsLess: takesMissing }, cover);
      from = added;
      if (!isLast) added += 1;
    }
  }
}

interface Step {
  readonly threshold: number;
  /** Whether what is below goes to the left. */
  readonly isLeft: boolean;
  readonly takesMissing: boolean;
  /** What is not below goes to the left. */
  readonly isLast: boolean;
}

/**
 * A split by category as tests of "less than", one after the other: categories side by side are one range, and as in XGBoost what lies between two codes
 * has the lower one. Both branches are led to from several tests, and are there once.
 */
function stepsOf(
  set: readonly number[],
  categories: BoosterColumn['categories'],
  missingIsLeft: boolean,
): readonly Step[] {
  const ranges = set
    .map((code) => rangeOf(code, categories))
    .filter((range) => range !== undefined)
    .sort(([a], [b]) => a - b);
  const ends: { threshold: number; isLeft: boolean }[] = [];
  for (const [from, to] of ranges) {
    const last = ends.at(-1);
    if (last?.threshold === from) last.threshold = to;
    else ends.push({ threshold: from, isLeft: true }, { threshold: to, isLeft: false });
  }
  // Nothing is below.
  if (ends.length === 0) ends.push({ threshold: Number.NEGATIVE_INFINITY, isLeft: missingIsLeft });
  const taking = ends.findIndex(({ isLeft }) => isLeft === missingIsLeft);
  return ends.map((end, at) => ({ ...end, takesMissing: at === taking, isLast: at === ends.length - 1 }));
}

/** Values that are a category: from, to and not with. Where the file has numbers for codes, the values are these numbers. */
function rangeOf(code: number, categories: BoosterColumn['categories']): readonly [number, number] | undefined {
  if (typeof categories?.[0] !== 'number') return [code, code + 1];
  const value = categories[code] as number | undefined;
  return value === undefined ? undefined : [value, nextAbove(value)];
}
