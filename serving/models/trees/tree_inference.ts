import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import { TREE_WALK_WASM } from '../kernels/tree_walk_wasm.ts';
import { loadKernel, Memory } from '../kernels/web_assembly.ts';

/** The layout that kernels/tree_walk.ts reads. */
const TREES_A_GROUP = 8;
const GROUP_WORDS = 2 + TREES_A_GROUP;
const NODE_WORDS = 4;
const WORD = 4;
/** Rows are brought in by so many: they stay near while all trees go over them. */
const CHUNK_ROWS = 64;
/** 16 bytes each; more would be too far from the processor to be fast. */
const MOST_NODES = 4_000_000;
/** A walk takes as many steps as its tree is deep: of a tree that is one long branch it would be all for one leaf. */
const DEEPEST = 64;

interface Kernel {
  readonly addTrees: (
    ...args: readonly [
      groups: number,
      groupCount: number,
      rows: number,
      rowBytes: number,
      rowCount: number,
      sums: number,
      sumBytes: number,
    ]
  ) => void;
}

const kernel = loadKernel(TREE_WALK_WASM);

/** A tree as it is walked: what its leaves add to one output. */
interface Tree {
  readonly root: number;
  readonly output: number;
  readonly depth: number;
  readonly nodes: number;
}

/**
 * A model of trees computed beside onnxruntime: a call into that alone takes longer than a few rows here. Sums may differ from onnxruntime's in the
 * order of additions.
 */
export class TreeInference {
  readonly outputWidth: number;
  readonly #ensemble: TreeEnsemble;
  readonly #walker: TreeWalker;

  private constructor(ensemble: TreeEnsemble, walker: TreeWalker) {
    this.#ensemble = ensemble;
    this.#walker = walker;
    this.outputWidth = widthOf(ensemble);
  }

  /** @param width - columns of a row. @returns undefined for trees that are too large or too deep */
  static of(ensemble: TreeEnsemble, width: number): TreeInference | undefined {
    const walker = TreeWalker.of(ensemble, width);
    return walker === undefined ? undefined : new TreeInference(ensemble, walker);
  }

  /**
   * @param input - FP32 [rows, columns], row-major
   * @returns FP32 [rows, outputWidth], row-major
   */
  run(input: Float32Array, rows: number): Float32Array {
    const { outputs, base } = this.#ensemble;
    const sums = new Float32Array(rows * outputs);
    if (outputs === 1) sums.fill(base[0] as number);
    else for (let row = 0; row < rows; row += 1) sums.set(base, row * outputs);
    this.#walker.addTo(sums, input, rows);
    return transformed(this.#ensemble, sums, rows);
  }
}

/** Returns how many numbers a row has in the output. */
export const widthOf = ({ isBinary, outputs }: Pick<TreeEnsemble, 'isBinary' | 'outputs'>): number =>
  isBinary ? 2 : outputs;

/**
 * Returns what the sums of trees become: probabilities or values.
 *
 * @param sums - FP32 [rows, outputs], row-major; may be changed
 * @returns FP32 [rows, {@link widthOf}], row-major
 */
export function transformed(
  { isBinary, transform, outputs }: Pick<TreeEnsemble, 'isBinary' | 'transform' | 'outputs'>,
  sums: Float32Array,
  rows: number,
): Float32Array {
  if (isBinary) {
    const probabilities = new Float32Array(rows * 2);
    for (let row = 0; row < rows; row += 1) {
      const probability = transform === 'none' ? (sums[row] as number) : logistic(sums[row] as number);
      probabilities[row * 2] = 1 - probability;
      probabilities[row * 2 + 1] = probability;
    }
    return probabilities;
  }
  if (transform === 'logistic') return sums.map(logistic);
  if (transform === 'softmax') {
    for (let row = 0; row < rows; row += 1) softmax(sums.subarray(row * outputs, (row + 1) * outputs));
  }
  return sums;
}

const logistic = (value: number): number => 1 / (1 + Math.exp(-value));

/** In place. */
function softmax(values: Float32Array): void {
  const largest = values.reduce((a, b) => Math.max(a, b));
  let total = 0;
  for (let index = 0; index < values.length; index += 1) {
    values[index] = Math.exp((values[index] as number) - largest);
    total += values[index] as number;
  }
  for (let index = 0; index < values.length; index += 1) values[index] = (values[index] as number) / total;
}

/**
 * Trees laid out in the memory of a WebAssembly module that walks them. One thread has one; its callers share it, as nothing waits meanwhile.
 */
class TreeWalker {
  readonly #kernel: Kernel;
  readonly #floats: Float32Array;
  readonly #width: number;
  readonly #outputs: number;
  /** Of a row in memory: twice as many when what is missing may go either way. */
  readonly #columns: number;
  readonly #groups: number;
  readonly #groupsAt: number;
  readonly #rowsAt: number;
  readonly #sumsAt: number;

