import { type RowValues, scoreWidth } from '#registry/model_package';
import { InvalidRequestError, TensorsOnlyError } from '../errors.ts';
import type { ActiveModel } from '../models/model_slot.ts';
import { kernelShap } from './kernel_shap.ts';

/** What each column has added to one output of a row. With the base value they add up to the value. */
export interface OutputExplanation {
  /** A class, or "value". */
  readonly output: string;
  readonly base_value: number;
  readonly value: number;
  readonly contributions: Readonly<Record<string, number>>;
}

export interface RowExplanation {
  /** `tree_shap` is exact; `kernel_shap` an estimate against the model's examples. */
  readonly method: 'tree_shap' | 'kernel_shap';
  /** Of the values explained: log-odds are what becomes a probability of two classes. */
  readonly scale: 'log_odds' | 'probability' | 'margin' | 'value';
  readonly outputs: readonly OutputExplanation[];
}

/** Explains predictions: exactly where the model is trees that know their training rows, otherwise by trying coalitions of columns. */
export class Explainer {
  readonly #evaluations: number;

  /** @param settings - rows that a model may be run on for one explanation */
  constructor(settings: { readonly evaluations: number }) {
    this.#evaluations = settings.evaluations;
  }

  /**
   * @param input - FP32 [columns]: one encoded row
   * @throws {@link InvalidRequestError} when the model has neither covers nor examples
   */
  async explain({ model, name }: ActiveModel, input: RowValues): Promise<RowExplanation> {
    const { task, onnx } = model.signature;
    if (model.rowsProblem !== undefined) throw new TensorsOnlyError(name, model.rowsProblem);
    const exact = model.explainer;
    if (exact !== undefined) {
      const { base, contributions } = exact.explain(input as Float32Array);
      const scale =
        task === 'binary_classification' ? 'log_odds' : task === 'multiclass_classification' ? 'margin' : 'value';
      return { method: 'tree_shap', scale, outputs: this.#outputs(model, base, contributions) };
    }
    const { background } = model;
    if (background.length === 0) {
      throw new InvalidRequestError(
        `model "${name}" cannot be explained: its trees do not say how many training rows came through their nodes, and it has no examples to compare with`,
      );
    }
    const width = scoreWidth(model.signature);
    if (width === 0) throw new InvalidRequestError(`model "${name}" cannot be explained: it gives labels alone`);
    const run = async (rows: RowValues, count: number): Promise<RowValues> => {
      const output = await model.run(rows, count);
      return onnx.label === undefined ? output : withoutLabels(output, count, width);
    };
    const { base, contributions } = await kernelShap(run, {
      ...{ row: input, background, width, evaluations: this.#evaluations },
    });
    const isProbability = task === 'binary_classification' || task === 'multiclass_classification';
    return {
      method: 'kernel_shap',
      scale: isProbability ? 'probability' : 'value',
      outputs: this.#outputs(model, base, contributions),
    };
  }

  #outputs(
    { signature, encoder }: ActiveModel['model'],
    base: Float64Array,
    contributions: Float64Array,
  ): readonly OutputExplanation[] {
    const { width } = encoder;
    const { task, classes, inputs } = signature;
    // Of two classes the second says all.
    const isBinary = task === 'binary_classification';
    const from = isBinary ? base.length - 1 : 0;
    return Array.from(base.subarray(from), (baseValue, at): OutputExplanation => {
      const own = contributions.subarray((from + at) * width, (from + at + 1) * width);
      const output = isBinary || task === 'anomaly_detection' ? classes[1] : classes[at];
      return {
        output: output ?? 'value',
        base_value: baseValue,
        value: own.reduce((sum, part) => sum + part, baseValue),
        contributions: Object.fromEntries(inputs.map(({ name }, column) => [name, own[column] as number])),
      };
    });
  }
}

/** The scores of rows whose last value is a label. */
function withoutLabels(output: RowValues, rows: number, width: number): Float64Array {
  const scores = new Float64Array(rows * width);
  for (let row = 0; row < rows; row += 1) {
    scores.set(output.subarray(row * (width + 1), row * (width + 1) + width), row * width);
  }
  return scores;
}
