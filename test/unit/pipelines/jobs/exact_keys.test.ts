import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { encodeRows } from '#connectors/files/encode_rows';
import { createFileSystems } from '#connectors/files/file_systems';
import { count } from '#feature_store/definitions/aggregations';
import { serviceOfView } from '#feature_store/definitions/feature_service';
import { featureView } from '#feature_store/definitions/feature_view';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { loadLabels } from '#feature_store/retrieval/labels';
import { eventTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { buildBackfillPipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';

// Ids of 64 bits, as databases have them, in the files of history and of labels: neighbours beyond 2^53 are two.

const folder = mkdtempSync(join(tmpdir(), 'exact-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const IDS = [5n, 9_007_199_254_740_991n, 9_007_199_254_740_992n, 9_007_199_254_740_993n, -9_223_372_036_854_775_808n];

const viewOf = (type: z.ZodType) =>
  featureView({
    ...{ name: 'orders', version: 1, entity: entity('order', ['order_id']), ttl: '30d', owner: 'o', description: 'd' },
    source: eventSource({
      ...{ name: 'orders', eventTypes: ['order'], schemaVersion: 1, eventIdField: 'event_id' },
      timestampField: 'timestamp',
      schema: z.strictObject({ event_id: z.string(), timestamp: z.string(), event_type: z.string(), order_id: type }),
    }),
    features: count({ as: 'n' }).over('24h'),
  });

async function backfill(view: ReturnType<typeof viewOf>, file: string) {
  const written: FeatureRow[] = [];
  const broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(folder, `log-${Math.random()}`), fsync: 'never', segmentBytes: 1e8 },
  );
  await broker.start();
  await broker.ensureTopics([{ name: 'dead', partitions: 1 }]);
  const write = async (rows: readonly FeatureRow[]) => {
    written.push(...rows);
    return { written: rows.length, stale: 0 };
  };
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const deps = {
    ...{ online: { write: async () => ({ written: 0, stale: 0 }) } as unknown as OnlineStore, views: [view], metrics },
    ...{ offline: { features: { write } } as unknown as OfflineDatabase, log: silentLogger, clock: systemClock },
    producer: broker.producer,
  };
  const settings = { outOfOrderMs: 1_000, allowedLatenessMs: 86_400_000, featureEventsTopic: undefined };
  await runEmbedded(
    createPipeline((root) =>
      buildBackfillPipeline(root, deps, { ...settings, deadLetterTopic: 'dead', history: { files: [file] } }),
    ),
  ).finished;
  await broker.stop();
  const keys = written
    .filter(({ values }) => values.n_24h !== 0)
    .map(({ entityKey, values }) => [entityKey, values.n_24h]);
  return { keys: new Map(keys as [string, number][]), dead: await totalOf(metrics.failed) };
}

const NOW = Date.now() - 3_600_000;
const rows = (more: object = {}) =>
  IDS.map((id, index) => ({
    ...{ event_id: `e${index}`, event_type: 'order', timestamp: new Date(NOW + index), order_id: id, ...more },
  }));

test.each([
  ['a number', z.number(), '#'],
  ['a bigint', z.int64(), '#'],
  ['a string', z.string(), ''],
])(
  'back-fill from Parquet and CSV keys 64-bit ids exactly where the join key is %s; labels have the same keys',
  async (name, type, mark) => {
    const view = viewOf(type);
    const expected = new Map(IDS.map((id) => [`order:${mark}${id}`, 1]));
    const parquet = join(folder, `${name}.parquet`);
    writeFileSync(parquet, encodeRows('parquet', rows()));
    expect(await backfill(view, parquet)).toEqual({ keys: expected, dead: 0 });
    const csv = join(folder, `${name}.csv`);
    writeFileSync(
      csv,
      `event_id,event_type,timestamp,order_id\n${rows()
        .map((row) => `${row.event_id},order,${row.timestamp.toISOString()},${row.order_id}`)
        .join('\n')}\n`,
    );
    expect(await backfill(view, csv)).toEqual({ keys: expected, dead: 0 });

    const range = { from: eventTime(0), to: eventTime(Date.now()) };
    for (const column of ['order_id', 'entity_key']) {
      for (const format of ['parquet', 'csv'] as const) {
        const file = join(folder, `labels-${name}-${column}.${format}`);
        const labels = rows().map(({ timestamp, order_id: id }, index) => ({
          ...{
            label_id: `${index}`,
            [column]: id,
            event_time: format === 'csv' ? timestamp.toISOString() : timestamp,
            label: 1,
          },
        }));
        writeFileSync(file, encodeRows(format, labels));
        const loaded = await loadLabels(
          { offline: {} as OfflineDatabase, fileSystemOf: createFileSystems() },
          { file },
          serviceOfView(view),
          range,
        );
        expect(loaded.map(({ entityKey }) => entityKey)).toEqual([...expected.keys()]);
      }
    }
  },
);

test('a number of JSON beyond 2^53 identifies no entity: it is refused, not taken for its neighbour', async () => {
  const file = join(folder, 'inexact.jsonl');
  const line = (id: string, index: number) =>
    `{"event_id":"e${index}","event_type":"order","timestamp":"${new Date(NOW + index).toISOString()}","order_id":${id}}\n`;
  writeFileSync(file, ['9007199254740993', '9007199254740992', '5', '1e400'].map(line).join(''));
  expect(await backfill(viewOf(z.number()), file)).toEqual({ keys: new Map([['order:#5', 1]]), dead: 3 });
});
