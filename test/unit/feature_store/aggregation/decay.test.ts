import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { account, transactions } from '#examples/fraud/features/transactions';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import {
  approxDistinct,
  count,
  distinct,
  first,
  last,
  max,
  mean,
  min,
  percentile,
  session,
  stddev,
  sum,
  top,
  variance,
} from '#feature_store/definitions/aggregations';
import { expression, fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import type { EventFields } from '#feature_store/definitions/sources/source';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '#kernel/time';
import { byForm } from '../../../support/jest/forms.ts';

// At any time the newest row, by an event or without one, against a plain loop over all events.

const isLarge = ({ amount }: EventFields): boolean => Number(amount) > 50;
const WINDOWS = ['1h', '24h', '7d'] as const;
const view = featureView({
  name: 'all',
  version: 1,
  entity: account,
  source: transactions,
  ttl: '30d',
  owner: 'tests',
  description: 'every aggregation',
  features: {
    ...count().over(...WINDOWS),
    ...count({ as: 'large', where: isLarge }).over(...WINDOWS),
    ...sum('amount').over(...WINDOWS),
    ...mean('amount').over(...WINDOWS),
    ...min('amount').over(...WINDOWS),
    ...max('amount').over(...WINDOWS),
    ...stddev('amount').over(...WINDOWS),
    ...variance('amount').over(...WINDOWS),
    ...distinct('merchant_id').over(...WINDOWS),
    ...approxDistinct('merchant_id').over(...WINDOWS),
    ...percentile('amount', 0.5).over(...WINDOWS),
    ...top('merchant_id', 'string').over(...WINDOWS),
    ...top('merchant_id', 'string', 2).over(...WINDOWS),
    ...first('amount', 'double').over(...WINDOWS),
    ...last('amount', 'double').over(...WINDOWS),
    ...last('amount', 'double', 3).over(...WINDOWS),
    // More than are kept with the others: a sequence.
    ...last('amount', 'double', 25).over(...WINDOWS),
    ...session('30m'),
  },
});
const computation = new ViewComputation(view, DAY_MS);

interface Event {
  readonly at: number;
  readonly amount: number;
  readonly merchant: string;
}
type Values = Readonly<Record<string, FeatureValue>>;

const START = Date.UTC(2026, 0, 1);
const events = fc
  .array(
    fc.record({
      at: fc.integer({ min: 0, max: 8 * 24 * 3_600 }).map((seconds) => START + seconds * SECOND_MS + 7),
      amount: fc.integer({ min: 1, max: 100 }),
      merchant: fc.constantFrom('a', 'b', 'c'),
    }),
    { minLength: 1, maxLength: 60 },
  )
  // In order: what an out-of-order event may miss is the other test's.
  .map((list) => [...new Map(list.map((event) => [event.at, event])).values()].sort((a, b) => a.at - b.at));

const STEPS: Readonly<Record<(typeof WINDOWS)[number], readonly [windowMs: number, stepMs: number]>> = {
  '1h': [HOUR_MS, MINUTE_MS],
  '24h': [DAY_MS, 15 * MINUTE_MS],
  '7d': [7 * DAY_MS, HOUR_MS],
};

function expected(list: readonly Event[], window: string): Record<string, FeatureValue> {
  const amounts = list.map(({ amount }) => amount);
  const sorted = [...amounts].sort((a, b) => a - b);
  const total = amounts.reduce((all, amount) => all + amount, 0);
  const average = total / amounts.length;
  const spread = amounts.reduce((all, amount) => all + (amount - average) ** 2, 0) / Math.max(1, amounts.length);
  const merchants = list.map(({ merchant }) => merchant);
  const times = (value: string): number => merchants.filter((merchant) => merchant === value).length;
  const ranked = [...new Set(merchants)].sort((a, b) => times(b) - times(a) || (a < b ? -1 : 1));
  const none = amounts.length === 0;
  return {
    [`count_${window}`]: amounts.length,
    [`large_${window}`]: amounts.filter((amount) => amount > 50).length,
    [`sum_amount_${window}`]: total,
    [`mean_amount_${window}`]: none ? null : average,
    [`min_amount_${window}`]: none ? null : (sorted[0] as number),
    [`max_amount_${window}`]: none ? null : (sorted.at(-1) as number),
    [`stddev_amount_${window}`]: Math.sqrt(none ? 0 : spread),
    [`variance_amount_${window}`]: none ? 0 : spread,
    [`distinct_merchant_id_${window}`]: ranked.length,
    [`approx_distinct_merchant_id_${window}`]: ranked.length,
    [`p50_amount_${window}`]: none ? null : (sorted[Math.ceil(sorted.length / 2) - 1] as number),
    [`top_merchant_id_${window}`]: ranked[0] ?? null,
    [`top_2_merchant_id_${window}`]: ranked.slice(0, 2),
    [`first_amount_${window}`]: amounts[0] ?? null,
    [`last_amount_${window}`]: amounts.at(-1) ?? null,
    [`last_3_amount_${window}`]: amounts.slice(-3).reverse(),
    [`last_25_amount_${window}`]: amounts.slice(-25).reverse(),
  };
}

function expectSame(row: Values, oracle: Readonly<Record<string, FeatureValue>>): void {
  for (const [name, value] of Object.entries(oracle)) {
    if (typeof value === 'number')
      expect({ name, value: row[name] }).toEqual({ name, value: expect.closeTo(value, 5) });
    else expect({ name, value: row[name] }).toEqual({ name, value });
  }
}

function sessionAt(list: readonly Event[], asOfMs: number) {
  let session: Event[] = [];
  for (const event of list) {
    const newest = session.at(-1);
    session = newest !== undefined && event.at - newest.at < 30 * MINUTE_MS ? [...session, event] : [event];
  }
  const [begin, end] = [session[0], session.at(-1)] as [Event, Event];
  if (asOfMs - end.at >= 30 * MINUTE_MS) {
    return { is_active_session: false, session_event_count: 0, session_duration_seconds: 0 };
  }
  return {
    is_active_session: true,
    session_event_count: session.length,
    session_duration_seconds: (end.at - begin.at) / SECOND_MS,
  };
}

test('at any time the newest row is what a plain loop over the events gives, but for what lies at a window’s edge', () => {
  let compared = 0;
  fc.assert(
    fc.property(events, fc.array(fc.integer({ min: 0, max: 10 * 24 * 60 }), { maxLength: 12 }), (list, minutes) => {
      const state = emptyEntityState();
      const rows: { readonly asOf: number; readonly values: Values }[] = [];
      const emit = (asOf: number, values: Values) => rows.push({ asOf, values });
      for (const { at, amount, merchant } of list) {
        computation.decay(state, at, emit);
        emit(at, computation.apply(state, { amount, merchant_id: merchant }, at));
      }
      computation.decay(state, START + 30 * DAY_MS, emit);
      const times = rows.map(({ asOf }) => asOf);
      expect([...times].sort((a, b) => a - b)).toEqual(times);
      expect(computation.nextChange(state)).toBeUndefined();
      const looks = [...minutes.map((minute) => START + minute * MINUTE_MS + 11), ...list.map(({ at }) => at)];
      for (const asOf of looks) {
        const row = rows.findLast((candidate) => candidate.asOf <= asOf);
        if (row === undefined) continue;
        const known = list.filter(({ at }) => at <= asOf);
        expect(row.values).toMatchObject(sessionAt(known, asOf));
        for (const window of WINDOWS) {
          const [windowMs, stepMs] = STEPS[window];
          const least = known.filter(({ at }) => at > asOf - windowMs);
          // A tile's end, and from there to the next step; tiles are no longer than the step for their age.
          const most = known.filter(({ at }) => at > asOf - windowMs - 2 * stepMs);
          expect(row.values[`count_${window}`]).toBeGreaterThanOrEqual(least.length);
          expect(row.values[`count_${window}`]).toBeLessThanOrEqual(most.length);
          if (least.length !== most.length) continue;
          expectSame(row.values, expected(least, window));
          compared += 1;
        }
      }
    }),
    { numRuns: byForm({ short: 50, long: 150 }) },
  );
  // Most windows have nothing at their edge.
  expect(compared).toBeGreaterThan(1_000);
});

test('sums kept from event to event are those of the tiles, in whatever order events come', () => {
  const anyOrder = fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 40 * 60 }).map((minutes) => START + minutes * 20 * SECOND_MS + 7),
      amount: fc.integer({ min: 1, max: 100 }),
      merchant: fc.constantFrom('a', 'b', 'c'),
    }),
    { minLength: 15, maxLength: 80 },
  );
  fc.assert(
    fc.property(anyOrder, (list) => {
      const kept = emptyEntityState();
      let fresh = emptyEntityState();
      for (const { at, amount, merchant } of list) {
        // A copy is nobody's, as after a restart: its sums are made from the tiles.
        fresh = structuredClone(fresh);
        const rows: (readonly [number, Values])[][] = [[], []];
        for (const [index, state] of [kept, fresh].entries()) {
          computation.decay(state, at, (asOf, values) => rows[index]?.push([asOf, values]));
          rows[index]?.push([at, computation.apply(state, { amount, merchant_id: merchant }, at)]);
        }
        expect(rows[0]?.map(([asOf]) => asOf)).toEqual(rows[1]?.map(([asOf]) => asOf));
        for (const [index, [, values]] of (rows[0] ?? []).entries())
          expectSame(values, rows[1]?.[index]?.[1] as Values);
      }
      expect(kept).toEqual(fresh);
    }),
    { numRuns: byForm({ short: 20, long: 60 }) },
  );
});