  private constructor(ensemble: TreeEnsemble, width: number, trees: readonly Tree[]) {
    const { outputs } = ensemble;
    const goesBothWays = ensemble.missingIsLess.some((isLess, node) => isLess === 0 && ensemble.features[node] !== -1);
    const groups = grouped(trees);
    this.#width = width;
    this.#outputs = outputs;
    this.#columns = goesBothWays ? 2 * width : width;
    this.#groups = groups.length;
    // Before the first is what stands for no tree.
    const nodes = trees.reduce((sum, tree) => sum + tree.nodes, 1);
    this.#groupsAt = nodes * NODE_WORDS * WORD;
    this.#rowsAt = this.#groupsAt + groups.length * GROUP_WORDS * WORD;
    this.#sumsAt = this.#rowsAt + CHUNK_ROWS * this.#columns * WORD;
    const bytes = this.#sumsAt + CHUNK_ROWS * outputs * WORD;
    const memory = new Memory(bytes);
    this.#kernel = kernel(memory) as Kernel;
    this.#floats = new Float32Array(memory.bytes.buffer);
    this.#layOut(ensemble, groups, new Uint32Array(memory.bytes.buffer));
  }

  /**
   * @param width - columns of a row
   * @returns undefined for what is better walked otherwise, too many nodes, too deep or with splits of categories, and for what is no trees: branches that
   * meet again, columns or outputs that there are not
   */
  static of(ensemble: TreeEnsemble, width: number): TreeWalker | undefined {
    const { features, targets, roots, outputs: count } = ensemble;
    if (ensemble.isEqual !== undefined) return undefined;
    if (features.length > MOST_NODES || features.some((column) => column >= width)) return undefined;
    if (targets.some((output) => output < 0 || output >= count)) return undefined;
    const trees: Tree[] = [];
    for (const root of roots) {
      const measured = measure(ensemble, root);
      if (measured === undefined || measured.depth > DEEPEST) return undefined;
      trees.push(...measured.outputs.map((output) => ({ ...measured, root, output })));
    }
    return new TreeWalker(ensemble, width, trees);
  }

