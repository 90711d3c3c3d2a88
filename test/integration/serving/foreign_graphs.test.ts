import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { runPython, virtualEnvironment } from '#registry/trainers/python_environment';
import { LoadedModel } from '#serving/models/loaded_model';

// Pipelines of scikit-learn as skl2onnx writes them by default: an input a column, of texts, whole numbers and numbers, and probabilities in maps.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'foreign-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SCRIPT = `
import json, sys
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

random = np.random.default_rng(5)
cities = np.array(["Berlin", "Lyon", "Porto"])[random.integers(0, 3, 600)]
ages = random.integers(18, 90, 600)
incomes = random.normal(40, 10, 600).astype(np.float32)
labels = np.array(["gold", "plain", "silver"])[(ages > 50).astype(int) + (cities == "Lyon").astype(int)]
frame = np.empty((600, 3), dtype=object)
frame[:, 0], frame[:, 1], frame[:, 2] = cities, ages, incomes
columns = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), [0]), ("number", StandardScaler(), [1, 2])])
model = Pipeline([("columns", columns), ("classifier", LogisticRegression(max_iter=500))]).fit(frame, labels)
types = [("city", StringTensorType([None, 1])), ("age", Int64TensorType([None, 1])), ("income", FloatTensorType([None, 1]))]
open(sys.argv[1] + "/model.onnx", "wb").write(convert_sklearn(model, initial_types=types, target_opset=17).SerializeToString())
rows = [{"city": str(c), "age": int(a), "income": float(i)} for c, a, i in zip(cities[:50], ages[:50], incomes[:50])]
json.dump({"rows": rows, "probabilities": model.predict_proba(frame[:50]).tolist(), "classes": model.classes_.tolist()}, open(sys.argv[1] + "/expected.json", "w"))
`;

test('texts, whole numbers and numbers in tensors of their own; probabilities out of ZipMap', async () => {
  const settings = { onLine: () => {} };
  const trainers = assetPath('registry/trainers/python');
  const python = await virtualEnvironment(join(trainers, 'requirements.txt'), settings);
  await runPython(python, ['-c', SCRIPT, folder], settings);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
    rows: Record<string, unknown>[];
    probabilities: number[][];
    classes: string[];
  };
  const { mlmodel } = readMlmodel(Buffer.from('flavors: {onnx: {data: model.onnx}}'));
  const foreign = packageOfForeign(mlmodel, readFileSync(join(folder, 'model.onnx')));
  expect(foreign.signature).toMatchObject({ task: 'multiclass_classification', classes: expected.classes });
  const model = await LoadedModel.load(foreign);
  const { encoder } = model;
  const input = encoder.allocate(expected.rows.length);
  for (const [index, row] of expected.rows.entries()) {
    expect(encoder.encode(row, input, index * encoder.width)).toBeUndefined();
  }
  const output = await model.run(input, expected.rows.length);
  // Behind the probabilities of a row, the place of the class that the graph decides on.
  const { outputWidth: width } = model;
  for (const [index, probabilities] of expected.probabilities.entries()) {
    for (const [column, value] of probabilities.entries()) expect(output[index * width + column]).toBeCloseTo(value, 4);
  }
  // What the graph has no value for is asked for.
  const into = encoder.allocate(1);
  expect(encoder.encode({ city: 7, age: 1.5 }, into, 0)).toEqual([
    { field: 'city', problem: 'must be a string' },
    { field: 'age', problem: 'must be an integer' },
  ]);
  expect(encoder.encode({ income: 2 }, into, 0)).toEqual([
    { field: 'city', problem: 'is required' },
    { field: 'age', problem: 'is required' },
  ]);
  await model.release();
}, 600_000);
