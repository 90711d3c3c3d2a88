import { isAscii } from 'node:buffer';
import { z } from 'zod';
import { messageOf } from '#kernel/errors';
import { decodeUtf8 } from '#kernel/exact/exact_json';
import { InvalidModelError } from '../errors.ts';
import { marginOf, OBJECTIVES, type Objective } from './objectives.ts';
import { decodeUbjson } from './ubjson.ts';

/** A tree as it is saved: nodes by their numbers, the root first. */
export interface BoosterTree {
  /** -1 for a leaf. */
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
  readonly columns: ArrayLike<number>;
  /** A row whose value is below goes to the left. */
  readonly thresholds: ArrayLike<number>;
  /** 1 where a missing value goes to the left. */
  readonly missingIsLeft: ArrayLike<number | boolean>;
  /** Of a split by category: the categories that go to the right. */
  readonly categories: ReadonlyMap<number, readonly number[]>;
  /** Weight of the training rows that came through a node; undefined where the file has none. */
  readonly covers: ArrayLike<number> | undefined;
  /** What a leaf adds, by output. */
  readonly addsTo: (leaf: number) => readonly { readonly group: number; readonly value: number }[];
}

export interface BoosterColumn {
  readonly name: string;
  /** As XGBoost has it: float, int, i (boolean), q (quantitative), c (categorical). */
  readonly type: string;
  /** Names of the categories, or their numbers, in the order of their codes; undefined where the file has none, and codes are the values. */
  readonly categories?: readonly string[] | readonly number[];
}

/** A model that XGBoost has saved. */
export interface Booster {
  /** Of the XGBoost that has saved it, such as 3.2.0. */
  readonly version: string;
  readonly objectiveName: string;
  readonly objective: Objective;
  readonly columns: readonly BoosterColumn[];
  /** Sums that a row has: of classes or of targets. */
  readonly groups: number;
  /** Where each sum begins, as a margin. */
  readonly base: readonly number[];
  readonly trees: readonly BoosterTree[];
  /** Of a linear model: [columns + 1, groups], the last row is added as it is. */
  readonly linear: ArrayLike<number> | undefined;
  readonly rounds: number;
}

const isNumbers = (value: unknown): value is ArrayLike<number> =>
  ArrayBuffer.isView(value) || (Array.isArray(value) && value.every((each) => typeof each === 'number'));
const numbers = z.custom<ArrayLike<number>>(isNumbers, 'must be a list of numbers');
const flags = z.union([numbers, z.array(z.boolean())]);
/** XGBoost saves most numbers as strings. */
const count = z.coerce.number().int().nonnegative();

const treeSchema = z.looseObject({
  left_children: numbers,
  right_children: numbers,
  split_indices: numbers,
  split_conditions: numbers,
  default_left: flags,
  sum_hessian: numbers.optional(),
  base_weights: numbers.optional(),
  leaf_weights: numbers.optional(),
  split_type: numbers.optional(),
  categories: numbers.optional(),
  categories_nodes: numbers.optional(),
  categories_segments: numbers.optional(),
  categories_sizes: numbers.optional(),
  tree_param: z.looseObject({ size_leaf_vector: count.default(0) }),
});
type SavedTree = z.infer<typeof treeSchema>;

const categoriesSchema = z.looseObject({
  enc: z.array(z.looseObject({ offsets: numbers.optional(), values: numbers, type: z.number().optional() })),
});

const treesSchema = z.looseObject({
  gbtree_model_param: z.looseObject({ num_parallel_tree: count.default(1) }),
  iteration_indptr: numbers.optional(),
  tree_info: numbers,
  trees: z.array(treeSchema),
  cats: categoriesSchema.optional(),
});

const boosterSchema = z.discriminatedUnion('name', [
  z.looseObject({ name: z.literal('gbtree'), model: treesSchema }),
  z.looseObject({ name: z.literal('dart'), gbtree: z.looseObject({ model: treesSchema }), weight_drop: numbers }),
  z.looseObject({ name: z.literal('gblinear'), model: z.looseObject({ weights: numbers }) }),
]);

