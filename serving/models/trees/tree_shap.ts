import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import { LeafPaths, MOST_COLUMNS } from './leaf_paths.ts';

/** What each column has added to a row's outputs, before they become probabilities. */
export interface Explanation {
  /** Output by output: what is expected when nothing is known of a row. */
  readonly base: Float64Array;
  /** [outputs, columns], row-major. With the base they sum up to the output. */
  readonly contributions: Float64Array;
}

/** Numbers that all leaves' tables may have; with more, they are computed row by row. */
const MOST_TABLE_NUMBERS = 8_000_000;
/** What is kept of all rows of the background at all leaves. */
const MOST_KNOWN_MASKS = 20_000_000;

/** What the columns of a leaf's path get of its weight, by which of the path's conditions a row fulfils. */
interface Game {
  /** What is expected of a leaf's weight when nothing is known of a row: a share of it, 0 to 1. */
  expected(leaf: number): number;
  /** Adds to `into` from `at` on, column by column. */
  play(leaf: number, mask: number, into: Float32Array | Float64Array, at: number): void;
}

/**
 * Exact Shapley values of tree ensembles, of one of two games. By the covers of the training rows it is path-dependent TreeSHAP (Lundberg, Erion and Lee,
 * 2018); against rows of a background it is the interventional form (Lundberg et al., 2020). Whether a row fulfils each of the d conditions of a leaf's path
 * has 2^d outcomes, and what the columns get for each is computed once, when it is first seen (after Fast TreeSHAP v2; Yang, 2021): a row then costs a look
 * into a table for each leaf.
 */
export class TreeShap {
  /** How an unknown column is treated, in the words of Python's shap. */
  readonly perturbation: 'tree_path_dependent' | 'interventional';
  readonly #outputs: number;
  readonly #base: Float64Array;
  readonly #paths: LeafPaths;
  readonly #game: Game;
  /** Leaf by leaf [2^d, d]; undefined when that is too much. */
  readonly #table: Float32Array | undefined;
  readonly #tableStarts: Int32Array;
  /** Leaf by leaf [2^d]: whether the table has this outcome. */
  readonly #known: Uint8Array;
  readonly #knownStarts: Int32Array;

  private constructor(ensemble: TreeEnsemble, paths: LeafPaths, game: Game, mostNumbers: number) {
    this.perturbation = ensemble.covers === undefined ? 'interventional' : 'tree_path_dependent';
    this.#outputs = ensemble.outputs;
    this.#paths = paths;
    this.#game = game;
    this.#base = Float64Array.from(ensemble.base);
    for (let leaf = 0; leaf < paths.count; leaf += 1) {
      const output = paths.outputs[leaf] as number;
      this.#base[output] = (this.#base[output] as number) + game.expected(leaf) * (paths.weights[leaf] as number);
    }
    let numbers = 0;
    for (let leaf = 0; leaf < paths.count; leaf += 1) numbers += paths.depthOf(leaf) * 2 ** paths.depthOf(leaf);
    const isSmall = numbers <= mostNumbers;
    this.#table = isSmall ? new Float32Array(numbers) : undefined;
    this.#tableStarts = startsOf(isSmall ? paths.count : 0, (leaf) => paths.depthOf(leaf) * 2 ** paths.depthOf(leaf));
    this.#knownStarts = startsOf(isSmall ? paths.count : 0, (leaf) => 2 ** paths.depthOf(leaf));
    this.#known = new Uint8Array(this.#knownStarts.at(-1) as number);
  }

  /**
   * Requests are answered while it is made.
   *
   * @param background - FP32 [rows, width]: what columns are set to that are taken as unknown, where the trees have no covers
   * @param width - columns of a row
   * @param settings - a parameter for tests
   * @returns undefined where there are neither covers nor a background, and for trees that are too large or too deep
   */
  static async of(
    ensemble: TreeEnsemble,
    background: Float32Array,
    width: number,
    { mostNumbers = MOST_TABLE_NUMBERS }: { readonly mostNumbers?: number } = {},
  ): Promise<TreeShap | undefined> {
    const rows = background.length / width;
    if (ensemble.covers === undefined && rows === 0) return undefined;
    const paths = await LeafPaths.of(ensemble);
    if (paths === undefined) return undefined;
    if (ensemble.covers !== undefined) return new TreeShap(ensemble, paths, new CoverGame(paths), mostNumbers);
    if (paths.count * rows > MOST_KNOWN_MASKS) return undefined;
    return new TreeShap(ensemble, paths, new BackgroundGame(paths, background, width), mostNumbers);
  }

