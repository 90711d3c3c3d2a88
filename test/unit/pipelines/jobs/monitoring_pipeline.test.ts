import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type DeadLetter, DeadLetterQueue } from '#connectors/dead_letters/dead_letters';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { StatisticsOf } from '#feature_store/aggregation/statistics';
import { Random } from '#kernel/random';
import { eventTime, HOUR_MS, systemClock } from '#kernel/time';
import type { DriftReport } from '#monitoring/drift/drift_report';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildMonitoringPipeline } from '#pipelines/jobs/monitoring_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import type { DriftStore } from '#pipelines/transforms/drift/drift_store';
import type { ModelWatch } from '#pipelines/transforms/drift/watch_settings';
import { keyOf } from '../../../support/entity_keys.ts';

const TOPIC = 'predictions';
const DEAD_LETTERS = 'dead-letter-queue';
const START = Date.UTC(2026, 0, 1);
const WINDOWS = 100;
const ROWS = 300;

let directory: string;
let broker: DiskLog;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'monitoring-'));
  broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory, fsync: 'never', segmentBytes: 1e8 },
  );
  await broker.start();
  await broker.ensureTopics([TOPIC, DEAD_LETTERS].map((name) => ({ name, partitions: 1 })));
});
afterEach(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
});

const KINDS = ['a', 'a', 'a', 'b', 'b', 'c'];
const featuresOf = (random: Random, shift: number) => ({
  amount: Math.exp(random.normal() + shift),
  count: Math.floor(random.next() ** 3 * 10),
  kind: KINDS[Math.floor(random.next() * KINDS.length)] as string,
  hour_of_day: 3,
});

function trainingColumns(random: Random) {
  const statistics = new StatisticsOf(['amount', 'count', 'kind', 'hour_of_day']);
  const into = statistics.createAccumulator();
  for (let row = 0; row < 5_000; row += 1) {
    const values = { ...featuresOf(random, 0), hour_of_day: row % 24 };
    statistics.addInput(into, { entityKey: keyOf(`e${row}`), eventTime: eventTime(row), values });
  }
  return Object.fromEntries(statistics.extractOutput(into));
}

/** @param shiftOf - of the amounts, by window, in standard deviations of their logarithm */
async function predict(random: Random, windows: number, shiftOf: (window: number) => number): Promise<void> {
  for (let window = 0; window < windows; window += 1) {
    const records = Array.from({ length: ROWS }, (_, row) => {
      const features = featuresOf(random, shiftOf(window));
      const fraud = 1 / (1 + Math.exp(2 - Math.log(features.amount)));
      const logged = {
        ...{ requestId: `r${window}-${row}`, rowIndex: 0, modelName: 'm', modelVersion: 3, features },
        ...{ prediction: fraud > 0.5 ? 'bad' : 'good', probabilities: { good: 1 - fraud, bad: fraud } },
        predictedAtMs: START + window * HOUR_MS + (row * HOUR_MS) / ROWS,
      };
      return { key: 'k', value: JSON.stringify(logged) };
    });
    await broker.producer.send(TOPIC, records);
  }
}

/** Records that are no predictions, each in its own way. */
const POISON = [
  'no prediction',
  'null',
  '[]',
  '7',
  '{"modelName": 3}',
  '{"modelName":"m","modelVersion":1.5,"predictedAtMs":1}',
  '{"modelName":"m","modelVersion":3,"predictedAtMs":1e300}',
  '{"modelName":"w\\u0000b","modelVersion":3,"predictedAtMs":1}',
  '{"modelName":"m","modelVersion":3,"predictedAtMs":1,"features":"x"}',
  '{"modelName":"m","modelVersion":3,"predictedAtMs":1,"probabilities":[1]}',
];

