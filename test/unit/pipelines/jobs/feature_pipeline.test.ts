import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { encodeRows } from '#connectors/files/encode_rows';
import { USER_EVENT_TYPES } from '#examples/activity/features/user_events';
import { fraudView } from '#examples/fraud/features/fraud';
import { account, transactions } from '#examples/fraud/features/transactions';
import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import { fromEvent } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { inRange, notNull, oneOf } from '#feature_store/definitions/rules/quality_rule';
import type { History } from '#feature_store/definitions/sources/source';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import type { HistoryPage } from '#feature_store/offline/query_history';
import type { OnlineStore } from '#feature_store/online/online_store';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { buildBackfillPipeline, buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { VIEWS } from '../../../support/definitions/all_definitions.ts';
import { keyOf } from '../../../support/entity_keys.ts';
import { byForm } from '../../../support/jest/forms.ts';

/** Also those of batch views: what is computed from history is what the stream would have given. */
const EVERY_VIEW = VIEWS.map((view): FeatureView => ({ ...view, mode: 'streaming' }));

const TOPICS = {
  rawEventsTopic: 'raw-events',
  featureEventsTopic: 'feature-events',
  deadLetterTopic: 'dead-letter-queue',
};
/** Events do not lie on whole minutes; rows that no event made do. */
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 3 * DAY_MS + 17;
const isOfEvent = ({ eventTime }: FeatureRow): boolean => eventTime % MINUTE_MS !== 0;

let directory: string;
let broker: DiskLog;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'feature-pipeline-'));
  broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  await broker.start();
  await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 1 })));
});
afterEach(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** @param receivedAt - when the gateway received it: a second after it happened, otherwise */
const transaction = (id: string, account: string, at: number, amount: number, receivedAt = at + 1_000) =>
  JSON.stringify({
    event_id: id,
    user_id: account,
    event_type: 'transaction',
    timestamp: new Date(at).toISOString(),
    account_id: account,
    amount,
    currency: 'EUR',
    merchant_id: 'm',
    merchant_category: 'grocery',
    country: 'DE',
    received_at: new Date(receivedAt).toISOString(),
    source: 'gateway',
    schema_version: 1,
  });

interface RunOptions {
  readonly failures?: number;
  /** Reads these files, not the topic. */
  readonly patterns?: readonly [string, ...string[]];
  readonly views?: readonly FeatureView[];
  /** A query's rows, instead of files. */
  readonly query?: readonly Readonly<Record<string, unknown>>[];
}

/** Reads the topic, or files, to the end; stores fail `failures` times first. Rows by view, entity and time; the newest of a time wins. */
async function run({ failures = 0, patterns, views = [fraudView], query }: RunOptions = {}) {
  const written = new Map<string, FeatureRow>();
  const statistics = new Map<string, WindowStatistics>();
  let left = failures;
  const write = async (rows: readonly FeatureRow[]) => {
    if (left > 0) {
      left -= 1;
      throw new Error('the store is down');
    }
    for (const row of rows) written.set(`${viewId(row)}|${row.entityKey}|${row.eventTime}`, row);
    return { written: rows.length, stale: 0 };
  };
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const deps = {
    online: { write } as unknown as OnlineStore,
    offline: {
      features: { write },
      statistics: {
        write: async (rows: readonly WindowStatistics[]) => {
          for (const row of rows) statistics.set(`${viewId(row)}|${row.feature}|${row.windowStartMs}`, row);
        },
      },
      history: {
        read: async (_: string, { after, limit }: HistoryPage) => {
          const begin = after === undefined ? 0 : (query ?? []).findIndex(({ event_id: id }) => id === after.id) + 1;
          return (query ?? []).slice(begin, begin + Math.min(limit, 7));
        },
      },
    } as unknown as OfflineDatabase,
    views,
    metrics,
    log: silentLogger,
    clock: systemClock,
  };
  const history: History | undefined =
    query !== undefined ? { query: 'SELECT' } : patterns === undefined ? undefined : { files: patterns };
  const times = { statisticsWindowMs: HOUR_MS, outOfOrderMs: MINUTE_MS, allowedLatenessMs: DAY_MS };
  const plan = createPipeline((root) =>
    history === undefined
      ? buildFeaturePipeline(
          root,
          { ...deps, broker },
          { ...TOPICS, ...times, group: 'g', idleAfterMs: 1_000, bounded: true },
        )
      : buildBackfillPipeline(root, { ...deps, producer: broker.producer }, { ...TOPICS, ...times, history }),
  );
  const snapshots = { directory: join(directory, history === undefined ? 'snapshots' : 'backfill'), intervalMs: 1 };
  await runEmbedded(plan, { snapshots }).finished;
  if (history === undefined) {
    expect(await metrics.registry.metrics()).toMatch(/source_lag_records\{topic="raw-events",partition="0"\} 0/);
  }
  const ofEvents = [...written.values()].filter(isOfEvent);
  return {
    written,
    ofEvents,
    statistics,
    metrics,
    late: await totalOf(metrics.late),
    duplicates: await totalOf(metrics.duplicates),
  };
}

async function deadLetters(): Promise<DeadLetter[]> {
  const reader = await broker.openPartition('dead-letter-queue', '0', { startAt: 'earliest' });
  const records = await reader.poll({ maxRecords: 10_000, maxWaitMs: 0, signal: new AbortController().signal });
  return records.map(({ value }) => JSON.parse(value.toString()) as DeadLetter);
}

const send = (values: readonly string[]) =>
  broker.producer.send(
    'raw-events',
    values.map((value) => ({ value })),
  );

const featureEvent = z.strictObject({
  ...{ view: z.literal('fraud'), version: z.literal(1), entity: z.literal('account'), entityKey: z.string() },
  ...{ eventTime: z.int(), computedAt: z.int() },
  values: z.strictObject(
    Object.fromEntries(
      Object.entries(fraudView.features).map(([name, { type }]) => [
        name,
        { double: z.number(), long: z.int(), boolean: z.boolean(), string: z.string() }[type as 'double'].nullable(),
      ]),
    ),
  ),
});

test('feature-events has a record for each row: key, schema, values and count; a row takes microseconds', async () => {
  const events = Array.from({ length: 2_000 }, (_, index) =>
    transaction(`e${index}`, `a${index % 20}`, START + index * 30_000, (index % 90) + 1),
  );
  await broker.producer.send(
    TOPICS.rawEventsTopic,
    events.map((value) => ({ value })),
  );
  const { written, metrics } = await run();
  const reader = await broker.openPartition(TOPICS.featureEventsTopic, '0', { startAt: 'earliest' });
  const published = new Map<string, unknown>();
  let count = 0;
  for (const { signal } = new AbortController(); ; ) {
    const records = await reader.poll({ maxRecords: 5_000, maxWaitMs: 0, signal });
    if (records.length === 0) break;
    for (const { key, value } of records) {
      const row = featureEvent.parse(JSON.parse(String(value)));
      expect(String(key)).toBe(row.entityKey);
      published.set(`${row.entityKey}|${row.eventTime}`, row.values);
      count += 1;
    }
  }
  await reader.close();
  expect(Object.fromEntries(published)).toEqual(
    Object.fromEntries([...written.values()].map((row) => [`${row.entityKey}|${row.eventTime}`, row.values])),
  );
  // Nothing failed: none is repeated.
  expect(count).toBe(written.size);
  const { values } = await metrics.computationSeconds.get();
  const within = (seconds: string): number =>
    values.find(({ metricName, labels }) => metricName?.endsWith('_bucket') && String(labels.le) === seconds)?.value ??
    0;
  expect(within('+Inf')).toBe(2_000);
  expect(within('0.1')).toBeGreaterThanOrEqual(1_980);
}, 60_000);

test('what cannot be used is a dead letter with its payload whole; the rest becomes features', async () => {
  const tooLate = transaction('late', 'a', START - 30 * HOUR_MS, 7, START);
  await send([
    transaction('e1', 'a', START, 10),
    '{"not json',
    transaction('e1', 'a', START, 10),
    transaction('future', 'a', Date.now() + DAY_MS, 5),
    transaction('e2', 'a', START + MINUTE_MS, 20),
    transaction('e3', 'a', START - 30 * MINUTE_MS, 40),
    tooLate,
    '[]',
    // The same event, but written otherwise; another event under its id.
    JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(transaction('e1', 'a', START, 10))).reverse())),
    transaction('e1', 'a', START, 11),
  ]);
  const { ofEvents, late, duplicates } = await run();
  expect(ofEvents.map(({ values }) => [values.amount, values.count_24h, values.sum_amount_24h])).toEqual([
    [10, 1, 10],
    // The newest row has what arrived later of before its time.
    [20, 3, 70],
    // Out of order: it knows nothing of what came after its time.
    [40, 1, 40],
  ]);
  expect({ late, duplicates }).toEqual({ late: 1, duplicates: 2 });
  const letters = await deadLetters();
  expect(letters.map(({ reason }) => reason)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^not JSON/),
      expect.stringMatching(/^timestamp: .*in the future/),
      'not a JSON object',
      expect.stringMatching(/^late: event "late" of .* was 1\.25 days old .* may be 1 days old/),
      expect.stringMatching(/^event_id_conflict: .*"e1"/),
    ]),
  );
  expect(letters).toHaveLength(5);
  expect(letters.find(({ reason }) => reason.startsWith('late'))?.payload).toBe(tooLate);
});

