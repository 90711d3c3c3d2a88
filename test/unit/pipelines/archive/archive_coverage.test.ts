import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DAY_MS, HOUR_MS } from '#kernel/time';
import { gapsOf, missingEvents } from '#pipelines/archive/archive_coverage';
import { type ArchiveList, emptyList } from '#pipelines/archive/archive_list';

// Whether the archive holds what a view's windows reach back to. Oracle: each event of the topic, held or not.

const NOW = Date.UTC(2026, 10, 28, 12);
const isoOf = (timeMs: number): string => new Date(timeMs).toISOString();
const list = (more: Partial<ArchiveList>): ArchiveList => ({ ...emptyList('raw-events'), ...more });
const begun = (offset: string, atMs: number): ArchiveList =>
  list({
    partitions: { 0: { position: offset, generation: 0, last: offset, first: { offset, at: isoOf(atMs) } } },
  });

test('an archive from the topic’s first record on lacks nothing, nor does one of a broker whose numbers do not count from 0', () => {
  expect(gapsOf(begun('0', NOW))).toEqual([]);
  expect(gapsOf(begun('49590338271490256608559692538361571095921575989136588898', NOW))).toEqual([]);
  expect(gapsOf(list({ partitions: { 0: { position: '9', generation: 0, last: '9' } } }))).toEqual([]);
});

test('a view is missing events exactly where one of its window was not archived and is in no history', () => {
  const hours = fc.integer({ min: 0, max: 300 });
  fc.assert(
    fc.property(hours, hours, fc.option(hours, { nil: undefined }), (archiveBegan, horizon, historyEnded) => {
      const beganMs = NOW - archiveBegan * HOUR_MS;
      const historyUntilMs = historyEnded === undefined ? Number.NEGATIVE_INFINITY : NOW - historyEnded * HOUR_MS;
      // An event every half hour.
      const events = Array.from({ length: 700 }, (_, at) => NOW - at * (HOUR_MS / 2));
      const needed = events.filter((timeMs) => timeMs > NOW - horizon * HOUR_MS);
      const isLost = needed.some((timeMs) => timeMs < beganMs && timeMs > historyUntilMs);
      const missing = missingEvents(begun('7', beganMs), [{ view: 'v@1', horizonMs: horizon * HOUR_MS }], {
        ...{ nowMs: NOW, historyUntilMs },
      });
      expect(missing !== undefined).toBe(isLost);
    }),
  );
});

test('what the broker had deleted and days that were removed count as well, each named', () => {
  const spoilt = list({
    gaps: [{ partition: '3', after: '41', at: isoOf(NOW - DAY_MS) }],
    removedUntil: isoOf(NOW - 5 * DAY_MS).slice(0, 10),
  });
  const views = [
    { view: 'short@1', horizonMs: HOUR_MS },
    { view: 'long@1', horizonMs: 2 * DAY_MS },
    { view: 'longest@1', horizonMs: 30 * DAY_MS },
  ];
  const missing = missingEvents(spoilt, views, { nowMs: NOW, historyUntilMs: Number.NEGATIVE_INFINITY });
  expect(missing).toMatch(/offset 41 of partition 3/);
  expect(missing).not.toMatch(/short@1/);
  expect(missing).toMatch(/long@1 needs events since 2026-11-26T12:00:00.000Z: the broker/);
  expect(missing).toMatch(/longest@1.*days before 2026-11-23 were removed/);
  expect(missing).toMatch(/--in.*--accept-gaps/);
});
