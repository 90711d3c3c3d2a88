import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { count, sum } from '#feature_store/definitions/aggregations';
import { featureService } from '#feature_store/definitions/feature_service';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { buildTrainingSet } from '#feature_store/retrieval/training_set';
import { DAY_MS, eventTime, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildBackfillPipeline, buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { testView } from '../../support/definitions/test_view.ts';
import { keyOf } from '../../support/entity_keys.ts';

// An event exactly one window old (docs/features.md, "Rules of time"): it counts, and leaves with the minute, quarter of an hour or hour that it lies in; the same in the stream, in
// back-fill, online and in training sets.

const WINDOWS = [
  { window: '1h', windowMs: HOUR_MS, stepMs: MINUTE_MS },
  { window: '24h', windowMs: DAY_MS, stepMs: 15 * MINUTE_MS },
  { window: '7d', windowMs: 7 * DAY_MS, stepMs: HOUR_MS },
] as const;
type Window = (typeof WINDOWS)[number];

const TOPICS = { rawEventsTopic: 'raw', featureEventsTopic: undefined, deadLetterTopic: 'dead' };
const TIMES = { outOfOrderMs: 1, allowedLatenessMs: 30 * DAY_MS };
/** Rows without an event are emitted until now: all windows have passed by then. */
const START = Math.floor(Date.now() / DAY_MS) * DAY_MS - 20 * DAY_MS;

let runs = 0;
const viewOf = () => {
  runs += 1;
  return testView(
    { ...count().over('1h', '24h', '7d'), ...sum('amount').over('1h', '24h', '7d') },
    { name: `edge_${runs}`, ttl: '0s' },
  );
};
type View = ReturnType<typeof viewOf>;

const bodyOf = (id: number, at: number): string =>
  JSON.stringify({
    ...{ event_id: `e${id}`, user_id: 'u', event_type: 'transaction', timestamp: new Date(at).toISOString() },
    ...{
      account_id: 'a',
      amount: 10 ** id,
      currency: 'EUR',
      merchant_id: 'm',
      merchant_category: 'grocery',
      country: 'DE',
    },
    ...{ received_at: new Date(at + 1_000).toISOString(), source: 'gateway', schema_version: 1 },
  });

/** Runs a job with the events to its end. @returns its rows, and what an online store holds of the account */
async function run(view: View, times: readonly number[], from: 'stream' | 'history') {
  const folder = mkdtempSync(join(tmpdir(), 'edge-'));
  const broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(folder, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  const online = new MemoryOnlineStore(
    { log: silentLogger, clock: systemClock, ttlMs: new Map() },
    { file: join(folder, 'rows') },
  );
  const rows = new Map<number, FeatureRow>();
  const offline = {
    features: {
      write: async (written: readonly FeatureRow[]) => {
        for (const row of written) rows.set(row.eventTime, row);
      },
    },
  } as unknown as OfflineDatabase;
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const deps = { online, offline, views: [view], metrics, log: silentLogger, clock: systemClock };
  try {
    await broker.start();
    await online.start();
    await broker.ensureTopics(['raw', 'dead'].map((name) => ({ name, partitions: 1 })));
    const bodies = times.map((at, id) => bodyOf(id, at));
    const file = join(folder, 'history.jsonl');
    writeFileSync(file, bodies.map((body) => `${body}\n`).join(''));
    if (from === 'stream') {
      await broker.producer.send(
        'raw',
        bodies.map((value) => ({ key: 'u', value })),
      );
    }
    const plan = createPipeline((root) =>
      from === 'stream'
        ? buildFeaturePipeline(
            root,
            { ...deps, broker },
            { ...TOPICS, ...TIMES, group: 'g', idleAfterMs: 1_000, bounded: true },
          )
        : buildBackfillPipeline(
            root,
            { ...deps, producer: broker.producer },
            { ...TOPICS, ...TIMES, history: { files: [file] } },
          ),
    );
    await runEmbedded(plan, {}).finished;
    const [newest] = await online.read(view, [keyOf('a')]);
    return { rows: [...rows.values()].sort((a, b) => a.eventTime - b.eventTime), newest };
  } finally {
    await online.stop();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** When the step that an event lies in has left the window. */
const leavesAt = ({ windowMs, stepMs }: Window, at: number): number =>
  (Math.floor(at / stepMs) + 1) * stepMs + windowMs;

/** Slow and obvious. */
function expectedAt(times: readonly number[], asOfMs: number): Record<string, number> {
  const values: Record<string, number> = {};
  for (const one of WINDOWS) {
    const inside = times.flatMap((at, id) => (at <= asOfMs && asOfMs < leavesAt(one, at) ? [10 ** id] : []));
    values[`count_${one.window}`] = inside.length;
    values[`sum_amount_${one.window}`] = inside.reduce((all, amount) => all + amount, 0);
  }
  return values;
}

test('an event exactly one window old counts, until its step has left: in stream, back-fill, online and training sets', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'edge-store-'));
  const store = sqlOfflineDatabase({ sql: new PgliteExecutor(join(folder, 'pglite')), log: silentLogger }, 'pglite');
  await store.start();
  /** Where in its step the older event lies: at its edges, a millisecond beside them, or anywhere. */
  const within = fc.oneof(fc.constantFrom(0, 1, -1), fc.integer({ min: 0, max: DAY_MS }));
  try {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...WINDOWS), within, async (one, offset) => {
        const older = START + DAY_MS + offset;
        const times = [older, older + one.windowMs];
        const view = viewOf();
        const stream = await run(view, times, 'stream');
        const backfill = await run(view, times, 'history');
        const valuesOf = (rows: readonly FeatureRow[]) => rows.map(({ eventTime: at, values }) => [at, values]);
        expect(valuesOf(backfill.rows)).toEqual(valuesOf(stream.rows));

        // The younger event's row: the older one is exactly one window old.
        const exact = stream.rows.find(({ eventTime: at }) => at === times[1]);
        expect(exact?.values).toMatchObject({ [`count_${one.window}`]: 2, [`sum_amount_${one.window}`]: 11 });
        // Every row there is.
        for (const { eventTime: at, values } of stream.rows) expect([at, values]).toEqual([at, expectedAt(times, at)]);
        expect(stream.rows.length).toBeGreaterThanOrEqual(2 + 2);

        // Online is the newest row: all windows have passed.
        for (const { newest } of [stream, backfill]) {
          expect(newest?.values).toEqual(expectedAt(times, newest?.eventTime as number));
          expect(newest?.eventTime).toBe(leavesAt(WINDOWS[2], times[1] as number));
        }

        await store.features.write(stream.rows);
        const leaves = leavesAt(one, older);
        const looks = [times[1] as number, leaves - 1, leaves, leaves + 1];
        const service = featureService({
          ...{ name: `edge_${runs}`, version: 1, owner: 'o', description: 'd' },
          features: [{ view, names: Object.keys(view.features) }] as never,
        });
        const labels = looks.map((at, index) => ({
          ...{ labelId: `l${index}`, entityKey: keyOf('a'), eventTime: eventTime(at), label: index % 2 },
        }));
        const range = { from: eventTime(START), to: eventTime(Date.now()) };
        const set = await buildTrainingSet(store.features, { service, labels: { source: 's' }, range }, labels);
        for (const { eventTime: at, values } of set.rows) expect([at, values]).toEqual([at, expectedAt(times, at)]);
        expect(set.rows.map(({ values }) => values[`count_${one.window}`])).toEqual([2, 2, 1, 1]);
      }),
      { numRuns: 10, endOnFailure: true },
    );
  } finally {
    await store.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);