test('an event counts once, however many views it is in; computations count per view; late events are refused once', async () => {
  const views = [fraudView, { ...fraudView, view: 'second' }, { ...fraudView, view: 'third' }] as const;
  const ids = Array.from({ length: 20 }, (_, index) => `e${index}`);
  await send([
    ...ids.map((id, index) => transaction(id, `a${index % 4}`, START + index * MINUTE_MS, 1)),
    // Repeated, and too late.
    transaction('e0', 'a0', START, 1),
    transaction('late', 'a1', START - 30 * HOUR_MS, 7, START),
  ]);
  const { metrics, late, duplicates } = await run({ views });
  expect(await totalOf(metrics.processed)).toBe(20);
  const { values } = await metrics.events.get();
  const computed = values.filter(({ labels }) => labels.outcome === 'computed');
  expect(computed.map(({ labels, value }) => [labels.view, value])).toEqual([
    ['fraud@1', 20],
    ['second@1', 20],
    ['third@1', 20],
  ]);
  expect({ late, duplicates, failed: await totalOf(metrics.failed) }).toEqual({ late: 0, duplicates: 1, failed: 1 });
  expect(await deadLetters()).toHaveLength(1);
});

test('events are counted, and refused as late or repeated, also while the first view of their source is stopped', async () => {
  const broken = featureView({
    ...{
      name: 'broken',
      version: 1,
      entity: account,
      source: transactions,
      ttl: '30d',
      owner: 'test',
      description: 'Fails',
    },
    features: {
      kind: fromEvent('string', 'kind', () => {
        throw new Error('broken');
      }),
    },
  });
  // The limit is reached after 100 events, and judged after each bundle: more events than one takes.
  const ids = Array.from({ length: 2_100 }, (_, index) => `e${index}`);
  await send([
    ...ids.map((id, index) => transaction(id, `a${index % 4}`, START + index * 1_000, 1)),
    transaction('e2099', 'a3', START + 2_099 * 1_000, 1),
    transaction('late', 'a1', START - 30 * HOUR_MS, 7, START),
  ]);
  const { metrics } = await run({ views: [broken, fraudView] });
  const { values } = await metrics.events.get();
  const outcomes = Object.fromEntries(values.map(({ labels, value }) => [`${labels.view} ${labels.outcome}`, value]));
  const { 'broken@1 failed': failed = 0, 'broken@1 view_stopped': stopped = 0 } = outcomes;
  expect([failed + stopped, stopped > 1, outcomes['fraud@1 computed']]).toEqual([2_101, true, 2_100]);
  expect(await totalOf(metrics.processed)).toBe(2_100);
  const letters = await deadLetters();
  expect(letters.filter(({ reason }) => reason.startsWith('late'))).toHaveLength(1);
}, 60_000);

