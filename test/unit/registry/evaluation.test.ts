import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { evaluateAnomalies } from '#registry/evaluation/anomalies';
import { evaluateBinary, evaluateMulticlass } from '#registry/evaluation/classification';
import { evaluateClusters } from '#registry/evaluation/clustering';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { evaluateRegression } from '#registry/evaluation/regression';
import { evaluationReport } from '#registry/evaluation/report';
import type { TrainingTable } from '#registry/training_table';
import { tinyModel, tinyScore } from '../../support/platforms/tiny_model.ts';

const probabilities = { threshold: 0.5, areProbabilities: true };

// By scikit-learn 1.9: f1_score, precision_score, recall_score, accuracy_score.
test('a known case of two classes', () => {
  const labels = [0, 0, 1, 1, 0, 1, 0, 1, 1, 0];
  const scores = [0.1, 0.4, 0.35, 0.8, 0.8, 0.9, 0.2, 0.6, 0.45, 0.55];
  const { metrics, tables } = evaluateBinary(labels, scores, probabilities);
  expect(metrics).toMatchObject({ f1: 0.6, precision: 0.6, recall: 0.6, accuracy: 0.6 });
  expect(tables[0]?.rows).toEqual([
    ['positive', 3, 2],
    ['negative', 2, 3],
  ]);
});

const answers = fc
  .array(fc.record({ label: fc.constantFrom(0, 1), score: fc.constantFrom(0, 0.2, 0.4, 0.6, 0.8, 1) }), {
    minLength: 2,
    maxLength: 60,
  })
  .filter((rows) => rows.some(({ label }) => label === 1) && rows.some(({ label }) => label === 0));

test('the best threshold and the cheapest one are those of trying them all', () => {
  fc.assert(
    fc.property(answers, fc.integer({ min: 1, max: 20 }), (rows, miss) => {
      const labels = rows.map(({ label }) => label);
      const scores = rows.map(({ score }) => score);
      const costs = { falsePositive: 1, falseNegative: miss };
      const { metrics } = evaluateBinary(labels, scores, { ...probabilities, costs });
      const tried = [...scores, 2].map((threshold) => {
        const called = rows.filter(({ score }) => score >= threshold);
        const hits = called.filter(({ label }) => label === 1).length;
        const positives = labels.filter((label) => label === 1).length;
        const cost = (called.length - hits + miss * (positives - hits)) / rows.length;
        return { threshold, f1: (2 * hits) / (called.length + positives), cost };
      });
      expect(metrics.best_f1).toBeCloseTo(Math.max(...tried.map(({ f1 }) => f1)), 10);
      expect(metrics.lowest_cost_per_row).toBeCloseTo(Math.min(...tried.map(({ cost }) => cost)), 10);
      const at = tried.find(({ threshold }) => threshold === metrics.best_f1_threshold);
      expect(at?.f1).toBeCloseTo(metrics.best_f1 as number, 10);
    }),
  );
});

test('probabilities that are what they say have no calibration error', () => {
  const labels = Array.from({ length: 1_000 }, (_, row) => (row % 4 === 0 ? 1 : 0));
  const of = (probability: number) =>
    evaluateBinary(
      labels,
      labels.map(() => probability),
      probabilities,
    ).metrics;
  expect(of(0.25).calibration_error).toBeCloseTo(0, 10);
  expect(of(0.75).calibration_error).toBeCloseTo(0.5, 10);
});

test('several classes', () => {
  const outputs = Float32Array.of(0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.5, 0.1, 0.4, 0.2, 0.2, 0.6);
  const { metrics, tables } = evaluateMulticlass([0, 1, 2, 2], outputs, ['a', 'b', 'c']);
  expect(metrics.accuracy).toBe(0.75);
  // scikit-learn: f1_score(average='macro').
  expect(metrics.macro_f1).toBeCloseTo((2 / 3 + 1 + 2 / 3) / 3, 10);
  expect(tables[0]?.rows[2]).toEqual(['c', 1, 0, 1]);
});

// By scikit-learn 1.9: root_mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, r2_score.
test('a known regression, and the naive forecast beside it', () => {
  const actual = [10, 12, 11, 13];
  const before = [9, 10, 12, 11];
  const { metrics } = evaluateRegression(actual, [10.5, 11.5, 11.2, 13.6], { naive: before });
  expect(metrics.rmse).toBeCloseTo(0.4743416490252567, 10);
  expect(metrics.mae).toBeCloseTo(0.45, 10);
  expect(metrics.mape).toBeCloseTo(0.03900058275058273, 10);
  expect(metrics.r2).toBeCloseTo(0.82, 10);
  expect(metrics.naive_rmse).toBeCloseTo(Math.sqrt(10 / 4), 10);
  expect(metrics.directional_accuracy).toBe(1);
  const worse = evaluateRegression(actual, [8, 9, 13, 10], { naive: before }).metrics;
  expect(worse.directional_accuracy).toBe(0);
  expect(worse.rmse_to_naive).toBeGreaterThan(1);
});