  /**
   * Adds what the trees give to the sums of rows.
   *
   * @param input - FP32 [rows, columns], row-major
   * @param sums - FP32 [rows, outputs], row-major
   */
  addTo(sums: Float32Array, input: Float32Array, rows: number): void {
    const floats = this.#floats;
    const outputs = this.#outputs;
    const sumsAt = this.#sumsAt / WORD;
    for (let from = 0; from < rows; from += CHUNK_ROWS) {
      const count = Math.min(CHUNK_ROWS, rows - from);
      this.#bringIn(input, from, count);
      const end = count * outputs;
      for (let at = 0; at < end; at += 1) floats[sumsAt + at] = sums[from * outputs + at] as number;
      const { addTrees } = this.#kernel;
      addTrees(this.#groupsAt, this.#groups, this.#rowsAt, this.#columns * WORD, count, this.#sumsAt, outputs * WORD);
      for (let at = 0; at < end; at += 1) sums[from * outputs + at] = floats[sumsAt + at] as number;
    }
  }

  #bringIn(input: Float32Array, from: number, count: number): void {
    const floats = this.#floats;
    const width = this.#width;
    let to = this.#rowsAt / WORD;
    if (this.#columns === width) {
      const begin = from * width;
      const end = begin + count * width;
      for (let at = begin; at < end; at += 1, to += 1) floats[to] = input[at] as number;
      return;
    }
    // Beside each row it is once more with infinity for what is missing: that is not less than anything.
    for (let at = from * width; at < (from + count) * width; to += width) {
      for (const end = at + width; at < end; at += 1, to += 1) {
        const value = input[at] as number;
        floats[to] = value;
        floats[to + width] = Number.isNaN(value) ? Number.POSITIVE_INFINITY : value;
      }
    }
  }

  #layOut(ensemble: TreeEnsemble, groups: readonly (readonly Tree[])[], words: Uint32Array): void {
    const floats = this.#floats;
    const width = this.#width;
    const nothing = 0;
    const leaf = (at: number, value: number): void => {
      floats[at] = Number.NaN;
      words[at + 2] = at * WORD;
      floats[at + 3] = value;
    };
    leaf(nothing, 0);
    let next = NODE_WORDS;
    /** Level by level: the two below a split lie side by side. */
    const layTree = ({ root, output }: Tree): number => {
      const begin = next;
      next += NODE_WORDS;
      const waiting: [node: number, at: number][] = [[root, begin]];
      for (const [node, at] of waiting) {
        const column = ensemble.features[node] as number;
        if (column === -1) {
          leaf(at, ensemble.targets[node] === output ? (ensemble.weights[node] as number) : 0);
          continue;
        }
        floats[at] = ensemble.thresholds[node] as number;
        words[at + 1] = (column + (ensemble.missingIsLess[node] === 1 ? 0 : width)) * WORD;
        words[at + 2] = next * WORD;
        waiting.push([ensemble.whenLess[node] as number, next]);
        waiting.push([ensemble.whenNot[node] as number, next + NODE_WORDS]);
        next += 2 * NODE_WORDS;
      }
      return begin * WORD;
    };
    for (const [index, group] of groups.entries()) {
      const at = this.#groupsAt / WORD + index * GROUP_WORDS;
      words[at] = Math.max(...group.map(({ depth }) => depth));
      words[at + 1] = (group[0] as Tree).output * WORD;
      // Where there are no eight, what adds nothing.
      for (let place = 0; place < TREES_A_GROUP; place += 1) {
        const tree = group[place];
        words[at + 2 + place] = tree === undefined ? nothing : layTree(tree);
      }
    }
  }
}

/** Trees of one output, the deepest first: those of a group wait for each other. */
function grouped(trees: readonly Tree[]): readonly (readonly Tree[])[] {
  const sorted = [...trees].sort((a, b) => a.output - b.output || b.depth - a.depth);
  const groups: Tree[][] = [];
  for (const tree of sorted) {
    const last = groups.at(-1);
    if (last === undefined || last.length === TREES_A_GROUP || last[0]?.output !== tree.output) groups.push([tree]);
    else last.push(tree);
  }
  return groups;
}

/** @returns undefined when it is no tree */
function measure({ features, whenLess, whenNot, targets }: TreeEnsemble, root: number) {
  const outputs = new Set<number>();
  let depth = 0;
  const waiting: [node: number, depth: number][] = [[root, 0]];
  for (const [node, at] of waiting) {
    if (waiting.length > features.length) return undefined;
    if (features[node] === -1) {
      outputs.add(targets[node] as number);
      depth = Math.max(depth, at);
    } else waiting.push([whenLess[node] as number, at + 1], [whenNot[node] as number, at + 1]);
  }
  return { depth, nodes: waiting.length, outputs: [...outputs] };
}