test('stores that fail for a while lose nothing and count nothing twice', async () => {
  const values = Array.from({ length: 50 }, (_, index) =>
    transaction(`e${index}`, `a${index % 3}`, START + index * MINUTE_MS, 1),
  );
  await send(values);
  const { ofEvents } = await run({ failures: 3 });
  expect(ofEvents).toHaveLength(50);
  const newest = ofEvents.filter(({ eventTime }) => eventTime >= START + 47 * MINUTE_MS);
  expect(newest.map(({ values: row }) => row.count_7d).sort()).toEqual([16, 17, 17]);
}, 30_000);

test('when events leave a window there is a row that says so, and none of times to come', async () => {
  await send([transaction('e1', 'a', START, 10), transaction('e2', 'a', START + 2 * HOUR_MS, 20)]);
  const rows = [...(await run()).written.values()].sort((a, b) => a.eventTime - b.eventTime);
  expect(
    rows.map(({ eventTime, values: row }) => [eventTime - START, row.count_1h, row.count_6h, row.count_24h]),
  ).toEqual([
    [0, 1, 1, 1],
    // Windows of an hour move by minutes, up to a day by quarters of an hour.
    [MINUTE_MS - 17 + HOUR_MS, 0, 1, 1],
    [2 * HOUR_MS, 1, 2, 2],
    [2 * HOUR_MS + MINUTE_MS - 17 + HOUR_MS, 0, 2, 2],
    [15 * MINUTE_MS - 17 + 6 * HOUR_MS, 0, 1, 2],
    [2 * HOUR_MS + 15 * MINUTE_MS - 17 + 6 * HOUR_MS, 0, 0, 2],
    [15 * MINUTE_MS - 17 + 24 * HOUR_MS, 0, 0, 1],
    [2 * HOUR_MS + 15 * MINUTE_MS - 17 + 24 * HOUR_MS, 0, 0, 0],
  ]);
  expect(rows.at(-1)?.values.count_7d).toBe(2);
});

