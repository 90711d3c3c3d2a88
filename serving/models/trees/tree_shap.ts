import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';

/** What each column has added to a row's outputs, before they become probabilities. */
export interface Explanation {
  /** Output by output: what is expected when nothing is known of a row. */
  readonly base: Float64Array;
  /** [outputs, columns], row-major. With the base they sum up to the output. */
  readonly contributions: Float64Array;
}

/**
 * The way to a leaf: for each column that is asked on it which values come here (`low` <= value < `high`, and what is missing or not), and which share
 * of the rows that arrive at the splits of that column continues towards the leaf.
 */
interface LeafPath {
  readonly columns: number[];
  readonly low: number[];
  readonly high: number[];
  readonly takesMissing: boolean[];
  readonly shares: number[];
  readonly weight: number;
  readonly output: number;
}

/** Numbers that all leaves' tables may have; with more, they are computed row by row. */
const MOST_TABLE_NUMBERS = 8_000_000;

/**
 * Exact Shapley values of tree ensembles, by the covers of the training rows: path-dependent TreeSHAP (Lundberg, Erion and Lee, 2018). Whether a row
 * fulfils each of the d conditions of a leaf's path has 2^d outcomes, and what the columns get for each is computed once (Fast TreeSHAP v2; Yang, 2021):
 * a row then costs a look into a table for each leaf.
 */
export class TreeShap {
  readonly #outputs: number;
  readonly #base: Float64Array;
  readonly #paths: readonly LeafPath[];
  // The paths' conditions one after the other: a row looks at them all.
  readonly #starts: Int32Array;
  readonly #columns: Int32Array;
  readonly #low: Float32Array;
  readonly #high: Float32Array;
  readonly #takesMissing: Uint8Array;
  /** Leaf by leaf [2^d, d]; undefined when that is too much. */
  readonly #table: Float32Array | undefined;
  readonly #tableStarts: Int32Array;

  /** @throws {RangeError} when the ensemble has no covers */
  constructor(ensemble: TreeEnsemble) {
    const paths = leafPathsOf(ensemble);
    this.#outputs = ensemble.outputs;
    this.#paths = paths;
    this.#base = Float64Array.from(ensemble.base);
    for (const { shares, weight, output } of paths) {
      this.#base[output] = (this.#base[output] as number) + shares.reduce((product, share) => product * share, weight);
    }
    this.#starts = startsOf(paths, ({ columns }) => columns.length);
    this.#columns = Int32Array.from(paths.flatMap(({ columns }) => columns));
    this.#low = Float32Array.from(paths.flatMap(({ low }) => low));
    this.#high = Float32Array.from(paths.flatMap(({ high }) => high));
    this.#takesMissing = Uint8Array.from(paths.flatMap(({ takesMissing }) => takesMissing.map(Number)));
    this.#tableStarts = startsOf(paths, ({ columns }) => columns.length * 2 ** columns.length);
    const size = this.#tableStarts.at(-1) as number;
    if (size > MOST_TABLE_NUMBERS) return;
    this.#table = new Float32Array(size);
    for (const [leaf, path] of paths.entries()) {
      const depth = path.columns.length;
      const start = this.#tableStarts[leaf] as number;
      for (let mask = 0; mask < 2 ** depth; mask += 1) this.#table.set(valuesOf(path, mask), start + mask * depth);
    }
  }

