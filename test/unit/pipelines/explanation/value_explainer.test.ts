import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { createFileSystems } from '#connectors/files/file_systems';
import { transactions } from '#examples/fraud/features/transactions';
import { count, session, sum } from '#feature_store/definitions/aggregations';
import { sincePrevious } from '#feature_store/definitions/feature';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { fingerprintOf } from '#feature_store/erasure/erasures';
import { explanationJson } from '#feature_store/explanation/explanation_json';
import type { OnlineStore } from '#feature_store/online/online_store';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { archivePlace } from '#pipelines/archive/archive_place';
import { EventArchive } from '#pipelines/archive/event_archive';
import { createValueExplainer } from '#pipelines/explanation/value_explainer';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { testView } from '../../../support/definitions/test_view.ts';
import { keyOf } from '../../../support/entity_keys.ts';
import { byForm } from '../../../support/jest/forms.ts';

// Values that the pipeline has written, explained from a real log on disk and its archive.

const TOPICS = { rawEventsTopic: 'raw-events', featureEventsTopic: 'feature-events', deadLetterTopic: 'dead-letters' };
const LATENESS_MS = DAY_MS;
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 12 * DAY_MS + 17;
const view = testView(
  {
    since_previous: sincePrevious('double', 'seconds', (_, at, before) =>
      before === undefined ? null : (at - before.eventTimeMs) / 1_000,
    ),
    ...count().over('1h', '24h'),
    ...sum('amount').over('1h', '7d'),
    ...session('30m'),
  },
  { ttl: '30d' },
);
const KEY = keyOf('a1');

let directory: string;
let broker: DiskLog;
const openBroker = async (): Promise<void> => {
  directory = mkdtempSync(join(tmpdir(), 'explainer-'));
  const config = { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 1e8 } as const;
  broker = new DiskLog({ log: silentLogger, clock: systemClock }, config);
  await broker.start();
  await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 1 })));
};
const closeBroker = async (): Promise<void> => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
};
beforeEach(openBroker);
afterEach(closeBroker);

const transaction = (id: string, at: number, receivedAt = at, { account = '"a1"', amount = 1 } = {}): string =>
  `{"event_id":"${id}","user_id":${account},"event_type":"transaction","timestamp":"${new Date(at).toISOString()}","account_id":${account},"amount":${amount},"currency":"EUR","merchant_id":"m","merchant_category":"grocery","country":"DE","received_at":"${new Date(receivedAt).toISOString()}","source":"gateway","schema_version":1}`;

const send = (values: readonly string[], topic = TOPICS.rawEventsTopic): Promise<void> =>
  broker.producer.send(
    topic,
    values.map((value) => ({ value })),
  );

async function archiveAll(): Promise<void> {
  const archive = new EventArchive(
    {
      ...{ broker, log: silentLogger, clock: systemClock, metrics: createMetricsRegistry({ process: false }) },
      ...{ sources: [transactions], fileSystems: createFileSystems({}) },
    },
    {
      ...{ topic: TOPICS.rawEventsTopic, directory: join(directory, 'archive') },
      ...{ flushEveryMs: 60_000, keepMs: 400 * DAY_MS },
    },
  );
  await archive.start();
  await archive.catchUp(20_000);
  await archive.stop();
}

/** Rows that the pipeline writes of the topic, the newest of each time. */
async function computed(): Promise<readonly FeatureRow[]> {
  const written = new Map<number, FeatureRow>();
  const write = async (rows: readonly FeatureRow[]) => {
    for (const row of rows) if (row.entityKey === KEY) written.set(row.eventTime, row);
    return { written: rows.length, stale: 0 };
  };
  const deps = {
    ...{ broker, views: [view], log: silentLogger, clock: systemClock },
    metrics: createFeatureMetrics(createMetricsRegistry({ process: false })),
    online: { write } as unknown as OnlineStore,
    offline: { features: { write } } as unknown as OfflineDatabase,
  };
  const times = { outOfOrderMs: MINUTE_MS, allowedLatenessMs: LATENESS_MS, idleAfterMs: 1_000 };
  const plan = createPipeline((root) =>
    buildFeaturePipeline(root, deps, { ...TOPICS, ...times, group: 'g', bounded: true }),
  );
  await runEmbedded(plan).finished;
  return [...written.values()].sort((a, b) => a.eventTime - b.eventTime);
}

const SECRET = 'secret';
const erased: { readonly fingerprint: string; readonly erasedAtMs: number }[] = [];
beforeEach(() => {
  erased.length = 0;
});

function explainerOf(rows: readonly FeatureRow[]) {
  const newestBy = async (_: unknown, { eventTime }: { readonly eventTime: number }) =>
    rows.findLast((row) => row.eventTime <= eventTime);
  return createValueExplainer(
    {
      ...{ broker, clock: systemClock, views: [view], outOfOrderMs: MINUTE_MS },
      archive: archivePlace(join(directory, 'archive'), createFileSystems({})),
      online: { read: async () => [rows.at(-1)] },
      offline: {
        features: { newestBy },
        erasures: { read: async () => ({ secret: SECRET, erasures: erased }) },
      } as unknown as OfflineDatabase,
      usedBy: async () => ({ models: [], predictions: [] }),
    },
    { ...TOPICS, allowedLatenessMs: LATENESS_MS },
  );
}

const page = { offset: 0, limit: 1_000 };

