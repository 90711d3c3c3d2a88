import { expect, test } from '@jest/globals';
import { Delivery } from '#connectors/delivery';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { FinishBundleContext } from '#pipelines/engine/dofn';
import type { JudgedPrediction } from '#pipelines/transforms/drift/drift_store';
import { JudgePredictions } from '#pipelines/transforms/drift/judge_predictions';
import { liveMetrics } from '#pipelines/transforms/drift/live_metrics';
import { InvalidModelError } from '#registry/errors';

const of = { model: 'fraud', version: 3 };
/** A prediction with the probability of fraud, and what came true. */
const row = (fraud: number, label: string | null, more: Partial<JudgedPrediction> = {}): JudgedPrediction => ({
  ...{ ...of, prediction: fraud >= 0.5 ? 'fraud' : 'honest', probabilities: { honest: 1 - fraud, fraud } },
  ...{ label, value: null, ...more },
});
const value = (prediction: string, came: number | null): JudgedPrediction => ({
  ...{ ...of, prediction, probabilities: null, label: null, value: came },
});

test.each([
  // Of the six pairs of a fraud and an honest one, five are in order.
  {
    name: 'two classes',
    rows: [row(0.9, 'fraud'), row(0.4, 'fraud'), row(0.6, 'honest'), row(0.2, 'honest'), row(0.1, 'honest')],
    want: { accuracy: 3 / 5, auc: 5 / 6 },
  },
  { name: 'ties count half', rows: [row(0.7, 'fraud'), row(0.7, 'honest')], want: { accuracy: 0.5, auc: 0.5 } },
  {
    name: 'a model that is wrong each time',
    rows: [row(0.1, 'fraud'), row(0.9, 'honest')],
    want: { accuracy: 0, auc: 0 },
  },
  { name: 'one class alone has no area', rows: [row(0.9, 'fraud'), row(0.2, 'fraud')], want: { accuracy: 0.5 } },
  {
    name: 'a label of no class counts as wrong, and for no area',
    rows: [row(0.9, 'fraud'), row(0.2, 'honest'), row(0.3, 'other')],
    want: { accuracy: 2 / 3, auc: 1 },
  },
  {
    name: 'classes in the order that a database has them',
    rows: [
      row(0.9, 'fraud', { probabilities: { fraud: 0.9, honest: 0.1 } }),
      row(0.4, 'fraud', { probabilities: { fraud: 0.4, honest: 0.6 } }),
      row(0.6, 'honest', { probabilities: { fraud: 0.6, honest: 0.4 } }),
    ],
    want: { accuracy: 1 / 3, auc: 0.5 },
  },
  {
    name: 'three classes',
    rows: [row(0.9, 'fraud', { probabilities: { a: 0.1, b: 0.1, fraud: 0.8 } }), row(0.2, 'b')],
    want: { accuracy: 0.5 },
  },
  {
    name: 'labels without probabilities',
    rows: [row(0.9, 'fraud', { probabilities: null }), row(0.1, 'fraud', { probabilities: null })],
    want: { accuracy: 0.5 },
  },
  {
    name: 'values',
    rows: [value('10', 13), value('20', 16), value('5', null), value('no number', 1)],
    want: { rmse: Math.sqrt((9 + 16) / 2) },
  },
  { name: 'what came of a classification is no error of it', rows: [row(0.9, null, { value: 100 })], want: {} },
  { name: 'nothing', rows: [], want: {} },
])('live metrics of $name', ({ rows, want }) => {
  const found = liveMetrics(rows);
  expect(Object.keys(found).sort()).toEqual(Object.keys(want).sort());
  for (const [metric, expected] of Object.entries(want)) expect(found[metric]).toBeCloseTo(expected, 12);
});

const NOW = 1_000_000;

/** A judge over these outcomes; its metrics as Prometheus reads them. */
function judgeOf(
  settings: object = {},
  reference: () => Promise<object | undefined> = async () => ({ metrics: { auc: 0.9, logloss: 0.2 } }),
) {
  const outcomes: JudgedPrediction[] = [];
  const asked: number[] = [];
  const registry = createMetricsRegistry({ process: false });
  const judge = new JudgePredictions(
    {
      drift: {
        judgedPredictions: async (sinceMs) => {
          asked.push(sinceMs);
          return outcomes;
        },
      },
      ...{ referenceOf: reference as never, registry, log: silentLogger },
      delivery: new Delivery({ log: silentLogger, metrics: registry }, { target: 'test' }),
    },
    { performanceMs: 5_000, minLabels: 2, ...settings },
  );
  const context = { clock: { now: () => NOW } } as unknown as FinishBundleContext<never>;
  const shown = async (name: string) =>
    (await registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`))
      .sort();
  return { judge, outcomes, asked, shown, finish: () => judge.finishBundle(context) };
}

test('at each tick the metrics of each version stand beside those of its training; without a tick nothing is read', async () => {
  const { judge, outcomes, asked, shown, finish } = judgeOf();
  outcomes.push(row(0.9, 'fraud'), row(0.2, 'honest'), row(0.8, 'fraud', { version: 4 }));
  await finish();
  expect(asked).toEqual([]);
  judge.process();
  await finish();
  await finish();
  expect(asked).toEqual([NOW - 5_000]);
  expect(await shown('model_live_metric')).toEqual([
    'model_live_metric{model="fraud",version="3",metric="accuracy"} 1',
    'model_live_metric{model="fraud",version="3",metric="auc"} 1',
  ]);
  // Of the metrics that both have.
  expect(await shown('model_reference_metric')).toEqual([
    'model_reference_metric{model="fraud",version="3",metric="auc"} 0.9',
  ]);
  expect(await shown('model_judged_predictions')).toEqual([
    'model_judged_predictions{model="fraud",version="3"} 2',
    'model_judged_predictions{model="fraud",version="4"} 1',
  ]);
});

test('a version whose outcomes are too old is no longer shown; a model may need more of them', async () => {
  const { judge, outcomes, shown, finish } = judgeOf({ models: { fraud: { minLabels: 3 } } });
  outcomes.push(
    row(0.9, 'fraud'),
    row(0.2, 'honest'),
    row(0.9, 'fraud', { model: 'churn' }),
    row(0.1, 'honest', { model: 'churn' }),
  );
  judge.process();
  await finish();
  expect(await shown('model_live_metric')).toEqual([
    'model_live_metric{model="churn",version="3",metric="accuracy"} 1',
    'model_live_metric{model="churn",version="3",metric="auc"} 1',
  ]);
  outcomes.length = 0;
  judge.process();
  await finish();
  for (const name of ['model_live_metric', 'model_reference_metric', 'model_judged_predictions'])
    expect(await shown(name)).toEqual([]);
});

test('a version whose training cannot be read is shown without it', async () => {
  const { judge, outcomes, shown, finish } = judgeOf({}, async () => {
    throw new InvalidModelError(['damaged']);
  });
  outcomes.push(row(0.9, 'fraud'), row(0.2, 'honest'));
  judge.process();
  await finish();
  expect(await shown('model_live_metric')).toHaveLength(2);
  expect(await shown('model_reference_metric')).toEqual([]);
});