  /** @param row - FP32 [columns] */
  explain(row: Float32Array): Explanation {
    const width = row.length;
    const contributions = new Float64Array(this.#outputs * width);
    for (let leaf = 0; leaf < this.#paths.length; leaf += 1) {
      const begin = this.#starts[leaf] as number;
      const depth = (this.#starts[leaf + 1] as number) - begin;
      const mask = this.#fulfilled(begin, depth, row);
      const path = this.#paths[leaf] as LeafPath;
      const values = this.#table ?? valuesOf(path, mask);
      const from = this.#table === undefined ? 0 : (this.#tableStarts[leaf] as number) + mask * depth;
      const to = path.output * width;
      for (let at = 0; at < depth; at += 1) {
        const column = to + (this.#columns[begin + at] as number);
        contributions[column] = (contributions[column] as number) + (values[from + at] as number);
      }
    }
    return { base: this.#base, contributions };
  }

  /** Bit by bit: whether the row fulfils the condition of a path's column. */
  #fulfilled(begin: number, depth: number, row: Float32Array): number {
    let mask = 0;
    for (let at = 0; at < depth; at += 1) {
      const value = row[this.#columns[begin + at] as number] as number;
      const isWithin = value >= (this.#low[begin + at] as number) && value < (this.#high[begin + at] as number);
      // What is missing is neither above nor below anything.
      if (isWithin || (this.#takesMissing[begin + at] === 1 && Number.isNaN(value))) mask |= 1 << at;
    }
    return mask;
  }
}

/** Where each path's numbers begin, one after the other; at last, where they end. */
function startsOf(paths: readonly LeafPath[], sizeOf: (path: LeafPath) => number): Int32Array {
  const starts = new Int32Array(paths.length + 1);
  for (const [leaf, path] of paths.entries()) starts[leaf + 1] = (starts[leaf] as number) + sizeOf(path);
  return starts;
}

function leafPathsOf(ensemble: TreeEnsemble): readonly LeafPath[] {
  const { features, thresholds, whenLess, whenNot, missingIsLess, covers } = ensemble;
  if (covers === undefined)
    throw new RangeError('the trees do not say how many training rows came through their nodes');
  const paths: LeafPath[] = [];
  const walk = (node: number, path: LeafPath): void => {
    const column = features[node] as number;
    if (column === -1) {
      paths.push({ ...path, weight: ensemble.weights[node] as number, output: ensemble.targets[node] as number });
      return;
    }
    const threshold = thresholds[node] as number;
    for (const isLess of [true, false]) {
      const child = (isLess ? whenLess[node] : whenNot[node]) as number;
      const share = (covers[child] as number) / (covers[node] as number);
      const takesMissing = (missingIsLess[node] === 1) === isLess;
      walk(child, narrowed(path, column, threshold, isLess, share, takesMissing));
    }
  };
  for (const root of ensemble.roots) {
    walk(root, { columns: [], low: [], high: [], takesMissing: [], shares: [], weight: 0, output: 0 });
  }
  return paths;
}

/** A path with one more split: of a column that is on it already, or of another one. */
function narrowed(
  path: LeafPath,
  column: number,
  threshold: number,
  isLess: boolean,
  share: number,
  takesMissing: boolean,
): LeafPath {
  const next = {
    ...path,
    columns: [...path.columns],
    low: [...path.low],
    high: [...path.high],
    takesMissing: [...path.takesMissing],
    shares: [...path.shares],
  };
  let at = next.columns.indexOf(column);
  if (at === -1) {
    at = next.columns.length;
    next.columns.push(column);
    next.low.push(Number.NEGATIVE_INFINITY);
    next.high.push(Number.POSITIVE_INFINITY);
    next.takesMissing.push(true);
    next.shares.push(1);
  }
  if (isLess) next.high[at] = Math.min(next.high[at] as number, threshold);
  else next.low[at] = Math.max(next.low[at] as number, threshold);
  next.takesMissing[at] = (next.takesMissing[at] as boolean) && takesMissing;
  next.shares[at] = (next.shares[at] as number) * share;
  return next;
}

/**
 * What each column of a path gets of its leaf's weight.
 *
 * @param mask - bit by bit: whether the row fulfils the column's condition
 */
function valuesOf({ shares, weight }: LeafPath, mask: number): Float64Array {
  const depth = shares.length;
  // By how many columns are known: EXTEND of the paper, column by column.
  const weights = new Float64Array(depth + 1);
  weights[0] = 1;
  for (let length = 1; length <= depth; length += 1) {
    const zero = shares[length - 1] as number;
    const one = (mask >> (length - 1)) & 1;
    for (let at = length - 1; at >= 0; at -= 1) {
      weights[at + 1] = (weights[at + 1] as number) + (one * (weights[at] as number) * (at + 1)) / (length + 1);
      weights[at] = (zero * (weights[at] as number) * (length - at)) / (length + 1);
    }
  }
  const values = new Float64Array(depth);
  for (let column = 0; column < depth; column += 1) {
    const zero = shares[column] as number;
    const one = (mask >> column) & 1;
    values[column] = unwoundSum(weights, zero, one) * (one - zero) * weight;
  }
  return values;
}

/** The sum of the weights of a path without one of its columns: UNWIND of the paper, summed up. */
function unwoundSum(weights: Float64Array, zero: number, one: number): number {
  const depth = weights.length - 1;
  let total = 0;
  if (one === 0) {
    // Nothing comes this way, known or not.
    if (zero === 0) return 0;
    for (let at = depth - 1; at >= 0; at -= 1) total += (weights[at] as number) / ((zero * (depth - at)) / (depth + 1));
    return total;
  }
  let next = weights[depth] as number;
  for (let at = depth - 1; at >= 0; at -= 1) {
    const part = (next * (depth + 1)) / (at + 1);
    total += part;
    next = (weights[at] as number) - (part * zero * (depth - at)) / (depth + 1);
  }
  return total;
}