test('an event that comes after rows of later times were written has them written again, with it', () => {
  fc.assert(
    fc.property(events, fc.nat(1_000), fc.integer({ min: 1, max: 3_000 }), (list, at, aheadMinutes) => {
      const write = (isEarly: boolean): Map<number, Values> => {
        const state = emptyEntityState();
        const rows = new Map<number, Values>();
        const emit = (asOf: number, values: Values) => void rows.set(asOf, values);
        for (const [index, event] of list.entries()) {
          computation.decay(state, event.at, emit);
          emit(event.at, computation.apply(state, { amount: event.amount, merchant_id: event.merchant }, event.at));
          // Nothing came for a while, and what was due was told: too early, as the rest was only late.
          if (isEarly && index === at % list.length)
            computation.decay(state, event.at + aheadMinutes * MINUTE_MS, emit);
        }
        computation.decay(state, START + 30 * DAY_MS, emit);
        return rows;
      };
      const [inTime, early] = [write(false), write(true)];
      for (const [asOf, values] of inTime) expectSame(early.get(asOf) ?? {}, values);
      // What is there besides is no longer true for a session that went on.
      for (const [asOf, { is_active_session: isActive }] of early) if (!inTime.has(asOf)) expect(isActive).toBe(false);
    }),
    { numRuns: byForm({ short: 35, long: 100 }) },
  );
});

