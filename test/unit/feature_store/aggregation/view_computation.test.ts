import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { account, transactions } from '#examples/fraud/features/transactions';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { count, distinct, max, mean, min, stddev, sum } from '#feature_store/definitions/aggregations';
import { expression, field } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { HOUR_MS, MINUTE_MS } from '#kernel/time';

const view = featureView({
  name: 'test',
  version: 1,
  entity: account,
  source: transactions,
  ttl: '30d',
  owner: 'tests',
  description: 'all aggregations',
  features: {
    amount: field('amount', 'double', 'amount'),
    ...count().over('1h', '24h', '7d'),
    ...sum('amount').over('1h', '24h', '7d'),
    ...mean('amount').over('24h'),
    ...min('amount').over('24h'),
    ...max('amount').over('24h'),
    ...stddev('amount').over('24h'),
    ...distinct('merchant_id').over('24h'),
    double_count: expression(['count_1h'], 'double', 'twice', (row) => Number(row.count_1h) * 2),
  },
});
const computation = new ViewComputation(view, 24 * HOUR_MS);

interface Event {
  readonly at: number;
  readonly amount: number;
  readonly merchant: string;
}

const apply = (state: EntityState, { at, amount, merchant }: Event) =>
  computation.apply(state, { amount, merchant_id: merchant }, at);

const START = Date.UTC(2026, 0, 1);
const WINDOWS = [
  { window: '1h', ms: HOUR_MS, tileMs: MINUTE_MS },
  { window: '24h', ms: 24 * HOUR_MS, tileMs: 15 * MINUTE_MS },
  { window: '7d', ms: 7 * 24 * HOUR_MS, tileMs: HOUR_MS },
] as const;

const events = fc.array(
  fc.record({
    at: fc.integer({ min: 0, max: 9 * 24 * 60 }).map((minutes) => START + minutes * MINUTE_MS + 17),
    amount: fc.integer({ min: 1, max: 500 }),
    merchant: fc.constantFrom('a', 'b', 'c'),
  }),
  { minLength: 1, maxLength: 120 },
);

/** Slow and obvious: everything seen so far with a time in (from, to]. */
const within = (seen: readonly Event[], from: number, to: number): Event[] =>
  seen.filter(({ at }) => at > from && at <= to);
const total = (list: readonly Event[]): number => list.reduce((sum, { amount }) => sum + amount, 0);

test('in any order of arrival, counts and sums lie within one tile of the exact window', () => {
  fc.assert(
    fc.property(events, (list) => {
      const state = emptyEntityState();
      const seen: Event[] = [];
      for (const event of list) {
        // The pipeline refuses what is later than a day.
        if (event.at < Math.max(...seen.map(({ at }) => at)) - 24 * HOUR_MS) continue;
        seen.push(event);
        const row = apply(state, event);
        for (const { window, ms, tileMs } of WINDOWS) {
          // An out-of-order event misses its own tile, an hour at most; nobody ever sees what is later.
          const inOrder = event.at >= Math.max(...seen.map(({ at }) => at));
          const earlier = inOrder ? [] : [event];
          const least = [...within(seen, event.at - ms, inOrder ? event.at : event.at - HOUR_MS), ...earlier];
          const most = within(seen, event.at - ms - (inOrder ? tileMs : HOUR_MS), event.at);
          expect(row[`count_${window}`]).toBeGreaterThanOrEqual(least.length);
          expect(row[`count_${window}`]).toBeLessThanOrEqual(most.length);
          expect(row[`sum_amount_${window}`]).toBeGreaterThanOrEqual(total(least) - 1e-6);
          expect(row[`sum_amount_${window}`]).toBeLessThanOrEqual(total(most) + 1e-6);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test('within the window every aggregation is exact', () => {
  const short = fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 20 * 60 }).map((minutes) => START + minutes * MINUTE_MS),
      amount: fc.double({ min: 0.01, max: 1_000, noNaN: true }),
      merchant: fc.constantFrom('a', 'b', 'c', 'd'),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(short, (list) => {
      const state = emptyEntityState();
      for (const event of list) apply(state, event);
      const last: Event = { at: START + 21 * HOUR_MS, amount: 5, merchant: 'a' };
      const row = apply(state, last);
      const amounts = [...list, last].map(({ amount }) => amount);
      const average = amounts.reduce((sum, amount) => sum + amount, 0) / amounts.length;
      const variance = amounts.reduce((sum, amount) => sum + (amount - average) ** 2, 0) / amounts.length;
      expect(row.count_24h).toBe(amounts.length);
      expect(row.mean_amount_24h).toBeCloseTo(average, 6);
      expect(row.min_amount_24h).toBe(Math.min(...amounts));
      expect(row.max_amount_24h).toBe(Math.max(...amounts));
      expect(row.stddev_amount_24h).toBeCloseTo(Math.sqrt(variance), 6);
      expect(row.distinct_merchant_id_24h).toBe(new Set([...list, last].map(({ merchant }) => merchant)).size);
      expect(row.double_count).toBe(Number(row.count_1h) * 2);
    }),
    { numRuns: 200 },
  );
});

test('memory is bounded by tiles, not by events', () => {
  const state = emptyEntityState();
  for (let index = 0; index < 100_000; index += 1) {
    apply(state, { at: START + index * 6_000, amount: 1, merchant: 'a' });
  }
  expect(state.tiles.tiles.length).toBeLessThan(60 + 70 + 100 + 24 * 9);
  const row = apply(state, { at: START + 100_000 * 6_000, amount: 1, merchant: 'a' });
  expect(row.count_1h).toBeGreaterThanOrEqual(600);
  expect(row.count_1h).toBeLessThanOrEqual(612);
});

test('windows beyond a month are exact to a day, and what is kept of them stays small', () => {
  const yearly = featureView({
    ...view,
    ttl: '366d',
    features: { ...count().over('31d', '365d'), ...sum('amount').over('365d') },
  });
  const longComputation = new ViewComputation(yearly, 24 * HOUR_MS);
  const days = fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 800 * 24 * 60 }).map((minutes) => START + minutes * MINUTE_MS + 17),
      amount: fc.integer({ min: 1, max: 500 }),
      merchant: fc.constant('a'),
    }),
    { minLength: 1, maxLength: 200 },
  );
  fc.assert(
    fc.property(days, (list) => {
      const state = emptyEntityState();
      const seen: Event[] = [];
      for (const event of [...list].sort((a, b) => a.at - b.at)) {
        seen.push(event);
        const row = longComputation.apply(state, { amount: event.amount, merchant_id: event.merchant }, event.at);
        for (const [window, dayCount, stepMs] of [
          ['31d', 31, HOUR_MS],
          ['365d', 365, 24 * HOUR_MS],
        ] as const) {
          const ms = dayCount * 24 * HOUR_MS;
          expect(row[`count_${window}`]).toBeGreaterThanOrEqual(within(seen, event.at - ms, event.at).length);
          expect(row[`count_${window}`]).toBeLessThanOrEqual(within(seen, event.at - ms - 2 * stepMs, event.at).length);
        }
        expect(state.tiles.tiles.length).toBeLessThanOrEqual(60 + 92 + 24 * 32 + 340);
      }
    }),
    { numRuns: 60 },
  );
});
