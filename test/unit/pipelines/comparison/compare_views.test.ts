import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { createFileSystems } from '#connectors/files/file_systems';
import {
  comparisonJson,
  comparisonMarkdown,
  labelsJson,
  labelsMarkdown,
} from '#feature_store/comparison/comparison_report';
import { LabelComparison } from '#feature_store/comparison/label_comparison';
import type { AskedMoment } from '#feature_store/comparison/view_comparison';
import { count, sum } from '#feature_store/definitions/aggregations';
import { field, fromEvent } from '#feature_store/definitions/feature';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { Erasures, fingerprintOf } from '#feature_store/erasure/erasures';
import { Correlation } from '#kernel/statistics/correlation';
import { DAY_MS, eventTime, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { emptyList, writeList } from '#pipelines/archive/archive_list';
import { type ArchivePlace, archivePlace } from '#pipelines/archive/archive_place';
import { type ArchivedEvent, dateOf, writeEvents } from '#pipelines/archive/archived_event';
import { compareViews } from '#pipelines/comparison/compare_views';
import { EntityBuckets } from '#pipelines/comparison/entity_buckets';
import { testView } from '../../../support/definitions/test_view.ts';
import { keyOf } from '../../../support/entity_keys.ts';
import { byForm } from '../../../support/jest/forms.ts';

// Two definitions on an archive of real files, held against plain loops over the events.

const START = Date.UTC(2026, 5, 1);
const UNTIL = START + 4 * DAY_MS;
const SINCE = START + DAY_MS;
const isLarge = (event: Readonly<Record<string, unknown>>): boolean => (event.amount as number) > 3;
const before = testView({ ...count({ as: 'count' }).over('1h'), ...sum('amount').over('24h') }, { ttl: '30d' });
const after = testView(
  { ...count({ as: 'count', where: isLarge }).over('1h'), ...sum('amount').over('24h') },
  { ttl: '30d', version: 2 },
);

let folder: string;
let place: ArchivePlace;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'compare-'));
  place = archivePlace(folder, createFileSystems({}));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Sent {
  readonly account: string;
  readonly atMs: number;
  readonly amount: number;
}