const savedSchema = z.looseObject({
  version: numbers,
  learner: z.looseObject({
    attributes: z.record(z.string(), z.string()).default({}),
    feature_names: z.array(z.string()).default([]),
    feature_types: z.array(z.string()).default([]),
    gradient_booster: boosterSchema,
    learner_model_param: z.looseObject({
      base_score: z.string(),
      num_class: count.default(0),
      num_feature: count,
      num_target: count.default(1),
    }),
    objective: z.looseObject({ name: z.string() }),
  }),
});
type Learner = z.infer<typeof savedSchema>['learner'];

const OBJECT = 0x7b;
const QUOTE = 0x22;
const CLOSE = 0x7d;
const SPACES: readonly number[] = [0x09, 0x0a, 0x0d, 0x20];

/**
 * Reads what `save_model` of XGBoost's Python package writes: JSON or UBJSON, of XGBoost 1.0 and later. Of a model that the scikit-learn interface has
 * stopped early, the rounds up to the best one count, as in its `predict`.
 *
 * @param rounds - how many rounds count; all that the file has by default
 * @throws {@link InvalidModelError} naming what is missing, or what is not supported
 */
export function readBooster(file: Uint8Array, rounds?: number): Booster {
  const parsed = savedSchema.safeParse(documentOf(file));
  if (!parsed.success) throw new InvalidModelError([`it is no model of XGBoost: ${z.prettifyError(parsed.error)}`]);
  const { learner, version } = parsed.data;
  const { learner_model_param: param, objective } = learner;
  const known = Object.hasOwn(OBJECTIVES, objective.name) ? OBJECTIVES[objective.name] : undefined;
  if (known === undefined) {
    throw new InvalidModelError([
      `its objective ${objective.name} is not supported: ${Object.keys(OBJECTIVES).join(', ')} are`,
    ]);
  }
  const groups = Math.max(1, param.num_class, param.num_target);
  const { name } = learner.gradient_booster;
  const scores = baseScoresOf(param.base_score, groups);
  // A linear model of several outputs begins each with the first base score (XGBoost 3.2, src/gbm/gblinear.cc).
  const base = scores.map((score) => marginOf(known, name === 'gblinear' ? (scores[0] as number) : score));
  if (!base.every(Number.isFinite)) throw new InvalidModelError([`its base_score ${param.base_score} has no margin`]);
  const columns = columnsOf(learner);
  return {
    version: Array.from(version).join('.'),
    ...{ objectiveName: objective.name, objective: known, columns, groups, base },
    ...boosted(learner, groups, rounds),
  };
}

function documentOf(file: Uint8Array): unknown {
  if (file[0] !== OBJECT) {
    throw new InvalidModelError([
      'it is neither JSON nor UBJSON: save it with booster.save_model("model.json") of XGBoost 1.0 or later',
    ]);
  }
  const isJson = [QUOTE, CLOSE, ...SPACES].includes(file[1] ?? CLOSE);
  try {
    if (!isJson) return decodeUbjson(file);
    return parseJson(decodeUtf8(Buffer.from(file.buffer, file.byteOffset, file.byteLength)));
  } catch (error) {
    throw new InvalidModelError([`it is no ${isJson ? 'JSON' : 'UBJSON'}: ${messageOf(error)}`], error);
  }
}

/** Splits by category have NaN as their threshold, which XGBoost writes as it is. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Strings are passed over.
    const plain = text.replace(/"(?:[^"\\]|\\.)*"|NaN|-?Infinity/g, (found) => {
      if (found.startsWith('"')) return found;
      return found === 'NaN' ? '0' : found.replace('Infinity', '1e999');
    });
    return JSON.parse(plain);
  }
}

/** `5E-1`, and since XGBoost 3.1 `[5E-1]` or one for each output. */
function baseScoresOf(text: string, groups: number): readonly number[] {
  const scores = text
    .replace(/^\[|\]$/g, '')
    .split(',')
    .map(Number);
  if (scores.some(Number.isNaN) || (scores.length !== 1 && scores.length !== groups)) {
    throw new InvalidModelError([`its base_score is ${text}, and it has ${groups} outputs`]);
  }
  return scores.length === groups ? scores : Array.from({ length: groups }, () => scores[0] as number);
}

