import { type ModelSignature, type RowValues, scoreWidth } from '#registry/packages/model_package';
import type { TextNumbers } from '#registry/packages/signature_encoder';

/** Scores closer to one another may come out the other way round when they are added up in another order. */
const TIE = 1e-5;

/**
 * Labels of trees whose graph gives the most probable class as well. The kernel beside onnxruntime computes scores alone: their labels are known, except
 * where two scores are so close that only the graph itself can say which it takes.
 */
export class ClassLabels {
  readonly #width: number;
  /** As they stand in an output. */
  readonly #labels: readonly number[];

  private constructor(labels: readonly number[]) {
    this.#labels = labels;
    this.#width = labels.length;
  }

  /** @returns undefined where the graph has no label, or classes have no number that is certain */
  static of(signature: ModelSignature, texts: TextNumbers | undefined): ClassLabels | undefined {
    const { onnx, classes } = signature;
    if (onnx.label === undefined || classes.length < 2 || classes.length !== scoreWidth(signature)) return undefined;
    if (signature.task === 'values') return undefined;
    const labels = classes.map((name) => (texts === undefined ? Number(name) : texts.numberOf(name)));
    return labels.every(Number.isSafeInteger) ? new ClassLabels(labels) : undefined;
  }

  /** @param scores - [rows, classes]. @returns [rows, classes and label]; undefined where two scores are as good as equal */
  label(scores: RowValues, rows: number): Float64Array | undefined {
    const width = this.#width;
    const labelled = new Float64Array(rows * (width + 1));
    for (let row = 0; row < rows; row += 1) {
      const from = row * width;
      const to = row * (width + 1);
      let best = 0;
      let second = Number.NEGATIVE_INFINITY;
      for (let index = 0; index < width; index += 1) {
        const score = scores[from + index] as number;
        labelled[to + index] = score;
        if (index === 0) continue;
        if (score > (scores[from + best] as number)) {
          second = scores[from + best] as number;
          best = index;
        } else if (score > second) second = score;
      }
      if (!((scores[from + best] as number) - second > TIE)) return undefined;
      labelled[to + width] = this.#labels[best] as number;
    }
    return labelled;
  }

  /** Returns the scores of an output with labels. */
  scoresOf(output: RowValues, rows: number): Float64Array {
    const width = this.#width;
    const scores = new Float64Array(rows * width);
    for (let row = 0; row < rows; row += 1) {
      scores.set(output.subarray(row * (width + 1), row * (width + 1) + width), row * width);
    }
    return scores;
  }

  /** Whether the labels of an output are those of its scores, but for ties. */
  agree(output: RowValues): boolean {
    const rows = output.length / (this.#width + 1);
    for (let row = 0; row < rows; row += 1) {
      const own = output.subarray(row * (this.#width + 1), (row + 1) * (this.#width + 1));
      const labelled = this.label(own.subarray(0, this.#width), 1);
      if (labelled !== undefined && labelled[this.#width] !== own[this.#width]) return false;
    }
    return true;
  }
}