test('clusters: how much nearer the own centre is, and what their rows are like', () => {
  const distances = Float32Array.of(1, 4, 2, 2, 3, 0);
  const { metrics, tables } = evaluateClusters(
    distances,
    ['a', 'b'],
    [{ name: 'amount', values: [10, 20, Number.NaN] }],
  );
  expect(metrics.simplified_silhouette).toBeCloseTo((0.75 + 0 + 1) / 3, 10);
  expect(metrics).toMatchObject({ largest_share: 2 / 3, smallest_share: 1 / 3, mean_distance: 1 });
  expect(tables[0]?.rows).toEqual([['amount', 15, '']]);
});

test('anomalies, with labels and without', () => {
  const scores = Float32Array.of(0.3, 0.9, 0.4, 0.8);
  const unlabelled = evaluateAnomalies([0, 0, 0, 0], scores, 0.75, (row) => `row ${row}`);
  expect(unlabelled.metrics).toMatchObject({ anomaly_share: 0.5, threshold: 0.75 });
  expect(unlabelled.tables[0]?.rows[0]?.[1]).toBe('row 1');
  const labelled = evaluateAnomalies([0, 1, 0, 0], scores, 0.75, String);
  expect(labelled.metrics).toMatchObject({ auc: 1, precision: 0.5, recall: 1, anomaly_share: 0.5 });
  expect(labelled.metrics.logloss).toBeUndefined();
});

const table = (rows: number): TrainingTable => ({
  featureService: { service: 'tiny@1' },
  columns: [
    { name: 'amount', type: 'double' },
    { name: 'count', type: 'long' },
    { name: 'weekend', type: 'boolean' },
    { name: 'category', type: 'string' },
    { name: 'of_another_service', type: 'double' },
  ],
  rows: Array.from({ length: rows }, (_, row) => [
    row === rows - 1 ? null : row % 17,
    row % 5,
    row % 2 === 0,
    row % 3 === 0 ? 'a' : 'b',
    row,
  ]),
  labels: Array.from({ length: rows }, (_, row) => (row % 17 > 8 ? 1 : 0)),
  entities: Array.from({ length: rows }, (_, row) => `e${row % 2}`),
});

test('a model is judged through its encoder on the newest fifth; rows that it refuses are counted', async () => {
  const evaluation = await evaluateModel(tinyModel(-4), table(1_000), { slices: ['category', 'entity_key'] });
  expect(evaluation).toMatchObject({ rows: 199, refusedRows: 1 });
  const values = Array.from({ length: 199 }, (_, index) => index + 800);
  const scores = values.map((row) =>
    tinyScore(-4, [row % 17, row % 5, row % 2 === 0 ? 1 : 0, row % 3 === 0 ? 0.1 : 0.7]),
  );
  const direct = evaluateBinary(
    values.map((row) => (row % 17 > 8 ? 1 : 0)),
    scores,
    probabilities,
  );
  expect(evaluation.metrics.auc).toBeCloseTo(direct.metrics.auc as number, 6);
  expect(evaluation.metrics.logloss).toBeCloseTo(direct.metrics.logloss as number, 4);
  expect(evaluation.slices.map(({ column, value, rows }) => [column, value, rows])).toEqual([
    ['category', 'b', 133],
    ['category', 'a', 66],
    ['entity_key', 'e0', 100],
    ['entity_key', 'e1', 99],
  ]);
  const report = await evaluationReport(evaluation, {
    model: 'tiny <1>',
    task: 'binary_classification',
    params: { seed: '7' },
    judgedOn: 'of tiny@1',
  });
  expect(report).toContain('<h1>tiny &lt;1&gt;</h1>');
  expect(report.match(/<svg/g)?.length).toBe(evaluation.charts.length);
  expect(report).toContain('1 more are not taken by the model');
}, 30_000);

test('what cannot be judged is said', async () => {
  await expect(evaluateModel(tinyModel(0), table(20), { slices: ['colour'] })).rejects.toThrow(
    'there is no column colour to judge by; there is entity_key, amount',
  );
  const positive = { ...table(100), labels: new Array<number>(100).fill(1) };
  await expect(evaluateModel(tinyModel(0), positive)).rejects.toThrow('there are 19 positives and 0 negatives');
});