test('counts and sums equal a brute-force count, whatever the order and however often events come', async () => {
  const event = fc.record({
    id: fc.integer({ min: 0, max: 30 }),
    account: fc.constantFrom('a', 'b'),
    minute: fc.integer({ min: 0, max: 300 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 40 }), async (events) => {
      await broker.stop();
      rmSync(directory, { recursive: true, force: true });
      await broker.start();
      await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 1 })));
      await send(
        events.map(({ id, account, minute }) =>
          transaction(`${account}${id}`, account, START + minute * MINUTE_MS, id + 1),
        ),
      );
      const { written, ofEvents } = await run();
      const seen = new Map<string, { account: string; at: number; amount: number }>();
      const newest = new Map<string, number>();
      for (const { id, account, minute } of events) {
        if (seen.has(`${account}${id}`)) continue;
        const at = START + minute * MINUTE_MS;
        seen.set(`${account}${id}`, { account, at, amount: id + 1 });
        const known = [...seen.values()].filter((other) => other.account === account && other.at <= at);
        const { values } = written.get(`fraud@1|${keyOf(account)}|${at}`) as FeatureRow;
        // Events of one millisecond share a row, the last one's: not this one's to check.
        const shared = events.some((other) => other.account === account && other.minute === minute && other.id !== id);
        if (at < (newest.get(account) ?? 0)) {
          // Out of order: it may miss neighbours in its tile, and knows nothing later.
          if (!shared) expect(values.count_24h).toBeLessThanOrEqual(known.length);
        }
        newest.set(account, Math.max(at, newest.get(account) ?? 0));
      }
      for (const [account, at] of newest) {
        const all = [...seen.values()].filter((other) => other.account === account);
        const { values } = written.get(`fraud@1|${keyOf(account)}|${at}`) as FeatureRow;
        expect(values.count_24h).toBe(all.length);
        expect(values.sum_amount_24h).toBeCloseTo(
          all.reduce((total, { amount }) => total + amount, 0),
          6,
        );
      }
      expect(ofEvents).toHaveLength(new Set([...seen.values()].map(({ account, at }) => `${account}|${at}`)).size);
    }),
    { numRuns: 25 },
  );
}, 60_000);