  /** @param row - FP32 [columns] */
  explain(row: Float32Array): Explanation {
    const paths = this.#paths;
    const { starts, columns, outputs } = paths;
    const table = this.#table ?? new Float32Array(MOST_COLUMNS);
    const width = row.length;
    const contributions = new Float64Array(this.#outputs * width);
    for (let leaf = 0; leaf < paths.count; leaf += 1) {
      const begin = starts[leaf] as number;
      const depth = (starts[leaf + 1] as number) - begin;
      const from = this.#look(leaf, depth, paths.fulfilled(leaf, row), table);
      const to = (outputs[leaf] as number) * width;
      for (let at = 0; at < depth; at += 1) {
        const column = to + (columns[begin + at] as number);
        contributions[column] = (contributions[column] as number) + (table[from + at] as number);
      }
    }
    return { base: this.#base, contributions };
  }

  /** Returns where in the table the numbers of an outcome are, which it may have to compute. */
  #look(leaf: number, depth: number, mask: number, table: Float32Array): number {
    if (this.#table === undefined) {
      table.fill(0, 0, depth);
      this.#game.play(leaf, mask, table, 0);
      return 0;
    }
    const from = (this.#tableStarts[leaf] as number) + mask * depth;
    const known = (this.#knownStarts[leaf] as number) + mask;
    if (this.#known[known] === 0) {
      this.#game.play(leaf, mask, table, from);
      this.#known[known] = 1;
    }
    return from;
  }
}

/** Where each leaf's numbers begin, one after the other; at last, where they end. */
function startsOf(leaves: number, sizeOf: (leaf: number) => number): Int32Array {
  const starts = new Int32Array(leaves + 1);
  for (let leaf = 0; leaf < leaves; leaf += 1) starts[leaf + 1] = (starts[leaf] as number) + sizeOf(leaf);
  return starts;
}

/** Of an unknown column, rows go both ways, as many as training rows went. */
class CoverGame implements Game {
  readonly #paths: LeafPaths;

  constructor(paths: LeafPaths) {
    this.#paths = paths;
  }

  #shares(leaf: number): Float64Array {
    return this.#paths.shares.subarray(this.#paths.starts[leaf], this.#paths.starts[leaf + 1]);
  }

  expected(leaf: number): number {
    return this.#shares(leaf).reduce((product, share) => product * share, 1);
  }

  play(leaf: number, mask: number, into: Float32Array | Float64Array, at: number): void {
    const shares = this.#shares(leaf);
    const weight = this.#paths.weights[leaf] as number;
    const depth = shares.length;
    // By how many columns are known: EXTEND of the paper, column by column.
    const weights = new Float64Array(depth + 1);
    weights[0] = 1;
    for (let length = 1; length <= depth; length += 1) {
      const zero = shares[length - 1] as number;
      const one = (mask >> (length - 1)) & 1;
      for (let index = length - 1; index >= 0; index -= 1) {
        const own = weights[index] as number;
        weights[index + 1] = (weights[index + 1] as number) + (one * own * (index + 1)) / (length + 1);
        weights[index] = (zero * own * (length - index)) / (length + 1);
      }
    }
    for (let column = 0; column < depth; column += 1) {
      const zero = shares[column] as number;
      const one = (mask >> column) & 1;
      into[at + column] = unwoundSum(weights, zero, one) * (one - zero) * weight;
    }
  }
}

/** An unknown column is that of a row of the background; all of them count the same. */
class BackgroundGame implements Game {
  readonly #paths: LeafPaths;
  /** Leaf by leaf: the different outcomes of the background's rows, and the share of the rows that each is. */
  readonly #masks: Int32Array;
  readonly #maskShares: Float64Array;
  readonly #starts: Int32Array;

  constructor(paths: LeafPaths, background: Float32Array, width: number) {
    this.#paths = paths;
    const rows = background.length / width;
    const masks: number[] = [];
    const shares: number[] = [];
    this.#starts = new Int32Array(paths.count + 1);
    const counts = new Map<number, number>();
    for (let leaf = 0; leaf < paths.count; leaf += 1) {
      counts.clear();
      for (let row = 0; row < rows; row += 1) {
        const mask = paths.fulfilled(leaf, background, row * width);
        counts.set(mask, (counts.get(mask) ?? 0) + 1);
      }
      for (const [mask, count] of counts) {
        masks.push(mask);
        shares.push(count / rows);
      }
      this.#starts[leaf + 1] = masks.length;
    }
    this.#masks = Int32Array.from(masks);
    this.#maskShares = Float64Array.from(shares);
  }

  expected(leaf: number): number {
    const whole = 2 ** this.#paths.depthOf(leaf) - 1;
    let share = 0;
    for (let at = this.#starts[leaf] as number; at < (this.#starts[leaf + 1] as number); at += 1) {
      if (this.#masks[at] === whole) share += this.#maskShares[at] as number;
    }
    return share;
  }

  play(leaf: number, mask: number, into: Float32Array | Float64Array, at: number): void {
    const depth = this.#paths.depthOf(leaf);
    const whole = 2 ** depth - 1;
    const weight = this.#paths.weights[leaf] as number;
    for (let known = this.#starts[leaf] as number; known < (this.#starts[leaf + 1] as number); known += 1) {
      const other = this.#masks[known] as number;
      // A condition that neither fulfils keeps every mixture of them away from the leaf.
      if ((mask | other) !== whole || mask === other) continue;
      const own = mask & ~other;
      const [a, b] = [bitsOf(own), depth - bitsOf(mask)];
      const share = weight * (this.#maskShares[known] as number);
      // A column that has to be the row's gains, one that has to be the background's loses: Shapley's weights of the orders in which they do so.
      const gain = a === 0 ? 0 : share * orderShare(a - 1, b);
      const loss = b === 0 ? 0 : share * orderShare(b - 1, a);
      for (let column = 0; column < depth; column += 1) {
        const bit = 1 << column;
        if ((own & bit) !== 0) into[at + column] = (into[at + column] as number) + gain;
        else if ((mask & bit) === 0) into[at + column] = (into[at + column] as number) - loss;
      }
    }
  }
}

const FACTORIALS = Float64Array.from({ length: MOST_COLUMNS + 1 }, (_, n) => {
  let product = 1;
  for (let factor = 2; factor <= n; factor += 1) product *= factor;
  return product;
});

/** a! b! / (a + b + 1)!: of all orders of a + b + 1 columns, those in which one comes after a others and before the other b. */
const orderShare = (a: number, b: number): number =>
  ((FACTORIALS[a] as number) * (FACTORIALS[b] as number)) / (FACTORIALS[a + b + 1] as number);

function bitsOf(mask: number): number {
  let count = 0;
  for (let left = mask; left !== 0; left &= left - 1) count += 1;
  return count;
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