test('what the pipeline has written is equal at every time, from the archive and the rest of the topic', async () => {
  const events = fc.array(
    fc.record({
      id: fc.integer({ min: 0, max: 40 }),
      minutes: fc.integer({ min: 0, max: 9 * 24 * 60 }),
      delayMs: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        { weight: 2, arbitrary: fc.integer({ min: 0, max: LATENESS_MS }) },
        { weight: 1, arbitrary: fc.integer({ min: LATENESS_MS + 1, max: 2 * LATENESS_MS }) },
      ),
      amount: fc.integer({ min: 1, max: 9 }),
      isOther: fc.boolean(),
    }),
    { minLength: 1, maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(
      events,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.array(fc.integer({ min: 0, max: 11 * 24 * 60 * 60 }), { minLength: 3, maxLength: 6 }),
      async (list, archivedShare, seconds) => {
        await closeBroker();
        await openBroker();
        const payloads = list
          .map(({ id, minutes, delayMs, amount, isOther }) => {
            const at = START + minutes * MINUTE_MS;
            const account = isOther ? '"a12"' : '"a1"';
            return { arrived: at + delayMs, text: transaction(`e${id}`, at, at + delayMs, { account, amount }) };
          })
          .sort((a, b) => a.arrived - b.arrived)
          .map(({ text }) => text);
        const archived = Math.round(archivedShare * payloads.length);
        await send(payloads.slice(0, archived));
        await archiveAll();
        await send(payloads.slice(archived));
        const rows = await computed();
        const explain = explainerOf(rows);
        for (const second of seconds) {
          const atMs = START + second * 1_000;
          for (const feature of ['count_24h', 'sum_amount_7d', 'since_previous', 'session_event_count']) {
            const found = await explain({ view, feature, entityKey: KEY, atMs, page });
            expect([atMs - START, feature, found?.difference]).toEqual([atMs - START, feature, undefined]);
            const row = rows.findLast(({ eventTime }) => eventTime <= atMs);
            expect(found?.recomputed?.value).toEqual(row?.values[feature]);
          }
        }
      },
    ),
    { numRuns: byForm({ short: 4, long: 150 }) },
  );
}, 120_000);

test('events name their place; refused records, ids written with escapes and late events are found', async () => {
  const now = Date.now() - HOUR_MS;
  await send([
    transaction('e1', now - 30 * MINUTE_MS, now, { amount: 2 }),
    transaction('e2', now - 20 * MINUTE_MS, now, { account: '"\\u00611"', amount: 3 }),
    transaction('late', now - 2 * DAY_MS, now),
  ]);
  await archiveAll();
  await send([transaction('e3', now, now, { amount: 4 }), transaction('e1', now - 30 * MINUTE_MS, now, { amount: 2 })]);
  const letter = { stage: 'gateway.validate', attempt: 1, timestamp: new Date(now).toISOString() };
  const bad = { event_id: 'bad', event_type: 'transaction', account_id: 'a1' };
  await send(
    [
      JSON.stringify({ ...letter, payload: JSON.stringify(bad), reason: 'amount: Invalid input' }),
      JSON.stringify({ ...letter, payload: JSON.stringify({ ...bad, account_id: 'a2' }), reason: 'other' }),
    ],
    TOPICS.deadLetterTopic,
  );
  const rows = await computed();
  const found = await explainerOf(rows)({ view, feature: 'sum_amount_7d', entityKey: KEY, page });
  expect(found?.difference).toBeUndefined();
  expect(
    found?.events.items.map(({ eventId, from, place, contribution }) => [eventId, from, place, contribution]),
  ).toEqual([
    ['e3', 'topic raw-events', '0/3', 4],
    ['e2', 'archive', '0/1', 3],
    ['e1', 'archive', '0/0', 2],
  ]);
  expect(found?.uncounted.items.map(({ eventId, fate }) => [eventId, fate])).toEqual([
    ['e1', 'repeated'],
    ['late', 'late'],
  ]);
  expect(found?.refused.map(({ eventId, reason }) => [eventId, reason])).toEqual([['bad', 'amount: Invalid input']]);
  expect(found?.places.map(({ from, events }) => [from, events])).toEqual([
    ['archive', 3],
    ['topic raw-events', 2],
  ]);
  expect(JSON.parse(JSON.stringify(explanationJson(found as NonNullable<typeof found>)))).toMatchObject({
    ...{ user_id: 'a1', entity: 'account', view: 'v@1', equal: true, difference: null },
    served: { value: 9, from: 'online store' },
    events: { total: 3, items: [{ event_id: 'e3', contribution: 4 }, {}, {}] },
  });
});

test('of an erased entity nothing is shown but what came after', async () => {
  const now = Date.now() - HOUR_MS;
  await send([transaction('e1', now, now, { amount: 2 })]);
  await archiveAll();
  erased.push({ fingerprint: fingerprintOf(SECRET, KEY), erasedAtMs: now + 1 });
  expect(await explainerOf([])({ view, feature: 'count_24h', entityKey: KEY, page })).toBeUndefined();
  await send([transaction('e2', now + MINUTE_MS, now + MINUTE_MS)]);
  const found = await explainerOf([])({ view, feature: 'count_24h', entityKey: KEY, page });
  expect(found?.events.items.map(({ eventId }) => eventId)).toEqual(['e2']);
  expect(found?.difference).toMatch(/^events give 1 as of .*, and nothing is stored$/);
});

test('an entity that has been quiet for long is explained from its last event', async () => {
  await send([transaction('e1', START, START, { amount: 2 })]);
  await archiveAll();
  const rows = await computed();
  const found = await explainerOf(rows)({ view, feature: 'since_previous', entityKey: KEY, page });
  expect([found?.difference, found?.events.items.map(({ eventId }) => eventId)]).toEqual([undefined, ['e1']]);
});
