import { setImmediate } from 'node:timers/promises';
import { nextAbove, type TreeEnsemble } from '#registry/onnx/tree_ensemble';

/** Conditions of all paths together; more take too much memory. */
const MOST_CONDITIONS = 20_000_000;
/** Columns of a path at most: what a row fulfils of them is the bits of one integer. */
export const MOST_COLUMNS = 30;
/** Requests are answered after so long, ms. */
const PIECE_MS = 5;

/** What a path asks of one column: `low` <= value < `high` and none of `excluded`, or missing, if `takesMissing`. */
interface Condition {
  readonly column: number;
  readonly low: number;
  readonly high: number;
  readonly excluded: readonly number[];
  readonly takesMissing: boolean;
  /** Of the training rows that arrive at the splits of this column, how many continue towards the leaf; NaN without covers. */
  readonly share: number;
}

/** The ways to the leaves of trees: for each column that is asked on one, which of its values come there. */
export class LeafPaths {
  readonly count: number;
  /** Where the conditions of each path begin; at last, where they end. */
  readonly starts: Int32Array;
  readonly columns: Int32Array;
  readonly shares: Float64Array;
  /** What a leaf adds, and to which output. */
  readonly weights: Float64Array;
  readonly outputs: Int32Array;
  readonly #low: Float32Array;
  readonly #high: Float32Array;
  readonly #takesMissing: Uint8Array;
  /** By condition; of splits of categories alone. */
  readonly #excluded: ReadonlyMap<number, readonly number[]>;

  private constructor(paths: readonly Path[], conditions: number) {
    this.count = paths.length;
    this.starts = new Int32Array(paths.length + 1);
    this.columns = new Int32Array(conditions);
    this.shares = new Float64Array(conditions);
    this.weights = Float64Array.from(paths, ({ weight }) => weight);
    this.outputs = Int32Array.from(paths, ({ output }) => output);
    this.#low = new Float32Array(conditions);
    this.#high = new Float32Array(conditions);
    this.#takesMissing = new Uint8Array(conditions);
    const allExcluded = new Map<number, readonly number[]>();
    let at = 0;
    for (const [leaf, path] of paths.entries()) {
      for (const { column, low, high, excluded, takesMissing, share } of path.conditions) {
        this.columns[at] = column;
        this.shares[at] = share;
        this.#low[at] = low;
        this.#high[at] = high;
        this.#takesMissing[at] = Number(takesMissing);
        if (excluded.length > 0) allExcluded.set(at, excluded);
        at += 1;
      }
      this.starts[leaf + 1] = at;
    }
    this.#excluded = allExcluded;
  }

  /** Walks all trees; requests are answered meanwhile. @returns undefined for trees that are too large, or too deep */
  static async of(ensemble: TreeEnsemble): Promise<LeafPaths | undefined> {
    const paths: Path[] = [];
    let conditions = 0;
    let sinceMs = performance.now();
    for (const root of ensemble.roots) {
      for (const path of pathsOf(ensemble, root)) {
        conditions += path.conditions.length;
        if (path.conditions.length > MOST_COLUMNS || conditions > MOST_CONDITIONS) return undefined;
        paths.push(path);
      }
      if (performance.now() - sinceMs < PIECE_MS) continue;
      await setImmediate();
      sinceMs = performance.now();
    }
    return new LeafPaths(paths, conditions);
  }

  depthOf(leaf: number): number {
    return (this.starts[leaf + 1] as number) - (this.starts[leaf] as number);
  }

  /**
   * Returns which conditions of a path a row fulfils, bit by bit.
   *
   * @param rows - FP32 [rows, columns]
   * @param from - where the row begins
   */
  fulfilled(leaf: number, rows: Float32Array, from = 0): number {
    const begin = this.starts[leaf] as number;
    const end = this.starts[leaf + 1] as number;
    let mask = 0;
    for (let at = begin; at < end; at += 1) {
      const value = rows[from + (this.columns[at] as number)] as number;
      const isWithin = value >= (this.#low[at] as number) && value < (this.#high[at] as number);
      // What is missing is neither above nor below anything.
      if (isWithin || (this.#takesMissing[at] === 1 && Number.isNaN(value))) mask |= 1 << (at - begin);
    }
    return this.#excluded.size === 0 ? mask : this.#withoutExcluded(mask, begin, end, rows, from);
  }

  #withoutExcluded(mask: number, begin: number, end: number, rows: Float32Array, from: number): number {
    let left = mask;
    for (let at = begin; at < end; at += 1) {
      const excluded = this.#excluded.get(at);
      if (excluded?.includes(rows[from + (this.columns[at] as number)] as number)) left &= ~(1 << (at - begin));
    }
    return left;
  }
}

interface Path {
  readonly conditions: readonly Condition[];
  readonly weight: number;
  readonly output: number;
}

/** Ways to leaves that add nothing are left out. */
function* pathsOf(ensemble: TreeEnsemble, root: number): Generator<Path> {
  const { features, whenLess, whenNot, covers, weights, targets } = ensemble;
  const waiting: { readonly node: number; readonly conditions: readonly Condition[] }[] = [
    { node: root, conditions: [] },
  ];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { node, conditions } = next;
    if (features[node] === -1) {
      const weight = weights[node] as number;
      if (weight !== 0) yield { conditions, weight, output: targets[node] as number };
      continue;
    }
    for (const isLess of [false, true]) {
      const child = (isLess ? whenLess[node] : whenNot[node]) as number;
      const share = covers === undefined ? Number.NaN : (covers[child] as number) / (covers[node] as number);
      waiting.push({ node: child, conditions: narrowed(ensemble, node, isLess, share, conditions) });
    }
  }
}

const ANYTHING = {
  ...{ low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY, excluded: [] },
  ...{ takesMissing: true, share: 1 },
};

/** Conditions with those of one more split: of a column that is among them already, or of another one. */
function narrowed(
  { features, thresholds, missingIsLess, isEqual }: TreeEnsemble,
  node: number,
  isLess: boolean,
  share: number,
  conditions: readonly Condition[],
): readonly Condition[] {
  const column = features[node] as number;
  const threshold = thresholds[node] as number;
  const at = conditions.findIndex((each) => each.column === column);
  const before = conditions[at] ?? { ...ANYTHING, column };
  const isCategory = isEqual?.[node] === 1;
  let { low, high, excluded } = before;
  if (isCategory && !isLess) excluded = [...excluded, threshold];
  else if (isCategory) {
    low = Math.max(low, threshold);
    high = Math.min(high, nextAbove(threshold));
  } else if (isLess) high = Math.min(high, threshold);
  else low = Math.max(low, threshold);
  const takesMissing = before.takesMissing && (missingIsLess[node] === 1) === isLess;
  const next: Condition = { column, low, high, excluded, takesMissing, share: before.share * share };
  return at === -1 ? [...conditions, next] : conditions.with(at, next);
}