test('files of history give the rows that the stream gave: late, repeated and out-of-order events too, in every format', async () => {
  const userEvent = fc.record({
    id: fc.integer({ min: 0, max: 60 }),
    user: fc.constantFrom('u1', 'u2'),
    minute: fc.integer({ min: 0, max: 40 * 60 }),
    type: fc.constantFrom(...USER_EVENT_TYPES),
    device: fc.constantFrom('mobile', 'web', undefined),
  });
  const card = fc.record({ id: fc.integer({ min: 0, max: 30 }), minute: fc.integer({ min: 0, max: 40 * 60 }) });
  // Most in order, some not: with everything shuffled most would be too late.
  const order = fc.array(fc.integer({ min: 0, max: 90 }), { minLength: 40, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(userEvent, { minLength: 1, maxLength: 25 }),
      fc.array(card, { maxLength: 15 }),
      order,
      fc.constantFrom('jsonl', 'csv', 'parquet', 'gz'),
      async (userEvents, cards, delays, format) => {
        await broker.stop();
        rmSync(directory, { recursive: true, force: true });
        await broker.start();
        await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 1 })));
        const bodies = [
          ...userEvents.map(({ id, user, minute, type, device }) => ({
            minute,
            body: {
              event_id: `u${id}`,
              user_id: user,
              event_type: type,
              timestamp: new Date(START + minute * MINUTE_MS).toISOString(),
              ...(device === undefined ? {} : { device_type: device }),
            },
          })),
          ...cards.map(({ id, minute }) => {
            const {
              received_at: _,
              source: __,
              schema_version: ___,
              ...body
            } = JSON.parse(transaction(`t${id}`, 'a', START + minute * MINUTE_MS, id + 1)) as Record<string, unknown>;
            return { minute, body };
          }),
        ]
          .map((event, index) => ({ ...event, arrives: event.minute + (delays[index] ?? 0) }))
          .sort((a, b) => a.arrives - b.arrives)
          .map(({ body, arrives }) => ({ ...body, received_at: new Date(START + arrives * MINUTE_MS).toISOString() }));
        await send(bodies.map((body) => JSON.stringify(body)));
        const streamed = await run({ views: EVERY_VIEW });
        const history = join(directory, 'history');
        mkdirSync(history);
        for (const [part, from] of [0, 10, 20, 30].entries()) {
          const rows = bodies.slice(from, part === 3 ? undefined : from + 10);
          if (rows.length === 0) continue;
          const [name, bytes] =
            format === 'gz'
              ? [`${part}.jsonl.gz`, gzipSync(encodeRows('jsonl', rows))]
              : [`${part}.${format}`, encodeRows(format as 'jsonl' | 'csv' | 'parquet', rows)];
          writeFileSync(join(history, name), bytes);
        }
        const computed = await run({ views: EVERY_VIEW, patterns: [join(history, '*')] });
        const valuesOf = ({ written }: typeof streamed) =>
          Object.fromEntries(
            [...written].map(([key, { values }]) => [key, values]).sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
          );
        expect(valuesOf(computed)).toEqual(valuesOf(streamed));
        expect([computed.late, computed.duplicates]).toEqual([streamed.late, streamed.duplicates]);
      },
    ),
    { numRuns: byForm({ short: 10, long: 25 }) },
  );
}, 120_000);