test('what is quiet changes a few times, not once for every tile', () => {
  const state = emptyEntityState();
  let rows = 0;
  for (let minute = 0; minute < 60; minute += 1) {
    computation.apply(state, { amount: 1, merchant_id: 'a' }, START + minute * MINUTE_MS);
  }
  computation.decay(state, START + 30 * DAY_MS, () => {
    rows += 1;
  });
  // Each minute out of the hour, four quarters out of the day, the hour out of the week, and the session's end.
  expect(rows).toBeLessThanOrEqual(60 + 4 + 1 + 1);
});

test('of many values counts and quantiles are as near as the sketches promise', () => {
  const state = emptyEntityState();
  let row: Values = {};
  for (let index = 0; index < 5_000; index += 1) {
    row = computation.apply(
      state,
      { amount: (index * 7_919) % 10_000, merchant_id: `m${index % 2_000}` },
      START + index,
    );
  }
  expect(Number(row.approx_distinct_merchant_id_24h)).toBeGreaterThan(2_000 * 0.9);
  expect(Number(row.approx_distinct_merchant_id_24h)).toBeLessThan(2_000 * 1.1);
  expect(Number(row.p50_amount_24h)).toBeGreaterThan(4_800);
  expect(Number(row.p50_amount_24h)).toBeLessThan(5_200);
}, 60_000);

const fewer = featureView({
  ...{ name: 'fewer', version: 1, entity: account, source: transactions, ttl: '30d', owner: 'tests' },
  description: 'no sketches: windows of quiet entities are added up for each row, those of busy ones are kept',
  features: {
    doubled: fromEvent('double', 'Twice the amount', ({ amount }) => 2 * Number(amount)),
    ...count().over('1h', '6h', '24h', '7d'),
    ...sum('doubled').over('1h', '6h', '24h', '7d'),
    ...stddev('amount').over('6h', '7d'),
    ...distinct('merchant_id').over('1h', '24h'),
    ...session('30m'),
    share: expression(
      ['count_1h', 'count_24h'],
      'double',
      'Of the day',
      (row) => Number(row.count_1h) / Math.max(1, Number(row.count_24h)),
    ),
  },
});

