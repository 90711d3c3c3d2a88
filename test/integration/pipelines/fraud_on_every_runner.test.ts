import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { fraudView } from '#examples/fraud/features/fraud';
import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import { runPortable } from '#pipelines/runner/portable/portable';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { serviceAddress } from '../service_address.ts';

// The main job's pipeline, unchanged, on three runners: the rows must be the same.

const TOPICS = { rawEventsTopic: 'raw-events', featureEventsTopic: 'feature-events', deadLetterTopic: 'dead-letters' };
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 3 * DAY_MS;
const EVENTS = 400;

let directory: string;
let broker: DiskLog;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fraud-runners-'));
  broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  await broker.start();
  await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 1 })));
  const events = Array.from({ length: EVENTS }, (_, index) => ({
    event_id: `e${index}`,
    user_id: `a${index % 7}`,
    event_type: 'transaction',
    timestamp: new Date(START + index * MINUTE_MS).toISOString(),
    account_id: `a${index % 7}`,
    amount: 1 + ((index * 37) % 500),
    currency: 'EUR',
    merchant_id: `m${index % 11}`,
    merchant_category: 'grocery',
    country: 'DE',
    received_at: new Date().toISOString(),
    source: 'gateway',
    schema_version: 1,
  }));
  await broker.producer.send(
    TOPICS.rawEventsTopic,
    events.map((event) => ({ value: JSON.stringify(event) })),
  );
});
afterAll(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Sums kept from event to event and sums of tiles, as after a restart, differ in the last digits. */
const rounded = (values: FeatureRow['values']) =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      typeof value === 'number' ? Number(value.toPrecision(9)) : value,
    ]),
  );

type Run = (construct: Construct) => Promise<unknown>;

async function rowsOf(run: Run): Promise<string[]> {
  const written = new Map<string, FeatureRow>();
  const write = async (rows: readonly FeatureRow[]) => {
    for (const row of rows) written.set(`${row.entityKey}|${row.eventTime}`, row);
    return { written: rows.length, stale: 0 };
  };
  const statistics = new Map<string, number>();
  const writeStatistics = async (found: readonly WindowStatistics[]) => {
    for (const { feature, windowStartMs, statistics: of } of found)
      statistics.set(`${feature} ${windowStartMs}`, of.rows);
  };
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  await run((root) =>
    buildFeaturePipeline(
      root,
      {
        broker,
        online: { write } as unknown as OnlineStore,
        offline: { features: { write }, statistics: { write: writeStatistics } } as unknown as OfflineDatabase,
        views: [fraudView],
        metrics,
        log: silentLogger,
        clock: systemClock,
      },
      {
        ...TOPICS,
        group: 'g',
        outOfOrderMs: MINUTE_MS,
        allowedLatenessMs: 7 * DAY_MS,
        idleAfterMs: 1_000,
        statisticsWindowMs: HOUR_MS,
        bounded: true,
      },
    ),
  );
  // Of each hour, every row that an event made.
  const counted = [...statistics].filter(([key]) => key.startsWith('amount ')).map(([, rows]) => rows);
  expect(counted.reduce((sum, rows) => sum + rows, 0)).toBe(EVENTS);
  return [...written.values()]
    .map(({ entityKey, eventTime, values }) => JSON.stringify([entityKey, eventTime, rounded(values)]))
    .sort();
}

let embedded: string[];
test('on the embedded runner', async () => {
  embedded = await rowsOf((construct) => runEmbedded(createPipeline(construct)).finished);
  // A row an event, and some for what leaves a window.
  expect(embedded.length).toBeGreaterThan(EVENTS);
});

test('on Prism', async () => {
  const jobEndpoint = serviceAddress('TEST_PRISM_JOB_ENDPOINT');
  expect(await rowsOf((construct) => runPortable(construct, { jobEndpoint, jobName: 'fraud' }))).toEqual(embedded);
}, 60_000);

test('on Flink, with checkpoints', async () => {
  const jobEndpoint = serviceAddress('TEST_FLINK_JOB_ENDPOINT');
  const runnerOptions = {
    ...FLINK_DEFAULTS,
    parallelism: 1,
    checkpointing_interval: 500,
    shutdown_sources_after_idle_ms: 500,
    number_of_execution_retries: 0,
  };
  const run: Run = (construct) => runPortable(construct, { jobEndpoint, jobName: 'fraud', runnerOptions });
  expect(await rowsOf(run)).toEqual(embedded);
}, 90_000);
