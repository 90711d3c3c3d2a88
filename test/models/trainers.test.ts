import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { readModelFolder } from '#registry/model_folder';
import type { ModelPackage } from '#registry/packages/model_package';
import { trainInPython } from '#registry/trainers/python_trainer';
import { type TrainingConfig, trainingConfigSchema } from '#registry/trainers/training_config';
import { LoadedModel } from '#serving/models/loaded_model';
import { serveTiny } from '../support/platforms/tiny_serving.ts';
import { type TestColumn, type TestRow, writeTrainingSet } from '../support/training_folder.ts';

// The Python trainers, in the environment they make, on data whose answer is known.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trainers-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const writeSet = (name: string, columns: readonly TestColumn[], rows: readonly TestRow[]) =>
  writeTrainingSet(join(folder, name), columns, rows);

async function train(config: object, trainingSet: string, out: string, trials = 0) {
  const lines: string[] = [];
  const parsed: TrainingConfig = trainingConfigSchema.parse({ service: 'test@1', ...config });
  await trainInPython({
    ...{ config: parsed, trainingSet, out: join(folder, out), trials },
    onLine: (line) => lines.push(line),
  });
  const model = await readModelFolder(join(folder, out));
  // Its golden rows come out of onnxruntime here as they did in Python.
  await (await LoadedModel.load(model.package)).release();
  return { ...model, lines };
}

test('XGBoost: two classes, texts and missing values among the columns; the same seed gives the same bytes', async () => {
  const random = new Random(1);
  const rows = Array.from({ length: 1_500 }, (): TestRow => {
    const [amount, isRisky] = [random.next() * 100, random.next() < 0.3];
    const label = random.next() < (isRisky ? 0.7 : 0.05) + amount / 500 ? 1 : 0;
    return { label, values: [random.next() < 0.05 ? null : amount, isRisky ? 'jewelry' : 'grocery'] };
  });
  const { directory, table } = writeSet(
    'classes',
    [
      ['amount', 'double'],
      ['category', 'string'],
    ],
    rows,
  );
  const config = { trainer: 'xgboost', classes: ['good', 'bad'], params: { n_estimators: 40 } };
  const first = await train(config, directory, 'classes-1');
  expect(first.package.signature).toMatchObject({ task: 'binary_classification', classes: ['good', 'bad'] });
  expect(first.metrics.onnx_difference).toBeLessThan(1e-5);
  const { metrics } = await evaluateModel(first.package, table);
  expect(metrics.auc).toBeGreaterThan(0.75);
  const second = await train(config, directory, 'classes-2');
  expect(Buffer.from(second.package.onnx).equals(Buffer.from(first.package.onnx))).toBe(true);
}, 600_000);

test('XGBoost: regression', async () => {
  const random = new Random(2);
  const rows = Array.from({ length: 1_000 }, (): TestRow => {
    const [a, b] = [random.next() * 10, random.next() * 10];
    return { label: 3 * a - b + random.normal() * 0.1, values: [a, b] };
  });
  const { directory, table } = writeSet(
    'values',
    [
      ['a', 'double'],
      ['b', 'double'],
    ],
    rows,
  );
  const model = await train({ trainer: 'xgboost', task: 'regression' }, directory, 'values-out');
  const { metrics } = await evaluateModel(model.package, table, { naive: 'a' });
  expect(metrics.r2).toBeGreaterThan(0.97);
  expect(metrics.rmse_to_naive).toBeLessThan(0.2);
}, 600_000);

test('K-means finds four groups, the number of them too', async () => {
  const random = new Random(3);
  const centers = [
    [1, 1],
    [1, 60],
    [60, 1],
    [60, 60],
  ] as const;
  const rows = Array.from({ length: 800 }, (_, row): TestRow => {
    const [x, y] = centers[row % 4] as readonly [number, number];
    return { label: row % 4, values: [x + random.normal() * 0.1, y + random.normal() * 0.1] };
  });
  const { directory, table } = writeSet(
    'groups',
    [
      ['x', 'double'],
      ['y', 'double'],
    ],
    rows,
  );
  const model = await train({ trainer: 'kmeans' }, directory, 'groups-out');
  const { metrics, tables } = await evaluateModel(model.package, table, { from: 0 });
  expect(model.package.signature).toMatchObject({
    task: 'clustering',
    classes: ['segment_1', 'segment_2', 'segment_3', 'segment_4'],
  });
  expect(model.metrics.clusters).toBe(4);
  // Every group is a cluster: each has a quarter of the rows, and means of one of the centres.
  expect(metrics.largest_share).toBeCloseTo(0.25, 1);
  const [x, y] = (tables[0]?.rows ?? []).map((row) => row.slice(1).map((value) => Math.round(Number(value) / 60)));
  expect(new Set(x?.map((value, index) => `${value}${y?.[index]}`)).size).toBe(4);
}, 600_000);