const eventOf = ({ account, atMs, amount }: Sent, id: number): ArchivedEvent => {
  const timestamp = new Date(atMs).toISOString();
  const payload = JSON.stringify({
    ...{ event_id: `e${id}`, user_id: account, event_type: 'transaction', timestamp, account_id: account, amount },
    ...{ currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery', country: 'DE', received_at: timestamp },
    ...{ source: 'gateway', schema_version: 1 },
  });
  return {
    ...{ eventType: 'transaction', eventId: `e${id}`, eventTimeMs: atMs, receivedAtMs: atMs, recordedAtMs: atMs },
    ...{ partition: '0', generation: 0, offset: BigInt(id), key: account, headers: undefined, payload },
  };
};

/** Writes an archive of its own for each list. */
async function archive(sent: readonly Sent[]): Promise<void> {
  place = archivePlace(mkdtempSync(join(folder, 'archive-')), createFileSystems({}));
  const byDate = new Map<string, ArchivedEvent[]>();
  for (const event of sent.map(eventOf)) {
    const date = dateOf(event.eventTimeMs);
    byDate.set(date, [...(byDate.get(date) ?? []), event]);
  }
  const files = [];
  for (const [date, events] of byDate)
    files.push(
      await writeEvents(place, { eventType: 'transaction', date, partition: '0', generation: 0, revision: 0 }, events),
    );
  const last = String(sent.length - 1);
  const partition = { position: last, generation: 0, last, first: { offset: '0', at: new Date(START).toISOString() } };
  await writeList(place, { ...emptyList('raw-events'), files, partitions: { 0: partition } }, undefined);
}

const compare = (
  erasures = new Erasures(),
  views: readonly [FeatureView, FeatureView] = [before, after],
  asked: readonly AskedMoment[] = [],
) =>
  compareViews(
    {
      ...{ archive: place, erasures, clock: systemClock, views, outOfOrderMs: MINUTE_MS },
      offline: {} as OfflineDatabase,
    },
    views,
    { sinceMs: SINCE, untilMs: UNTIL, allowedLatenessMs: HOUR_MS },
    { asked },
  );

test('moments that differ are those of which a plain loop over the events gives another count', async () => {
  const sent = fc.array(
    fc.record({
      account: fc.constantFrom('a1', 'a2', 'a3'),
      atMs: fc.integer({ min: 0, max: 4 * 24 * 60 - 1 }).map((minutes) => START + minutes * MINUTE_MS + 7),
      amount: fc.integer({ min: 1, max: 6 }),
    }),
    { minLength: 1, maxLength: 60 },
  );
  await fc.assert(
    fc.asyncProperty(sent, async (list) => {
      const inOrder = [...list].sort((a, b) => a.atMs - b.atMs);
      await archive(inOrder);
      const found = await compare();
      const [counts, sums] = found?.comparison.results() ?? [];
      expect(sums).toMatchObject({ feature: 'sum_amount_24h', changed: 0, entitiesChanged: 0, largest: [] });
      const changedOf = (account: string): boolean =>
        // A row of the last hour before the range still differs at the moments in it.
        inOrder.some((each) => each.account === account && each.amount <= 3 && each.atMs >= SINCE);
      const least = ['a1', 'a2', 'a3'].filter(changedOf).length;
      expect(counts?.entitiesChanged).toBeGreaterThanOrEqual(least);
      for (const { entityKey, timeMs, before: was, after: is, distance } of counts?.largest ?? []) {
        const inHour = inOrder.filter(
          ({ account, atMs }) => keyOf(account) === entityKey && atMs <= timeMs && atMs > timeMs - HOUR_MS,
        );
        // The window's far edge moves by its tiles: a count is of the events of the hour, or of some before it.
        expect(was).toBeGreaterThanOrEqual(inHour.length);
        expect(is).toBeGreaterThanOrEqual(inHour.filter(isLarge as never).length);
        expect(distance).toBe((was as number) - (is as number));
        expect(distance).toBeGreaterThan(0);
      }
    }),
    { numRuns: byForm({ short: 15, long: 200 }) },
  );
}, 60_000);

test('the report: shares, means, missing values, drift, and the largest changes first', async () => {
  const sent = Array.from({ length: 40 }, (_, at) => ({
    ...{ account: at % 2 === 0 ? 'a1' : 'a2', atMs: SINCE + at * HOUR_MS, amount: at % 2 === 0 ? 2 : 5 },
  }));
  await archive(sent);
  const found = await compare();
  expect([found?.from, found?.events, found?.gaps]).toEqual(['archive', 40, []]);
  const comparison = found?.comparison as NonNullable<typeof found>['comparison'];
  const json = comparisonJson(comparison);
  expect(json).toMatchObject({ entities: 2, entities_changed: 1 });
  const [counts, sums] = json.features as readonly Record<string, unknown>[];
  expect(counts).toMatchObject({
    ...{ feature: 'count_1h', entities_changed: 1, after: { null_share: 0 } },
    largest: expect.arrayContaining([expect.objectContaining({ entity: keyOf('a1'), before: 1, after: 0 })]),
  });
  expect(sums).toMatchObject({ feature: 'sum_amount_24h', changed: 0, drift: 0, mean_distance: 0 });
  const text = comparisonMarkdown(comparison);
  expect(text).toMatch(/^2 entities, 1 with a change; \d+ moments\nrows \d+ → \d+; computed in/);
  expect(text).toContain(`| ${keyOf('a1')} | `);
});

/** The newest amount, and its opposite: a correlation of one is that of the other with another sign. */
const newest = [
  testView({ amount: field('amount', 'double', '') }, { ttl: '1d' }),
  testView({ amount: fromEvent('double', '', (event) => -(event.amount as number)) }, { ttl: '1d', version: 2 }),
] as const;

test('labels are joined with what both definitions give at their time, by a plain loop over the events', async () => {
  const at = fc.integer({ min: 0, max: 4 * 24 * 60 - 1 });
  const accounts = fc.constantFrom('a1', 'a2', 'without events');
  const sent = fc.array(
    fc.record({ account: fc.constantFrom('a1', 'a2'), at, amount: fc.integer({ min: 1, max: 9 }) }),
    { minLength: 1, maxLength: 40 },
  );
  const labelled = fc.array(fc.record({ account: accounts, at, label: fc.constantFrom(0, 1) }), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(sent, labelled, async (events, labels) => {
      const inOrder = events
        .map((each, id) => ({ ...each, atMs: START + each.at * MINUTE_MS + id }))
        .sort((a, b) => a.atMs - b.atMs);
      await archive(inOrder);
      const rows = labels
        .map(({ account, at: minute, label }, id) => ({
          ...{
            entityKey: keyOf(account),
            eventTime: eventTime(START + minute * MINUTE_MS + 500),
            label,
            labelId: `${id}`,
          },
        }))
        .filter(({ eventTime: timeMs }) => timeMs >= SINCE);
      const comparison = new LabelComparison(newest, ['amount'], rows);
      await compare(new Erasures(), newest, comparison.moments);
      const pairs = new Correlation();
      let missing = 0;
      for (const { entityKey, eventTime: timeMs, label } of rows) {
        const value = inOrder.findLast(({ account, atMs }) => keyOf(account) === entityKey && atMs <= timeMs);
        if (value === undefined || timeMs - value.atMs > DAY_MS) missing += 1;
        else pairs.add(value.amount, label);
      }
      const [found] = comparison.results();
      expect(found).toMatchObject({ feature: 'amount', before: { missing }, after: { missing } });
      if (Number.isNaN(pairs.value)) expect(found?.before.correlation).toBeNaN();
      else {
        expect(found?.before.correlation).toBeCloseTo(pairs.value, 9);
        expect(found?.after.correlation).toBeCloseTo(-pairs.value, 9);
      }
      expect(labelsJson(comparison)).toMatchObject({ labels: rows.length });
      expect(labelsMarkdown(comparison)).toContain(`${rows.length} labels`);
    }),
    { numRuns: byForm({ short: 15, long: 200 }) },
  );
}, 60_000);

test('an erased entity is not compared; without an archive and a history nothing is', async () => {
  expect(await compare()).toBeUndefined();
  await archive([{ account: 'a1', atMs: SINCE, amount: 1 }]);
  const erasures = new Erasures();
  const fingerprint = fingerprintOf('secret', keyOf('a1'));
  erasures.load({ secret: 'secret', erasures: [{ fingerprint, erasedAtMs: UNTIL }] } as never);
  expect((await compare(erasures))?.comparison.entities).toBe(0);
});

test('buckets give back what was added, by entity, in order and with its types; their folder is removed', async () => {
  const buckets = await EntityBuckets.create<{ readonly at: number; readonly n: bigint }>(4);
  for (let at = 0; at < 1_000; at += 1) await buckets.add(keyOf(`a${at % 10}`), { at, n: 2n ** 60n + BigInt(at) });
  const seen = new Map<string, readonly number[]>();
  for await (const [key, values] of buckets.entities()) {
    expect(values.every(({ at, n }) => n === 2n ** 60n + BigInt(at))).toBe(true);
    seen.set(
      key,
      values.map(({ at }) => at),
    );
  }
  await buckets.close();
  expect(seen.size).toBe(10);
  expect(seen.get(keyOf('a3'))).toEqual(Array.from({ length: 100 }, (_, at) => 10 * at + 3));
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith('headwater-entities-'))).toEqual([]);
});