function columnsOf({ feature_names: names, feature_types: types, ...learner }: Learner): readonly BoosterColumn[] {
  const { num_feature: width } = learner.learner_model_param;
  const problems = [
    { what: 'feature_names', found: names.length },
    { what: 'feature_types', found: types.length },
  ].flatMap(({ what, found }) =>
    found === 0 || found === width ? [] : [`it has ${found} ${what}, and ${width} columns`],
  );
  if (problems.length > 0) throw new InvalidModelError(problems);
  const encodings = treesOf(learner.gradient_booster)?.cats?.enc ?? [];
  return Array.from({ length: width }, (_, index) => {
    const name = names[index] ?? `f${index}`;
    const categories = categoriesOf(name, encodings[index]);
    return { name, type: types[index] ?? 'float', ...(categories === undefined ? {} : { categories }) };
  });
}

/** Strings are saved as their bytes, one after the other. The Python package up to 3.2 counts their characters, and cuts off what are more bytes. */
function categoriesOf(
  column: string,
  encoding: z.infer<typeof categoriesSchema>['enc'][number] | undefined,
): readonly string[] | readonly number[] | undefined {
  if (encoding === undefined || encoding.values.length === 0) return undefined;
  const { offsets, values } = encoding;
  if (offsets !== undefined) {
    const bytes = Buffer.from(Array.from(values));
    if (!isAscii(bytes)) {
      throw new InvalidModelError([
        `its column ${column} has categories with letters beyond ASCII, which XGBoost saves cut off: train with their codes, or with names in ASCII`,
      ]);
    }
    return Array.from(offsets)
      .slice(1)
      .map((end, index) => bytes.toString('latin1', offsets[index], end));
  }
  const list = Array.from(values);
  const inexact = list.find((value) => Math.fround(value) !== value);
  if (inexact !== undefined) {
    throw new InvalidModelError([`its column ${column} has the category ${inexact}, which FP32 does not hold`]);
  }
  return list;
}

const treesOf = (booster: Learner['gradient_booster']) =>
  booster.name === 'gbtree' ? booster.model : booster.name === 'dart' ? booster.gbtree.model : undefined;

function boosted(
  learner: Learner,
  groups: number,
  asked: number | undefined,
): Pick<Booster, 'trees' | 'linear' | 'rounds'> {
  const { gradient_booster: booster, learner_model_param: param } = learner;
  if (booster.name === 'gblinear') {
    const expected = (param.num_feature + 1) * groups;
    if (booster.model.weights.length !== expected) {
      throw new InvalidModelError([`it has ${booster.model.weights.length} weights, and ${expected} are expected`]);
    }
    if (asked !== undefined) throw new InvalidModelError(['a linear model cannot be cut to fewer rounds']);
    return { trees: [], linear: booster.model.weights, rounds: 0 };
  }
  const model = booster.name === 'dart' ? booster.gbtree.model : booster.model;
  const ends = endsOfRounds(model, groups);
  const rounds = asked ?? bestRounds(learner) ?? ends.length;
  const end = rounds === 0 ? 0 : ends[rounds - 1];
  if (end === undefined || rounds === 0) {
    throw new InvalidModelError([`it has ${ends.length} rounds, and ${rounds} are requested`]);
  }
  const trees = model.trees.slice(0, end).map((tree, index) => {
    const scale = booster.name === 'dart' ? (booster.weight_drop[index] ?? 1) : 1;
    return treeOf(tree, { index, group: model.tree_info[index] ?? 0, groups, scale, columns: param.num_feature });
  });
  return { trees, linear: undefined, rounds };
}

/** How many trees there are by the end of each round. */
function endsOfRounds(model: z.infer<typeof treesSchema>, groups: number): readonly number[] {
  if (model.iteration_indptr !== undefined) return Array.from(model.iteration_indptr).slice(1);
  const trees = groups * Math.max(1, model.gbtree_model_param.num_parallel_tree);
  return Array.from({ length: Math.floor(model.trees.length / trees) }, (_, round) => (round + 1) * trees);
}