test('an isolation forest finds what is unlike the rest', async () => {
  const random = new Random(4);
  const rows = Array.from({ length: 1_200 }, (_, row): TestRow => {
    const isOdd = row % 50 === 0;
    const spread = isOdd ? 8 : 1;
    return { label: isOdd ? 1 : 0, values: [random.normal() * spread + (isOdd ? 6 : 0), random.normal() * spread] };
  });
  const { directory, table } = writeSet(
    'odd',
    [
      ['x', 'double'],
      ['y', 'double'],
    ],
    rows,
  );
  const model = await train({ trainer: 'isolation_forest', params: { contamination: 0.02 } }, directory, 'odd-out');
  expect(model.package.signature).toMatchObject({ task: 'anomaly_detection', classes: ['normal', 'anomaly'] });
  const { metrics } = await evaluateModel(model.package, table);
  expect(metrics.auc).toBeGreaterThan(0.95);
  expect(metrics.recall).toBeGreaterThan(0.5);
}, 600_000);

test('an LSTM learns a wave, far better than the naive forecast; a search goes on where it was stopped', async () => {
  const at = (step: number): number => 100 + 20 * Math.sin(step / 3);
  const steps = 12;
  const rows = Array.from(
    { length: 900 },
    (_, row): TestRow => ({
      label: at(row + steps),
      values:
        row === 5
          ? Array.from({ length: steps }, () => null)
          : Array.from({ length: steps }, (__, step) => at(row + step)),
    }),
  );
  const columns = Array.from({ length: steps }, (_, step) => [`before_${steps - 1 - step}`, 'double'] as const);
  const { directory, table } = writeSet('wave', columns, rows);
  const config = { trainer: 'lstm', naive: 'before_0', params: { epochs: 25, hidden: 8 } };
  const model = await train(config, directory, 'wave-out');
  expect(model.lines.join('\n')).toContain('1 rows lack a part of the sequence and are left out');
  expect(model.metrics.training_loss_last).toBeLessThan((model.metrics.training_loss_first as number) / 4);
  const { metrics } = await evaluateModel(model.package, table, { naive: 'before_0' });
  expect(metrics.rmse_to_naive).toBeLessThan(0.4);
  const again = await train(config, directory, 'wave-again');
  expect(Buffer.from(again.package.onnx).equals(Buffer.from(model.package.onnx))).toBe(true);

  const quick = { ...config, params: { epochs: 4 } };
  expect((await train(quick, directory, 'wave-search', 2)).trials.map(({ number }) => number)).toEqual([1, 2]);
  const longer = await train(quick, directory, 'wave-search', 3);
  expect(longer.lines).toContain('the search resumes after 2 trials');
  expect(longer.trials).toMatchObject([{ number: 1 }, { number: 2 }, { number: 3 }]);
  expect(longer.trials[2]?.params).toMatchObject({ hidden: expect.stringMatching(/^\d+$/) });
}, 600_000);

test('four of them answer in one process, each its own golden rows, in less than 2 GB', async () => {
  const folders = { fraud: 'classes-1', segments: 'groups-out', anomaly: 'odd-out', stock: 'wave-out' };
  const models = Object.keys(folders).map((name) => ({ name }));
  const packages = new Map<string, ModelPackage>();
  const serving = await serveTiny({ models }, async (registry) => {
    for (const [name, out] of Object.entries(folders)) {
      const { package: trained } = await readModelFolder(join(folder, out));
      packages.set(name, trained);
      await registry.register({ name, package: trained, metrics: {}, params: {} });
      await registry.transition(name, 1, 'Production');
    }
  });
  try {
    for (const [name, { examples, signature }] of packages) {
      expect(examples.length).toBeGreaterThan(0);
      for (const { features, output } of examples) {
        const payload = { model_name: name, features, return_probabilities: true };
        const answer = await serving.service.app.inject({ method: 'POST', url: '/predict', payload });
        expect([answer.statusCode, answer.json().model_name]).toEqual([200, name]);
        const { prediction, probabilities } = answer.json();
        if (name === 'stock') expect(prediction).toBeCloseTo(output[0] as number, 3);
        else expect(signature.classes).toContain(prediction);
        if (name === 'fraud') expect(probabilities.bad).toBeCloseTo(output[1] as number, 5);
      }
    }
    expect(process.memoryUsage.rss()).toBeLessThan(2 * 1024 ** 3);
  } finally {
    await serving.stop();
  }
}, 120_000);

test('what cannot be trained on is said', async () => {
  const rows = Array.from({ length: 300 }, (_, row): TestRow => ({ label: 0, values: [row] }));
  const { directory } = writeSet('flat', [['x', 'double']], rows);
  const refusals: readonly (readonly [object, string])[] = [
    [{ trainer: 'xgboost' }, 'each class, 0 to 1, has to be among'],
    [{ trainer: 'xgboost', params: { depth: 3 } }, "has no parameters ['depth']"],
    [{ trainer: 'kmeans', columns: ['y'] }, "the training set has no columns ['y']; it has ['x']"],
    [{ trainer: 'lstm' }, 'this trainer is for positive ones, such as prices'],
  ];
  for (const [config, reason] of refusals) {
    await expect(train(config, directory, 'flat-out')).rejects.toThrow(reason);
  }
  writeFileSync(
    join(directory, 'data.csv'),
    readFileSync(join(directory, 'data.csv'), 'utf8').replace(',0,7\n', ',1,7\n'),
  );
  await expect(train({ trainer: 'kmeans' }, directory, 'flat-out')).rejects.toThrow('has changed since its manifest');
}, 600_000);
