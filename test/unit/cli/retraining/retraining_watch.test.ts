import { beforeEach, expect, test } from '@jest/globals';
import { retrainingSchema } from '#cli/project/config/retraining_config';
import { RetrainingWatch } from '#cli/retraining/retraining_watch';
import { retrainingWorkflow } from '#cli/retraining/retraining_workflow';
import { Random } from '#kernel/random';
import { processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { JudgedPrediction } from '#pipelines/transforms/drift/drift_store';
import type { ModelVersion } from '#registry/model_registry';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { RunRefusedError } from '#workflows/errors';
import type { NewRun } from '#workflows/store/workflow_store';

const NOW = Date.UTC(2026, 10, 29);
const settings = retrainingSchema.parse({
  ...{ minLabels: 1_000, triggers: { performance: { drop: 0.1 }, estimated: { drop: 0.1 } } },
});
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

let random: Random;
let judged: JudgedPrediction[];
let labels: number;
let started: NewRun[];
let newest: number[];
let versions: Partial<ModelVersion>[];
/** Reads of the version's first scores. */
let firstReads: number;
beforeEach(() => {
  random = new Random(3);
  [judged, labels, started, newest, firstReads] = [[], 5_000, [], [], 0];
  versions = [{ version: 4, stage: 'Production', metrics: { auc: 0.9 }, createdAtMs: NOW - 1_000 }];
});

const row = (p: number, isFraud: boolean): JudgedPrediction => ({
  ...{ model: 'fraud', version: 4, prediction: p >= 0.5 ? 'fraud' : 'honest', value: null },
  ...{ probabilities: { honest: 1 - p, fraud: p }, label: isFraud ? 'fraud' : 'honest' },
});
/** Outcomes of a model that knows the pattern, or knew another one. */
const outcomes = (rows: number, knows: boolean): JudgedPrediction[] =>
  Array.from({ length: rows }, () => {
    const p = sigmoid(4 * random.normal());
    return row(p, random.next() < (knows ? p : 0.5));
  });

function watchOf() {
  const metrics = createMetricsRegistry({ process: false });
  const watch = new RetrainingWatch({
    offline: {
      drift: {
        list: async () => [],
        judgedPredictions: async () => judged,
        scores: async (_: unknown, { order, limit }: { readonly order: string; readonly limit: number }) => {
          if (order === 'newest') return newest;
          firstReads += 1;
          return firstReads === 1 ? easy() : scoresOf(4, limit);
        },
      },
      sql: { query: async () => [{ n: labels }] },
    } as never,
    workflows: {
      startRun: async (run) => {
        if (started.length > 0) throw new RunRefusedError(run.workflow, 'another is active');
        started.push(run);
        return true;
      },
    },
    registry: {
      resolve: async () => versions.find(({ stage }) => stage === 'Production'),
      listVersions: async () => versions,
    } as never,
    catalog: new WorkflowCatalog(
      [retrainingWorkflow('fraud', { settings, hasCanary: true, hasBatchViews: false, isNotified: false })],
      [],
    ),
    project: {
      ...{ retraining: { fraud: settings }, promotion: {}, training: { fraud: { labels: { source: 'desk' } } } },
      monitor: { minLabels: 500, models: {} },
    } as never,
    ...{ clock: { now: () => processingTime(NOW) }, log: silentLogger, metrics },
  });
  const shown = async (name: string) =>
    (await metrics.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`));
  return { watch, shown };
}
const scoresOf = (spread: number, rows = 2_000): number[] =>
  Array.from({ length: rows }, () => sigmoid(spread * random.normal()));
const easy = (): number[] => scoresOf(4);

test('ten triggers in a minute start one run, which says why; the others are counted as refused', async () => {
  judged = outcomes(2_000, false);
  const { watch, shown } = watchOf();
  const runs: (string | undefined)[] = [];
  for (let look = 0; look < 10; look += 1) runs.push(await watch.look('fraud', settings));
  expect(runs).toEqual(['retrain_fraud@2026-11-29T00:00:00Z', ...Array(9).fill(undefined)]);
  expect(started).toHaveLength(1);
  expect(started[0]).toMatchObject({
    ...{ workflow: 'retrain_fraud', origin: { kind: 'trigger', by: 'performance' } },
    input: {
      trigger: {
        kind: 'performance',
        detail: expect.stringMatching(/^auc 0\.\d+ by 2000 outcomes; version 4 was judged at 0.9000$/),
      },
    },
  });
  expect(await shown('retraining_triggers_total')).toEqual([
    'retraining_triggers_total{model="fraud",trigger="performance",outcome="started"} 1',
    'retraining_triggers_total{model="fraud",trigger="performance",outcome="refused"} 9',
  ]);
});

test('without change nothing starts, in 100 windows of outcomes and predictions', async () => {
  const { watch } = watchOf();
  for (let window = 0; window < 100; window += 1) {
    judged = outcomes(1_000, true);
    newest = easy();
    expect(await watch.look('fraud', settings)).toBeUndefined();
  }
  expect(started).toEqual([]);
});

test('without outcomes the estimate starts a run when inputs are harder to judge, and is shown', async () => {
  newest = scoresOf(0.7);
  const { watch, shown } = watchOf();
  expect(await watch.look('fraud', settings)).toBe('retrain_fraud@2026-11-29T00:00:00Z');
  expect(started[0]?.origin).toEqual({ kind: 'trigger', by: 'estimated' });
  expect(await shown('model_estimated_metric')).toEqual([
    expect.stringMatching(/^model_estimated_metric\{model="fraud",version="4",metric="auc"\} 0\.6\d+$/),
  ]);
});

test('the first scores of a version are read until there are enough of them, and again for another version', async () => {
  newest = easy();
  const { watch } = watchOf();
  for (let look = 0; look < 5; look += 1) await watch.look('fraud', settings);
  expect(firstReads).toBe(2);
  versions = [{ version: 5, stage: 'Production', metrics: { auc: 0.9 }, createdAtMs: NOW }];
  for (let look = 0; look < 5; look += 1) await watch.look('fraud', settings);
  expect(firstReads).toBe(3);
});

test('with too few labels, or without a version in production, nothing starts', async () => {
  judged = outcomes(2_000, false);
  labels = 999;
  const { watch, shown } = watchOf();
  expect(await watch.look('fraud', settings)).toBeUndefined();
  expect(await shown('retraining_triggers_total')).toEqual([
    'retraining_triggers_total{model="fraud",trigger="performance",outcome="too_few_labels"} 1',
  ]);
  versions = [];
  labels = 5_000;
  expect(await watch.look('fraud', settings)).toBeUndefined();
  expect(started).toEqual([]);
});

test('the service looks by itself, and a look that fails is tried again', async () => {
  judged = outcomes(2_000, false);
  const { watch } = watchOf();
  const [was] = versions;
  let looks = 0;
  Object.defineProperty(was, 'metrics', {
    get: () => {
      looks += 1;
      if (looks === 1) throw new Error('the registry is away');
      return { auc: 0.9 };
    },
  });
  await watch.start();
  await watch.stop();
  expect(looks).toBe(1);
  expect(started).toEqual([]);
  await watch.start();
  await watch.drain();
  expect(started).toHaveLength(1);
});
