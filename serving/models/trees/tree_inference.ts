import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import { TreeWalker } from './tree_walker.ts';

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
