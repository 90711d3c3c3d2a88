import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import type { RowValues } from '#registry/packages/model_package';
import { transformed } from './tree_inference.ts';
import { type Explanation, TreeShap } from './tree_shap.ts';
import { areClose, probesOf } from './tree_trial.ts';

const PROBES = 32;

/** Exact explanations of a graph that is trees: what they add up to is what the graph gives. */
export class TreeExplainer {
  readonly perturbation: TreeShap['perturbation'];
  /** What sums become after they are explained. */
  readonly transform: TreeEnsemble['transform'];
  readonly #shap: TreeShap;

  private constructor(ensemble: TreeEnsemble, shap: TreeShap) {
    this.perturbation = shap.perturbation;
    this.transform = ensemble.transform;
    this.#shap = shap;
  }

  /**
   * @param background - FP32 [rows, width]: compared with where the trees have no covers
   * @param run - gives the graph's scores for rows
   * @returns undefined where that cannot be explained exactly: nothing to compare with, too many leaves, or sums that are not what the graph gives
   */
  static async of(
    ensemble: TreeEnsemble,
    background: Float32Array,
    width: number,
    run: (input: Float32Array, rows: number) => Promise<RowValues>,
  ): Promise<TreeExplainer | undefined> {
    const shap = await TreeShap.of(ensemble, background, width);
    if (shap === undefined) return undefined;
    const probes = probesOf(ensemble, width, PROBES);
    const sums = new Float32Array(PROBES * ensemble.outputs);
    for (let row = 0; row < PROBES; row += 1) {
      const { base, contributions } = shap.explain(probes.subarray(row * width, (row + 1) * width));
      for (const [output, expected] of base.entries()) {
        const own = contributions.subarray(output * width, (output + 1) * width);
        sums[row * ensemble.outputs + output] = own.reduce((sum, part) => sum + part, expected);
      }
    }
    if (!areClose(await run(probes, PROBES), transformed(ensemble, sums, PROBES))) return undefined;
    return new TreeExplainer(ensemble, shap);
  }

  /** @param row - FP32 [columns] */
  explain(row: Float32Array): Explanation {
    return this.#shap.explain(row);
  }
}