test('rows of a query give what the stream gave of the same events', async () => {
  const events = Array.from({ length: 30 }, (_, index) =>
    transaction(`e${String(index).padStart(2, '0')}`, `a${index % 3}`, START + index * 7 * MINUTE_MS, index + 1),
  );
  await send(events);
  const streamed = await run();
  const computed = await run({ query: events.map((event) => JSON.parse(event) as Record<string, unknown>) });
  const valuesOf = ({ written }: typeof streamed) => [...written].map(([key, { values }]) => [key, values]).sort();
  expect(valuesOf(computed)).toEqual(valuesOf(streamed));
});

test('broken rules are counted once an event, and what they are to happen happens', async () => {
  const view: FeatureView = {
    ...fraudView,
    rules: {
      small: inRange('amount', { max: 100 }, 'warn'),
      plausible: inRange('amount', { max: 1_000 }, 'drop'),
      possible: inRange('amount', { max: 10_000 }, 'dead_letter'),
      has_country: notNull('country_changed', 'drop'),
      known: oneOf('merchant_category', ['grocery'], 'drop'),
    },
  };
  const amounts = [10, 50, 200, 150, 5_000, 2_000, 3_000, 50_000];
  const events = amounts.map((amount, index) => transaction(`e${index}`, `a${index}`, START + index * 1_000, amount));
  await send([...events, ...events]);
  const { ofEvents, metrics } = await run({ views: [view] });
  expect(ofEvents.map(({ values }) => values.amount)).toEqual([10, 50, 200, 150]);
  const letters = await deadLetters();
  expect(letters).toEqual([
    expect.objectContaining({
      stage: 'pipeline.quality',
      payload: events.at(-1),
      reason: 'quality: fraud@1 breaks possible: amount is between -Infinity and 10000; it has amount = 50000',
    }),
  ]);
  const text = await metrics.registry.metrics();
  const violations = (rule: string, action: string) =>
    Number(
      new RegExp(`data_quality_violations_total\\{view="fraud@1",rule="${rule}",action="${action}"\\} (\\d+)`).exec(
        text,
      )?.[1],
    );
  expect([violations('small', 'warn'), violations('plausible', 'drop'), violations('possible', 'dead_letter')]).toEqual(
    [6, 4, 1],
  );
  expect(violations('unique_event_id', 'drop')).toBe(amounts.length);
  expect(text).toMatch(/events_failed_total\{reason="quality"\} 4/);
});

test('statistics of each window are of all rows that events made, and of no others', async () => {
  const events = Array.from({ length: 200 }, (_, index) =>
    transaction(`e${index}`, `a${index % 20}`, START + index * 3 * MINUTE_MS, (index % 10) + 1),
  );
  await send(events);
  const { statistics, ofEvents } = await run();
  const starts = [...new Set(ofEvents.map(({ eventTime }) => Math.floor(eventTime / HOUR_MS) * HOUR_MS))];
  let rows = 0;
  for (const start of starts) {
    const within = ofEvents.filter(({ eventTime }) => eventTime >= start && eventTime < start + HOUR_MS);
    const amounts = within.map(({ values }) => values.amount as number);
    const { statistics: found } = statistics.get(`fraud@1|amount|${start}`) as WindowStatistics;
    expect(found).toMatchObject({
      rows: within.length,
      nulls: 0,
      min: Math.min(...amounts),
      max: Math.max(...amounts),
    });
    expect(found.mean).toBeCloseTo(amounts.reduce((sum, amount) => sum + amount, 0) / amounts.length, 9);
    rows += found.rows;
  }
  expect(rows).toBe(200);
  expect(statistics.get(`fraud@1|merchant_category|${starts[0]}`)?.statistics.top).toEqual([['grocery', 1]]);
});