/** XGBClassifier and XGBRegressor predict with the rounds up to the best one; a Booster predicts with all. */
function bestRounds({ attributes }: Learner): number | undefined {
  const { best_iteration: best, scikit_learn: isOfScikitLearn } = attributes;
  return best === undefined || isOfScikitLearn === undefined ? undefined : Number(best) + 1;
}

interface TreePlace {
  readonly index: number;
  readonly group: number;
  readonly groups: number;
  /** What its leaves are multiplied by. */
  readonly scale: number;
  readonly columns: number;
}

function treeOf(saved: SavedTree, place: TreePlace): BoosterTree {
  checkTree(saved, place);
  const { split_conditions: conditions, right_children: right, base_weights: weights, leaf_weights: leaves } = saved;
  const { group, groups, scale } = place;
  const isVector = saved.tree_param.size_leaf_vector > 1;
  const covers = saved.sum_hessian;
  return {
    ...{ left: saved.left_children, right, columns: saved.split_indices, thresholds: conditions },
    ...{ missingIsLeft: saved.default_left, categories: setsOf(saved), covers },
    addsTo: (leaf) => {
      if (!isVector) return [{ group, value: Math.fround((conditions[leaf] as number) * scale) }];
      // Since XGBoost 3.2 a leaf has its number among the leaves as its right child.
      const [values, at] = leaves === undefined ? [weights, leaf] : [leaves, right[leaf] as number];
      return Array.from({ length: groups }, (_, output) => ({
        group: output,
        value: Math.fround((values?.[at * groups + output] ?? Number.NaN) * scale),
      }));
    },
  };
}

/** @throws {@link InvalidModelError} for what is no tree of these columns and outputs */
function checkTree(tree: SavedTree, { index, group, groups, columns }: TreePlace): void {
  const refuse = (problem: string): never => {
    throw new InvalidModelError([`its tree ${index} ${problem}`]);
  };
  const { left_children: left, right_children: right, split_indices: indices } = tree;
  const size = left.length;
  for (const each of [right, indices, tree.split_conditions, tree.default_left, tree.sum_hessian ?? left]) {
    if (each.length !== size) refuse(`has lists of ${size} and ${each.length} nodes`);
  }
  if (group >= groups) refuse(`is of output ${group}, and there are ${groups}`);
  const vector = tree.tree_param.size_leaf_vector;
  if (vector > 1 && vector !== groups) refuse(`has ${vector} values in a leaf, and there are ${groups} outputs`);
  if (size === 0) refuse('has no node');
  const seen = new Uint8Array(size);
  const waiting = [0];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (!(node >= 0 && node < size) || seen[node] === 1)
      refuse(`has branches that lead nowhere or meet again, at node ${node}`);
    seen[node] = 1;
    if (left[node] === -1) continue;
    if (!((indices[node] as number) < columns)) refuse(`splits column ${indices[node]}, and there are ${columns}`);
    waiting.push(left[node] as number, right[node] as number);
  }
}

const NUMERIC = 0;
const CATEGORICAL = 1;

function setsOf(tree: SavedTree): ReadonlyMap<number, readonly number[]> {
  const sets = new Map<number, readonly number[]>();
  const { categories, categories_nodes: nodes, categories_segments: begins, categories_sizes: sizes } = tree;
  const types = tree.split_type ?? [];
  if (Array.from(types).some((type) => type !== NUMERIC && type !== CATEGORICAL)) {
    throw new InvalidModelError([
      `it has splits of a type that is not known: ${[...new Set(Array.from(types))].join(', ')}`,
    ]);
  }
  if (categories === undefined || nodes === undefined || begins === undefined || sizes === undefined) return sets;
  const list = Array.from(categories);
  for (const [at, node] of Array.from(nodes).entries()) {
    const begin = begins[at] as number;
    sets.set(node, list.slice(begin, begin + (sizes[at] as number)));
  }
  for (let node = 0; node < types.length; node += 1) {
    // A set that is empty is not saved.
    if (types[node] === CATEGORICAL && tree.left_children[node] !== -1 && !sets.has(node)) sets.set(node, []);
  }
  return sets;
}
