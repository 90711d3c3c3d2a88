import { setImmediate } from 'node:timers/promises';
import { Random } from '#kernel/random';
import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import type { RowValues } from '#registry/packages/model_package';
import type { TreeInference } from './tree_inference.ts';

type Run = (input: Float32Array, rows: number) => Promise<RowValues>;

const PROBES = 128;
const TOLERANCE = 1e-5;
const TIMED_ROWS = 64;
const TIMED_RUNS = 7;
const WARM_UP_RUNS = 50;

/** Trees walked here beside onnxruntime: whether they agree, and which is faster for how many rows. */
export class TreeTrial {
  readonly #trees: TreeInference;
  readonly #width: number;
  readonly #run: Run;
  /** FP32 [rows, columns] around the thresholds. */
  readonly probes: Float32Array;
  readonly rows = PROBES;

  constructor(trees: TreeInference, ensemble: TreeEnsemble, width: number, run: Run) {
    this.#trees = trees;
    this.#width = width;
    this.#run = run;
    this.probes = probesOf(ensemble, width, PROBES);
  }

  /** Whether both give the same, on rows around the thresholds. */
  async agrees(): Promise<boolean> {
    const expected = await this.#run(this.probes, PROBES);
    const found = this.#trees.run(this.probes, PROBES);
    return areClose(expected, found);
  }

  /** @returns up to how many rows at once the trees are the faster ones */
  async fasterUpTo(): Promise<number> {
    const many = this.probes.subarray(0, TIMED_ROWS * this.#width);
    const one = this.probes.subarray(0, this.#width);
    const treesOfMany = await fastest(async () => this.#trees.run(many, TIMED_ROWS));
    const ofMany = await fastest(() => this.#run(many, TIMED_ROWS));
    const ofOne = await fastest(() => this.#run(one, 1));
    const aTreeRow = treesOfMany / TIMED_ROWS;
    const aRow = Math.max(0, ofMany - ofOne) / (TIMED_ROWS - 1);
    if (aTreeRow <= aRow) return Number.POSITIVE_INFINITY;
    return Math.floor((ofOne - aRow) / (aTreeRow - aRow));
  }

  /** Often enough for V8 to optimise them; requests are answered in between. */
  async warmUp(): Promise<void> {
    for (let run = 0; run < WARM_UP_RUNS; run += 1) {
      this.#trees.run(this.probes, TIMED_ROWS);
      await setImmediate();
    }
  }
}

/** Returns rows with values at thresholds, between them, and missing ones: the same each time. FP32 [rows, width] */
export function probesOf({ features, thresholds }: TreeEnsemble, width: number, rows: number): Float32Array {
  const byColumn = Array.from({ length: width }, (): number[] => [0]);
  for (const [node, column] of features.entries()) {
    const threshold = thresholds[node] as number;
    if (column >= 0 && Number.isFinite(threshold)) byColumn[column]?.push(threshold);
  }
  const random = new Random(1);
  return Float32Array.from({ length: rows * width }, (_, at) => {
    const values = byColumn[at % width] as number[];
    const [a, b] = [random.pick(values), random.pick(values)];
    const kind = random.integer(0, 8);
    if (kind === 0) return Number.NaN;
    return kind < 4 ? a : (a + b) / 2;
  });
}

/** Whether numbers differ by no more than the order of additions explains. */
export const areClose = (expected: RowValues, found: RowValues): boolean =>
  expected.every((value, index) => Math.abs(value - (found[index] as number)) <= TOLERANCE * (1 + Math.abs(value)));

async function fastest(work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < TIMED_RUNS; round += 1) {
    await setImmediate();
    const begin = performance.now();
    await work();
    best = Math.min(best, performance.now() - begin);
  }
  return best;
}
