import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { count, last, sum } from '#feature_store/definitions/aggregations';
import { fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { entity, source } from '#feature_store/definitions/sources/source';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildBackfillPipeline, buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import type { PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { byForm } from '../../../support/jest/forms.ts';

// A view of two sources that agree on neither ids, times nor amounts: the stream and a back-fill from the histories of both give what plain loops give.

const folder = mkdtempSync(join(tmpdir(), 'joined-sources-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const fileOf = (name: string): string => join(folder, `${name}.jsonl`);

const purchases = source('purchases', {
  schema: z.strictObject({ order: z.string(), customer: z.string(), amount: z.number(), at: z.number().int() }),
  ...{ id: 'order', key: 'customer', timestamp: { field: 'at', unit: 'ms' } },
  history: { files: [fileOf('purchases')] },
});
const refunds = source('refunds', {
  schema: z.object({ refund: z.string(), customer: z.string(), value: z.number(), time: z.string() }),
  ...{ id: 'refund', key: 'customer', timestamp: 'time' },
  history: { files: [fileOf('refunds')] },
});
const customer = entity('customer', ['customer']);
const net = featureView({
  ...{ name: 'net', version: 1, entity: customer, source: [refunds, purchases], ttl: '0s', owner: 'tests' },
  description: 'What a customer spends, less what is paid back.',
  features: {
    signed: fromEvent('double', 'Of one event.', (event) =>
      event.event_type === 'refunds' ? -(event.value as number) : (event.amount as number),
    ),
    ...sum('signed').over('1h', '30d'),
    ...count().over('1h'),
    ...count({ as: 'refunds', where: (event) => event.event_type === 'refunds' }).over('30d'),
    ...sum('amount').over('30d'),
    ...last('event_type', 'string').over('30d'),
  },
});
/** Another view of one of the two: it reports what is refused of that one. */
const spent = featureView({
  ...{ name: 'spent', version: 1, entity: customer, source: purchases, ttl: '0s', owner: 'tests' },
  ...{ description: 'What a customer spends.', features: sum('amount').over('30d') },
});
const views = [net, spent];

interface Sent {
  readonly kind: 'purchases' | 'refunds';
  /** Ids are of one source: both have a number 1. */
  readonly id: number;
  readonly of: string;
  readonly minute: number;
  readonly cents: number;
}
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 10 * DAY_MS;
const timeOf = ({ minute, id, kind }: Sent): number =>
  START + minute * MINUTE_MS + id * 10 + (kind === 'refunds' ? 1 : 0);

function bodyOf(sent: Sent, isHistory: boolean): string {
  const { kind, id, of, cents } = sent;
  const ms = timeOf(sent);
  const event =
    kind === 'purchases'
      ? { order: String(id), customer: of, amount: cents, at: ms }
      : { refund: String(id), customer: of, value: cents, time: new Date(ms).toISOString() };
  const received = { received_at: new Date(ms + 1_000).toISOString(), source: 'gateway', schema_version: 1 };
  return JSON.stringify(isHistory ? event : { ...event, event_type: kind, ...received });
}

type Values = Readonly<Record<string, unknown>>;

/** Rows of the view `net` by entity and time, by plain loops. */
function oracle(sent: readonly Sent[]): Record<string, Values> {
  const rows: Record<string, Values> = {};
  for (const one of sent) {
    const at = timeOf(one);
    const past = sent.filter((other) => other.of === one.of && timeOf(other) <= at);
    const hour = past.filter((other) => Math.floor(timeOf(other) / MINUTE_MS) >= Math.floor(at / MINUTE_MS) - 60);
    const total = (of: readonly Sent[], sign: number): number =>
      of.reduce((sum, { kind, cents }) => sum + (kind === 'refunds' ? sign * cents : cents), 0);
    rows[`${one.of}|${at}`] = {
      signed: one.kind === 'refunds' ? -one.cents : one.cents,
      sum_signed_1h: total(hour, -1),
      sum_signed_30d: total(past, -1),
      count_1h: hour.length,
      refunds_30d: past.filter(({ kind }) => kind === 'refunds').length,
      sum_amount_30d: total(past, 0),
      last_event_type_30d: one.kind,
    };
  }
  return rows;
}

const TOPICS = { rawEventsTopic: 'raw', featureEventsTopic: undefined, deadLetterTopic: 'dead' };
const TIMES = { outOfOrderMs: 1, allowedLatenessMs: 30 * DAY_MS };

type Deps = Parameters<typeof buildFeaturePipeline>[1] & Parameters<typeof buildBackfillPipeline>[1];

/** Runs a job to its end. @returns its rows of events, and how many dead letters it has written */
async function run(
  sent: readonly Sent[],
  construct: (root: PipelineRoot, deps: Deps) => void,
  bodies: readonly string[],
) {
  const directory = mkdtempSync(join(folder, 'run-'));
  const broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory, fsync: 'never', segmentBytes: 1e8 },
  );
  const rows = new Map<string, FeatureRow>();
  const write = async (written: readonly FeatureRow[]) => {
    for (const row of written) rows.set(`${row.view}|${row.entityKey}|${row.eventTime}`, row);
    return { written: written.length, stale: 0 };
  };
  await broker.start();
  await broker.ensureTopics(['raw', 'dead'].map((name) => ({ name, partitions: 1 })));
  if (bodies.length > 0)
    await broker.producer.send(
      'raw',
      bodies.map((value) => ({ value })),
    );
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const deps = {
    ...{ online: { write } as unknown as OnlineStore, offline: { features: { write } } as unknown as OfflineDatabase },
    ...{ views, metrics, log: silentLogger, clock: systemClock, broker, producer: broker.producer },
  };
  await runEmbedded(
    createPipeline((root) => construct(root, deps as unknown as Deps)),
    {},
  ).finished;
  await broker.stop();
  const times = new Set(sent.map((one) => `net|customer:${one.of}|${timeOf(one)}`));
  const found = [...rows]
    .filter(([key]) => times.has(key))
    .map(([key, { values }]) => [key.replace('net|customer:', ''), values]);
  const { values: failed } = await metrics.failed.get();
  return { rows: Object.fromEntries(found) as Record<string, Values>, failed: failed.filter(({ value }) => value > 0) };
}

const stream = (sent: readonly Sent[], more: readonly string[] = []) =>
  run(
    sent,
    (root, deps) =>
      buildFeaturePipeline(root, deps, { ...TOPICS, ...TIMES, group: 'g', idleAfterMs: 60_000, bounded: true }),
    [...sent.map((one) => bodyOf(one, false)), ...more],
  );

function history(sent: readonly Sent[]) {
  for (const kind of ['purchases', 'refunds'] as const) {
    const own = sent.filter((one) => one.kind === kind).sort((a, b) => timeOf(a) - timeOf(b));
    writeFileSync(fileOf(kind), own.map((one) => `${bodyOf(one, true)}\n`).join(''));
  }
  return run(sent, (root, deps) => buildBackfillPipeline(root, deps, { ...TOPICS, ...TIMES }), []);
}

const event: fc.Arbitrary<Sent> = fc.record({
  kind: fc.constantFrom('purchases' as const, 'refunds' as const),
  id: fc.integer({ min: 0, max: 30 }),
  of: fc.constantFrom('ann', 'bo'),
  minute: fc.integer({ min: 0, max: 200 }),
  cents: fc.integer({ min: 1, max: 100 }),
});
const events = fc.uniqueArray(event, {
  minLength: 1,
  maxLength: 30,
  selector: ({ kind, id, of }) => `${kind}|${id}|${of}`,
});

test('stream, back-fill and plain loops agree on a view of two sources', async () => {
  await fc.assert(
    fc.asyncProperty(events, async (sent) => {
      const inOrder = [...sent].sort((a, b) => timeOf(a) - timeOf(b));
      const expected = { rows: oracle(sent), failed: [] };
      expect(await stream(inOrder)).toEqual(expected);
      expect(await history(sent)).toEqual(expected);
    }),
    { numRuns: byForm({ short: 8, long: 200 }) },
  );
});

test('what is refused is one dead letter, whichever of the two it is of', async () => {
  const one: Sent = { kind: 'purchases', id: 1, of: 'ann', minute: 1, cents: 5 };
  const other: Sent = { ...one, kind: 'refunds' };
  const without = (sent: Sent): string => bodyOf(sent, false).replace('"customer":"ann"', '"customer":""');
  const again = bodyOf(one, false);
  const { failed } = await stream([one, other], [without({ ...one, id: 2 }), without({ ...other, id: 2 }), again]);
  expect(failed).toEqual([expect.objectContaining({ labels: { reason: 'invalid' }, value: 2 })]);
});
