import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import { generateCode } from './tree_code.ts';
import { type AddTrees, walkTable } from './tree_table.ts';

/** From so many rows on generated code is faster; fewer would only drive everything else out of the processor's caches. */
const CODE_FROM_ROWS = 48;

/**
 * Trees computed in JavaScript: for a few rows this takes a fraction of what a call into onnxruntime does. Sums may differ from onnxruntime's in the
 * order of additions.
 */
export class CompiledTrees {
  readonly outputWidth: number;
  readonly #ensemble: TreeEnsemble;
  readonly #few: AddTrees;
  readonly #many: AddTrees;

  private constructor(ensemble: TreeEnsemble, few: AddTrees, many: AddTrees) {
    this.#ensemble = ensemble;
    this.#few = few;
    this.#many = many;
    this.outputWidth = ensemble.isBinary ? 2 : ensemble.outputs;
  }

  /** @param width - columns of a row. @returns undefined for trees that are too large */
  static of(ensemble: TreeEnsemble, width: number): CompiledTrees | undefined {
    const few = walkTable(ensemble, width);
    return few === undefined ? undefined : new CompiledTrees(ensemble, few, generateCode(ensemble, width) ?? few);
  }

  /**
   * @param input - FP32 [rows, columns], row-major
   * @returns FP32 [rows, outputWidth], row-major
   */
  run(input: Float32Array, rows: number): Float32Array {
    const { outputs, base } = this.#ensemble;
    const sums = new Float32Array(rows * outputs);
    for (let row = 0; row < rows; row += 1) sums.set(base, row * outputs);
    if (rows < CODE_FROM_ROWS) this.#few(input, rows, sums);
    else this.#many(input, rows, sums);
    return this.#transformed(sums, rows);
  }

  #transformed(sums: Float32Array, rows: number): Float32Array {
    const { isBinary, transform, outputs } = this.#ensemble;
    if (isBinary) {
      const probabilities = new Float32Array(rows * 2);
      for (let row = 0; row < rows; row += 1) {
        const probability = logistic(sums[row] as number);
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
