import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { readTreeEnsemble } from '#registry/onnx/tree_ensemble';
import { runPython, virtualEnvironment } from '#registry/trainers/python_environment';
import { TreeShap } from '#serving/models/trees/tree_shap';

// Exact explanations beside XGBoost's own (pred_contribs), on a model with missing values, as our trainer exports it.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shap-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SCRIPT = `
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import xgboost
import xgboost_trees
from training_set import Rows

random = np.random.default_rng(5)
matrix = random.normal(size=(3000, 8)).astype(np.float32)
matrix[random.random(matrix.shape) < 0.1] = np.nan
score = np.nan_to_num(matrix[:, 0] * matrix[:, 1] + np.sin(matrix[:, 2] * 3) + matrix[:, 3])
classes = {"binary_classification": (score > 0.5).astype(float), "multiclass_classification": np.digitize(score, [-0.5, 0.7]).astype(float), "regression": score}
out = {}
for task, labels in classes.items():
    spec = {"task": "regression" if task == "regression" else "classification", "seed": 3, "classes": ["a", "b"] if task.startswith("binary") else ["a", "b", "c"]}
    params = {**xgboost_trees.DEFAULTS, "n_estimators": 40, "max_depth": 6}
    fitted = xgboost_trees.fit(spec, Rows(matrix, labels), params)
    open(f"{sys.argv[2]}/{task}.onnx", "wb").write(fitted.onnx)
    contributions = fitted.model.get_booster().predict(xgboost.DMatrix(matrix[:200]), pred_contribs=True)
    out[task] = contributions.reshape(200, -1, 9).tolist()
rows = [[None if np.isnan(value) else float(value) for value in row] for row in matrix[:200]]
json.dump({"rows": rows, "contributions": out}, open(f"{sys.argv[2]}/expected.json", "w"))
`;

test('TreeSHAP gives what XGBoost gives, for two classes, three, and a value', async () => {
  const trainers = assetPath('registry/trainers/python');
  const settings = { onLine: () => {} };
  const python = await virtualEnvironment(join(trainers, 'requirements.txt'), settings);
  await runPython(python, ['-c', SCRIPT, trainers, folder], settings);
  const { rows, contributions } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
    rows: (number | null)[][];
    contributions: Record<string, number[][][]>;
  };
  for (const [task, expected] of Object.entries(contributions)) {
    const ensemble = readTreeEnsemble(readFileSync(join(folder, `${task}.onnx`)));
    if (ensemble === undefined) throw new Error(`${task} is trees`);
    const shap = await TreeShap.of(ensemble, new Float32Array(0), 8);
    if (shap === undefined) throw new Error(`${task} has covers`);
    let largest = 0;
    for (const [index, row] of rows.entries()) {
      const found = shap.explain(Float32Array.from(row, (value) => value ?? Number.NaN));
      for (const [output, values] of (expected[index] as number[][]).entries()) {
        for (const [column, value] of values.slice(0, -1).entries()) {
          largest = Math.max(largest, Math.abs((found.contributions[output * 8 + column] as number) - value));
        }
        largest = Math.max(largest, Math.abs((found.base[output] as number) - (values.at(-1) as number)));
      }
    }
    expect({ task, largest }).toEqual({ task, largest: expect.any(Number) });
    expect(largest).toBeLessThan(1e-4);
  }
}, 600_000);
