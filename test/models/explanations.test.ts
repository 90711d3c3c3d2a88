import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import type { RowExplanation } from '#serving/explain/explainer';
import { runWith } from '../support/guests/onnx_clients.ts';
import { serveTiny, type TinyServing } from '../support/platforms/tiny_serving.ts';

// What POST /explain says of models of scikit-learn, LightGBM and XGBoost, beside Python's shap on the library's own model, against the same background:
// the input_example that the model was logged with.

interface Case {
  readonly name: string;
  /** Which explainer of shap. */
  readonly source: string;
  readonly background: readonly (readonly (number | null)[])[];
  readonly rows: readonly (readonly (number | null)[])[];
  /** [rows, columns, outputs] */
  readonly values: readonly (readonly (readonly number[])[])[];
  /** [rows, outputs] */
  readonly base: readonly (readonly number[])[];
}

/** Of the largest value: sums of FP32 in another order, and estimates. */
const TOLERANCES = { tree_shap: 1e-5, kernel_shap: 1e-2 } as const;
const FEWEST = 19;
let folder: string;
let serving: TinyServing;
const cases: Case[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'explanations-'));
  await runWith('models', assetPath('test/support/guests/make_explanations.py'), [folder]);
  const { mlmodel } = readMlmodel(Buffer.from('flavors: {onnx: {data: model.onnx}}'));
  serving = await serveTiny({ onDemand: { memoryMb: 2_000 } }, async (registry) => {
    for (const name of readdirSync(folder)) {
      const own = JSON.parse(readFileSync(join(folder, name, 'case.json'), 'utf8')) as Case;
      const onnx = new Uint8Array(readFileSync(join(folder, name, 'model.onnx')));
      const example = Buffer.from(JSON.stringify({ data: own.background }));
      await registry.register({ name, package: packageOfForeign(mlmodel, onnx, { example }), metrics: {}, params: {} });
      await registry.transition(name, 1, 'Production');
      cases.push(own);
    }
  });
}, 600_000);
afterAll(async () => {
  await serving.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('explanations are those of shap: forests, boosting, categories, missing values, several classes', async () => {
  const lines: string[] = [];
  const failures: string[] = [];
  for (const each of cases) {
    const { method, perturbation, scale, largest } = await compared(each);
    const cells = [each.name.padEnd(32), each.source.padEnd(14), method.padEnd(12), perturbation.padEnd(16)];
    lines.push(`${cells.join(' ')} ${scale.padEnd(12)} ${largest.toExponential(1)}`);
    if (!(largest <= TOLERANCES[method])) failures.push(`${each.name} differs by ${largest}`);
    const isTrees = !each.name.startsWith('imputer');
    if (isTrees !== (method === 'tree_shap')) failures.push(`${each.name} was explained by ${method}`);
  }
  const head = `${'model'.padEnd(32)} shap           method       perturbation     scale        largest difference`;
  process.stdout.write(`\n${head}\n${lines.join('\n')}\n${lines.length} models\n`);
  expect(failures).toEqual([]);
  expect(cases.length).toBeGreaterThanOrEqual(FEWEST);
}, 600_000);

async function compared({ name, rows, values, base }: Case) {
  let largest = 0;
  let found: RowExplanation | undefined;
  const scaleOf = Math.max(...values.flat(2).map(Math.abs), ...base.flat().map(Math.abs));
  for (const [index, row] of rows.entries()) {
    const features = Object.fromEntries(row.map((value, column) => [`f${column}`, value]));
    const { statusCode, payload } = await serving.service.app.inject({
      ...{ method: 'POST', url: '/explain', payload: { model_name: name, features } },
    });
    if (statusCode !== 200) throw new Error(`/explain of ${name} answers ${statusCode}: ${payload}`);
    found = JSON.parse(payload) as RowExplanation;
    const { outputs } = found;
    const all = values[index]?.[0]?.length ?? 0;
    // Of two classes the second says all.
    const from = all - outputs.length;
    if (from !== 0 && !(all === 2 && from === 1)) throw new Error(`${name} has ${outputs.length} outputs, not ${all}`);
    for (const [output, { contributions, base_value }] of outputs.entries()) {
      const differences = Object.values(contributions).map((value, column) => {
        return value - (values[index]?.[column]?.[from + output] as number);
      });
      differences.push(base_value - (base[index]?.[from + output] as number));
      largest = Math.max(largest, ...differences.map(Math.abs));
    }
  }
  if (found === undefined) throw new Error(`${name} has no rows`);
  return { ...found, largest: largest / scaleOf };
}