test('rows of windows that are kept are those of windows added up anew, also with events out of order', () => {
  const steps = fc.array(
    fc.record({
      afterMs: fc.oneof(fc.integer({ min: 0, max: 10 * MINUTE_MS }), fc.integer({ min: 0, max: 9 * HOUR_MS })),
      backMs: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 20 * HOUR_MS })),
      amount: fc.integer({ min: 1, max: 100 }),
      merchant: fc.integer({ min: 0, max: 150 }),
    }),
    { minLength: 20, maxLength: 120 },
  );
  fc.assert(
    fc.property(steps, (list) => {
      const kept = new ViewComputation(fewer, DAY_MS);
      const state = emptyEntityState();
      let timeMs = START;
      for (const { afterMs, backMs, amount, merchant } of list) {
        timeMs += afterMs;
        const [at, event] = [timeMs - backMs, { amount, merchant_id: `m${merchant}` }];
        const anew = new ViewComputation(fewer, DAY_MS);
        const other = structuredClone(state);
        const rows = [kept, anew].map((each) => rowsOf(each, each === kept ? state : other, event, at));
        expectClose(rows[0] as Row[], rows[1] as Row[]);
        expect(kept.nextChange(state)).toBe(anew.nextChange(structuredClone(state)));
      }
    }),
    { numRuns: byForm({ short: 25, long: 200 }) },
  );
});

test('kept windows give each value to the digit, also of doubles whose sum no two doubles hold', () => {
  const amounts = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 50_000 }).map((cents) => cents / 100) },
    { weight: 1, arbitrary: fc.constantFrom(1e300, -1e300, 1e-300, 2 ** 970, 0.1, 1e16, -0) },
  );
  const steps = fc.array(
    fc.record({ afterMs: fc.integer({ min: 0, max: 3 * HOUR_MS }), amount: amounts, merchant: fc.nat(30) }),
    { minLength: 15, maxLength: 60 },
  );
  const exact = featureView({
    ...{ name: 'exact', version: 1, entity: account, source: transactions, ttl: '30d', owner: 'tests' },
    description: 'what does not depend on the order in which tiles are merged',
    features: {
      ...count().over('1h', '24h', '7d'),
      ...sum('amount').over('1h', '24h', '7d'),
      ...mean('amount').over('1h', '24h', '7d'),
      ...min('amount').over('1h', '24h', '7d'),
      ...max('amount').over('1h', '24h', '7d'),
      ...distinct('merchant_id').over('1h', '24h', '7d'),
    },
  });
  fc.assert(
    fc.property(steps, (list) => {
      const kept = new ViewComputation(exact, DAY_MS);
      const state = emptyEntityState();
      let at = START;
      for (const { afterMs, amount, merchant } of list) {
        at += afterMs;
        const event = { amount, merchant_id: `m${merchant}` };
        const anew = rowsOf(new ViewComputation(exact, DAY_MS), structuredClone(state), event, at);
        expect(rowsOf(kept, state, event, at)).toEqual(anew);
      }
    }),
    { numRuns: byForm({ short: 15, long: 300 }) },
  );
});

type Row = readonly [asOfMs: number, values: Values];

/** All rows that an event makes. */
function rowsOf(each: ViewComputation, state: EntityState, event: EventFields, at: number): Row[] {
  const rows: Row[] = [];
  const emit = (asOfMs: number, values: Values): void => void rows.push([asOfMs, values]);
  each.decay(state, at, emit);
  const early = each.earlyRows(state, at);
  rows.push([at, each.apply(state, event, at)]);
  if (early !== undefined) each.correct(state, early, emit);
  return rows;
}

function expectClose(rows: readonly Row[], others: readonly Row[]): void {
  expect(rows.map(([at]) => at)).toEqual(others.map(([at]) => at));
  for (const [index, [, values]] of rows.entries()) expectSame(values, (others[index] as Row)[1]);
}

test('a feature that converts the field of its own name is computed once, in rows of events and in those without', () => {
  const view = featureView({
    ...{ name: 'own', version: 1, entity: account, source: transactions, ttl: '30d', owner: 'tests' },
    description: 'a feature with the name of its field',
    features: {
      amount: fromEvent('double', 'Twice the amount', ({ amount }) => 2 * Number(amount)),
      ...sum('amount').over('1h'),
    },
  });
  const own = new ViewComputation(view, DAY_MS);
  const state = emptyEntityState();
  expect(own.apply(state, { amount: 10 }, START)).toEqual({ amount: 20, sum_amount_1h: 20 });
  const rows: Values[] = [];
  own.decay(state, START + 2 * HOUR_MS, (_, values) => void rows.push(values));
  expect(rows).toEqual([{ amount: 20, sum_amount_1h: 0 }]);
});
