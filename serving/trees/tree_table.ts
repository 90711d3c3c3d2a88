import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';

/**
 * Adds up what the trees give a row.
 *
 * @param from - where the row begins in `input`
 * @param to - where its outputs begin in `sums`
 */
export type AddRow = (input: Float32Array, from: number, sums: Float32Array, to: number) => void;

/** Numbers a node takes in the table. */
const STRIDE = 4;
/** Marks a split at which what is missing goes to `whenLess`. */
const MISSING_IS_LESS = 1 << 30;
/** Marks a leaf: what follows is its output. */
const LEAF = 1 << 31;

/**
 * Walks the trees through one table of numbers, nodes in depth-first order: column and marks, threshold (or weight) as FP32 bits, and where to go on.
 */
export function walkTable(ensemble: TreeEnsemble): AddRow {
  const memory = new ArrayBuffer(ensemble.features.length * STRIDE * 4);
  const nodes = new Int32Array(memory);
  const values = new Float32Array(memory);
  let next = 0;
  const place = (node: number): number => {
    const at = next;
    next += STRIDE;
    const feature = ensemble.features[node] as number;
    if (feature === -1) {
      nodes[at] = LEAF | (ensemble.targets[node] as number);
      values[at + 1] = ensemble.weights[node] as number;
      return at;
    }
    nodes[at] = feature | (ensemble.missingIsLess[node] === 1 ? MISSING_IS_LESS : 0);
    values[at + 1] = ensemble.thresholds[node] as number;
    nodes[at + 2] = place(ensemble.whenLess[node] as number);
    nodes[at + 3] = place(ensemble.whenNot[node] as number);
    return at;
  };
  const roots = Int32Array.from(ensemble.roots, place);
  return (input, from, sums, to) => {
    for (let tree = 0; tree < roots.length; tree += 1) {
      let at = roots[tree] as number;
      let head = nodes[at] as number;
      while (head >= 0) {
        const value = input[from + (head & ~MISSING_IS_LESS)] as number;
        const threshold = values[at + 1] as number;
        const isLess = head >= MISSING_IS_LESS ? !(value >= threshold) : value < threshold;
        at = nodes[isLess ? at + 2 : at + 3] as number;
        head = nodes[at] as number;
      }
      const output = to + (head & ~LEAF);
      sums[output] = (sums[output] as number) + (values[at + 1] as number);
    }
  };
}
