import { expect, test } from '@jest/globals';
import { FigureSampler, figuresBetween, quantileBetween } from '#cli/roles/console/figure_sampler';
import type { MetricValue } from '#cli/roles/console/metric_reader';
import type { ProcessingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import type { FigureStore, TimedFigures } from '#serving/console/figures';

// The console's figures: rates and shares between two looks at counters, and quantiles of what was observed between them.

const buckets = (...counts: readonly number[]): ReadonlyMap<number, number> =>
  new Map(counts.map((count, index) => [[0.1, 0.2, 0.4, Number.POSITIVE_INFINITY][index] as number, count]));

test('a quantile is of what was observed between two looks', () => {
  expect(quantileBetween(buckets(), buckets(0, 0, 0, 0), 0.95)).toBeNull();
  // A thousand fast ones of before, and a hundred slow ones since.
  expect(quantileBetween(buckets(1_000, 1_000, 1_000, 1_000), buckets(1_000, 1_000, 1_100, 1_100), 0.5)).toBeCloseTo(
    0.3,
  );
  expect(quantileBetween(buckets(0, 0, 0, 0), buckets(100, 100, 100, 100), 0.95)).toBeCloseTo(0.095);
  // Beyond the last bound nothing more is known.
  expect(quantileBetween(buckets(0, 0, 0, 0), buckets(0, 0, 0, 10), 0.95)).toBe(0.4);
  // A process that began anew.
  expect(quantileBetween(buckets(500, 500, 500, 500), buckets(10, 10, 10, 10), 0.5)).toBeCloseTo(0.05);
});

const totals = {
  events: 0,
  failed: 0,
  late: 0,
  predictions: 0,
  requests: 0,
  errors: 0,
  freshness: buckets(),
  latency: buckets(),
};

test('rates are a second, shares of what came; without traffic a share is not known', () => {
  expect(figuresBetween(totals, totals, 15_000)).toEqual({
    ...{
      events: 0,
      failedShare: null,
      lateShare: null,
      freshness: null,
      predictions: 0,
      errorShare: null,
      latency: null,
    },
  });
  const after = { ...totals, events: 300, failed: 100, late: 30, predictions: 60, requests: 40, errors: 1 };
  expect(figuresBetween(totals, after, 15_000)).toMatchObject({
    ...{ events: 20, failedShare: 0.25, lateShare: 0.1, predictions: 4, errorShare: 0.025 },
  });
  expect(figuresBetween(after, { ...totals, events: 15 }, 15_000)).toMatchObject({ events: 1, predictions: 0 });
});

test('a sample is written for each interval, without requests of probes and of the console; old ones are removed', async () => {
  const values = new Map<string, readonly MetricValue[]>();
  const written: TimedFigures[] = [];
  const removed: number[] = [];
  const store: FigureStore = {
    write: async (row) => void written.push(row),
    read: async () => written,
    deleteBefore: async (timeMs) => void removed.push(timeMs),
  };
  let nowMs = 1_700_000_007_000;
  const read = async (name: string) => values.get(name) ?? [];
  const sampler = new FigureSampler({
    metrics: { hasJobs: false, read, alerts: async () => undefined },
    ...{ store, alerts: undefined, clock: { now: () => nowMs as ProcessingTime }, log: silentLogger },
  });
  const requests = (route: string, status: string, value: number): MetricValue => ({
    labels: { service: 'serving', route, status },
    value,
  });
  await sampler.sample();
  expect([written, sampler.newest]).toEqual([[], undefined]);
  nowMs += 15_000;
  values.set('events_processed_total', [{ labels: {}, value: 150 }]);
  values.set('source_lag_records', [
    { labels: { partition: '0' }, value: 3 },
    { labels: { partition: '1' }, value: 4 },
  ]);
  values.set('http_requests_total', [
    requests('/predict', '200', 90),
    requests('/predict', '503', 10),
    requests('/console/api/overview', '500', 1_000),
    requests('/health/ready', '503', 1_000),
  ]);
  await sampler.sample();
  expect(written).toEqual([
    { atMs: 1_700_000_010_000, figures: expect.objectContaining({ events: 10, waiting: 7, errorShare: 0.1 }) },
  ]);
  expect(sampler.newest).toEqual(written[0]?.figures);
  expect(removed).toEqual([nowMs - 3 * 86_400_000]);
});