async function monitor(random: Random, models: Readonly<Record<string, ModelWatch>> = {}) {
  const reports = new Map<number, DriftReport>();
  const drift = {
    async write(written: readonly DriftReport[]) {
      for (const report of written) reports.set((report.windowStartMs - START) / HOUR_MS, report);
    },
  } as unknown as DriftStore;
  const reference = { columns: trainingColumns(random), metrics: {} };
  const registry = createMetricsRegistry({ process: false });
  const deps = { broker, drift, log: silentLogger, registry, referenceOf: async () => reference };
  const thresholds = { psi: 0.2, cramersV: 0.1, significance: 0.001, nullShare: 0.1 };
  const settings = {
    ...{
      predictionsTopic: TOPIC,
      deadLetterTopic: DEAD_LETTERS,
      group: 'monitoring',
      everyMs: 1_000,
      idleAfterMs: 100,
      bounded: true,
    },
    ...{ windowMs: HOUR_MS, minRows: 200, ignore: ['hour_of_day'], thresholds, performanceMs: HOUR_MS, minLabels: 50 },
    models,
  };
  const pipeline = createPipeline((root) => buildMonitoringPipeline(root, deps, settings));
  // As after a bundle that failed: the graph is built again, with the metrics that the registry has already.
  pipeline.rebuild?.();
  const handle = runEmbedded(pipeline, { log: silentLogger, clock: systemClock });
  await handle.finished;
  return { reports, metrics: await registry.metrics() };
}

const alarmsOf = (report: DriftReport | undefined): readonly string[] =>
  (report?.columns ?? []).filter(({ drifted }) => drifted).map(({ column }) => column);

test('a hundred windows like the training set raise no alarm', async () => {
  const random = new Random(1);
  await predict(random, WINDOWS, () => 0);
  await broker.producer.send(
    TOPIC,
    POISON.map((value) => ({ value })),
  );
  const { reports } = await monitor(random);
  expect(reports.size).toBe(WINDOWS);
  const letters: DeadLetter[] = [];
  for await (const { letter } of new DeadLetterQueue(broker, DEAD_LETTERS).list()) letters.push(letter as DeadLetter);
  expect(letters.map(({ payload }) => payload).sort()).toEqual([...POISON].sort());
  expect(new Set(letters.map(({ stage }) => stage))).toEqual(new Set(['monitor.decode']));
  const alarms = [...reports.values()].filter((report) => alarmsOf(report).length > 0).length;
  process.stdout.write(`false positives: ${alarms} of ${WINDOWS} windows, a rate of ${alarms / WINDOWS}\n`);
  expect(alarms).toBe(0);
}, 120_000);

test('inputs that shift are found in the window in which they do, with the scores that follow; and it is over when they are as before', async () => {
  const random = new Random(2);
  await predict(random, 12, (window) => (window >= 5 && window < 8 ? 2 : 0));
  const { reports, metrics } = await monitor(random);
  for (let window = 0; window < 12; window += 1) {
    const isShifted = window >= 5 && window < 8;
    expect([window, alarmsOf(reports.get(window))]).toEqual([window, isShifted ? ['amount', 'prediction'] : []]);
  }
  expect(reports.get(6)).toMatchObject({ model: 'm', version: 3, rows: ROWS });
  expect(reports.get(0)?.columns.map(({ column }) => column)).toEqual(['amount', 'count', 'kind']);
  expect(metrics).toContain('drift_detected{model="m",version="3",kind="feature",column="amount"} 0');
  expect(metrics).toMatch(/drift_statistic\{model="m",version="3",column="kind",test="cramers_v"\} 0\.0/);
}, 60_000);

test.each([
  ['a column of its own to leave out', { ignore: ['amount'] }, [['prediction'], ['count', 'kind', 'hour_of_day']]],
  ['thresholds of its own', { thresholds: { psi: 100 } }, [[], ['amount', 'count', 'kind']]],
  ['more rows than a window has', { minRows: ROWS + 1 }, undefined],
])(
  'a model is watched with %s',
  async (_, watch, want) => {
    const random = new Random(3);
    await predict(random, 3, (window) => (window === 2 ? 2 : 0));
    const { reports } = await monitor(random, { m: watch, other: { minRows: 50 } });
    const report = reports.get(2);
    const features = report?.columns.filter(({ kind }) => kind === 'feature').map(({ column }) => column);
    const alarms = alarmsOf(report).filter((column) => column !== 'hour_of_day');
    expect(report === undefined ? undefined : [alarms, features]).toEqual(want);
  },
  60_000,
);
