import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import type { CompiledTrees } from './compiled_trees.ts';

type Run = (input: Float32Array, rows: number) => Promise<Float32Array>;

const PROBES = 256;
const TOLERANCE = 1e-5;
const TIMED_ROWS = 64;
const TIMED_RUNS = 7;
const WARM_UP_ROUNDS = 20;

/**
 * Holds trees in JavaScript against onnxruntime on rows around their own thresholds, and times both.
 *
 * @returns up to how many rows at once the trees are the faster ones; 0: they are not, or do not agree
 */
export async function chooseTrees(
  trees: CompiledTrees,
  ensemble: TreeEnsemble,
  width: number,
  run: Run,
): Promise<number> {
  const probes = probesOf(ensemble, width);
  const [expected, found] = [await run(probes, PROBES), trees.run(probes, PROBES, width)];
  for (let index = 0; index < expected.length; index += 1) {
    const [a, b] = [expected[index] as number, found[index] as number];
    if (!(Math.abs(a - b) <= TOLERANCE * (1 + Math.abs(a)))) return 0;
  }
  // V8 optimises what has run for a while.
  for (let round = 0; round < WARM_UP_ROUNDS; round += 1) trees.run(probes, PROBES, width);
  const many = probes.subarray(0, TIMED_ROWS * width);
  const one = probes.subarray(0, width);
  const treesOfMany = await fastest(async () => trees.run(many, TIMED_ROWS, width));
  const [ofMany, ofOne] = [await fastest(() => run(many, TIMED_ROWS)), await fastest(() => run(one, 1))];
  const aTreeRow = treesOfMany / TIMED_ROWS;
  const aRow = Math.max(0, ofMany - ofOne) / (TIMED_ROWS - 1);
  if (aTreeRow <= aRow) return Number.POSITIVE_INFINITY;
  return Math.floor((ofOne - aRow) / (aTreeRow - aRow));
}

/** Rows with values at thresholds, between them, and missing ones: repeatable. */
function probesOf({ features, thresholds }: TreeEnsemble, width: number): Float32Array {
  const byColumn = Array.from({ length: width }, (): number[] => [0]);
  for (const [node, column] of features.entries()) if (column >= 0) byColumn[column]?.push(thresholds[node] as number);
  let state = 1;
  const below = (limit: number): number => {
    // A linear congruential generator (Numerical Recipes): any spread will do.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  return Float32Array.from({ length: PROBES * width }, (_, at) => {
    const values = byColumn[at % width] as number[];
    const [a, b] = [values[below(values.length)] as number, values[below(values.length)] as number];
    const kind = below(8);
    if (kind === 0) return Number.NaN;
    return kind < 4 ? a : (a + b) / 2;
  });
}

async function fastest(work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < TIMED_RUNS; round += 1) {
    const begin = performance.now();
    await work();
    best = Math.min(best, performance.now() - begin);
  }
  return best;
}
