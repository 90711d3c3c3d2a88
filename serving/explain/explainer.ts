import { type RowValues, scoreWidth } from '#registry/packages/model_package';
import { ExplanationUnavailableError, TensorsOnlyError } from '../errors.ts';
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
  /** `tree_shap` is exact; `kernel_shap` an estimate. */
  readonly method: 'tree_shap' | 'kernel_shap';
  /** What an unknown column is: as the training rows went at each split, or as in the rows of the model's examples. */
  readonly perturbation: 'tree_path_dependent' | 'interventional';
  /** The examples that were compared with. */
  readonly background_rows?: number;
  /** Of the values explained: log-odds are what becomes a probability of two classes. */
  readonly scale: 'log_odds' | 'probability' | 'margin' | 'value';
  readonly outputs: readonly OutputExplanation[];
}

const SCALES = { logistic: 'log_odds', softmax: 'margin' } as const;

/** Explains predictions: exactly where the model is trees, otherwise by trying coalitions of columns. */
export class Explainer {
  readonly #evaluations: number;

  /** @param settings - rows that a model may be run on for one explanation */
  constructor(settings: { readonly evaluations: number }) {
    this.#evaluations = settings.evaluations;
  }

  /**
   * @param input - [columns]: one encoded row
   * @throws {@link ExplanationUnavailableError} when there is nothing that a row could be compared with
   */
  async explain({ model, name }: Pick<ActiveModel, 'model' | 'name'>, input: RowValues): Promise<RowExplanation> {
    if (model.rowsProblem !== undefined) throw new TensorsOnlyError(name, model.rowsProblem);
    const { background, signature } = model;
    const isProbability = signature.task === 'binary_classification' || signature.task === 'multiclass_classification';
    const plain = isProbability ? 'probability' : 'value';
    const compared = { background_rows: background.length / model.encoder.width };
    const trees = await model.treeExplainer();
    if (trees !== undefined) {
      const { base, contributions } = trees.explain(input as Float32Array);
      const { perturbation, transform } = trees;
      return {
        ...{ method: 'tree_shap', perturbation },
        ...(perturbation === 'interventional' ? compared : {}),
        scale: transform === 'none' ? plain : SCALES[transform],
        outputs: this.#outputs(model, base, contributions),
      };
    }
    const width = scoreWidth(signature);
    if (width === 0) throw new ExplanationUnavailableError(name, 'it gives labels alone');
    if (background.length === 0) {
      throw new ExplanationUnavailableError(
        name,
        'it has no rows to compare with: log it with an input_example, or with trees that have the covers of their nodes',
      );
    }
    const { base, contributions } = await kernelShap((rows, count) => model.scores(rows, count), {
      ...{ row: input, background, width, evaluations: this.#evaluations },
    });
    return {
      ...{ method: 'kernel_shap', perturbation: 'interventional', ...compared, scale: plain },
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
