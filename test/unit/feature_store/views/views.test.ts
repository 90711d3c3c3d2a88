import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { customerValueView } from '#examples/activity/features/customer_value';
import { recommendationView } from '#examples/activity/features/recommendation';
import { userActivityV1, userActivityV2 } from '#examples/activity/features/user_activity';
import { USER_EVENT_TYPES } from '#examples/activity/features/user_events';
import { claimView } from '#examples/claims/features/claims';
import { creditView } from '#examples/credit/features/credit';
import { closesOldestFirst, marketView, priceHistoryView } from '#examples/market/features/market';
import { sensorView } from '#examples/sensors/features/sensors';
import { emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import type { FeatureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { entityKeyOf } from '#feature_store/definitions/values/entity_key';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { valuesAsOf } from '#feature_store/retrieval/as_of';
import { vectorOf } from '#feature_store/retrieval/feature_vector';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';
import { SERVICES, VIEWS } from '../../../support/definitions/all_definitions.ts';

type Values = Readonly<Record<string, FeatureValue>>;

/** The newest row at `lookAtMs`, as a reader sees it. */
function rowAt(
  view: FeatureView,
  events: readonly (readonly [atMs: number, event: EventFields])[],
  lookAtMs: number,
): Values {
  const computation = new ViewComputation(view, DAY_MS);
  const state = emptyEntityState();
  let newest: Values = {};
  const keep = (_: number, values: Values): void => {
    newest = values;
  };
  for (const [at, event] of events) {
    computation.decay(state, at, keep);
    keep(at, computation.apply(state, event, at));
  }
  computation.decay(state, lookAtMs + 1, keep);
  return valuesAsOf(view, newest, lookAtMs);
}

const NOW = Date.parse('2026-01-05T10:30:00Z');
const ago = (ms: number, type = 'click', more: EventFields = {}) =>
  [NOW - ms, { user_id: 'u', event_type: type, device_type: 'mobile', ...more }] as const;

test.each([userActivityV1, userActivityV2])('user_activity version $version counts by windows', (view) => {
  const events = [8 * DAY_MS, 6 * DAY_MS, 20 * HOUR_MS, 5 * HOUR_MS, 30 * MINUTE_MS].map((ms) => ago(ms));
  expect(rowAt(view, events, NOW)).toMatchObject({
    activity_count_1h: 1,
    activity_count_6h: 2,
    activity_count_24h: 3,
    activity_count_7d: 4,
  });
  // Nothing happens, and an hour passes.
  expect(rowAt(view, events, NOW + HOUR_MS)).toMatchObject({ activity_count_1h: 0, activity_count_24h: 3 });
});

test('a session is active until its gap has passed; its length and events are told', () => {
  const events = [ago(25 * MINUTE_MS), ago(15 * MINUTE_MS), ago(5 * MINUTE_MS)];
  const active = { is_active_session: true, session_event_count: 3, session_duration_seconds: 1_200 };
  expect(rowAt(userActivityV2, events, NOW)).toMatchObject(active);
  const over = { is_active_session: false, session_event_count: 0, session_duration_seconds: 0 };
  expect(rowAt(userActivityV2, events, NOW + 26 * MINUTE_MS)).toMatchObject(over);
});

test('time features are of the event, in UTC; the time since it is as of reading', () => {
  const row = rowAt(userActivityV2, [ago(0, 'search')], NOW + 90_000);
  expect(row).toMatchObject({
    hour_of_day: 10,
    day_of_week: 0,
    is_weekend: false,
    last_event_type: 'search',
    last_device_type: 'mobile',
    seconds_since_last_event: 90,
  });
});

test('purchases, ratios, devices and products', () => {
  const events = [
    ago(5 * HOUR_MS, 'click', { product_id: 'p1' }),
    ago(4 * HOUR_MS, 'click', { product_id: 'p2', device_type: 'web' }),
    ago(3 * HOUR_MS, 'purchase', { product_id: 'p2', amount: 30 }),
    ago(2 * HOUR_MS, 'view', { product_id: 'p1' }),
  ];
  expect(rowAt(userActivityV2, events, NOW)).toMatchObject({
    purchase_count_24h: 1,
    purchase_ratio_24h: 0.25,
    purchase_to_click_ratio_24h: 0.5,
    purchase_amount_7d: 30,
    mobile_ratio_7d: 0.75,
    top_device_type_7d: 'mobile',
    distinct_devices_24h: 2,
    distinct_event_types_24h: 3,
    distinct_products_7d: 2,
    last_products_7d: ['p1', 'p2', 'p2', 'p1'],
    purchase_ratio_1h: null,
  });
});

test('the engagement score is what its formula says, between 0 and 100, and grows with purchases', () => {
  const ten = Array.from({ length: 10 }, (_, index) => ago((20 - index) * MINUTE_MS));
  // 100 (0.4 · 11/50 + 0.3 · 11/20 + 0.3 · 1/5)
  expect(rowAt(userActivityV1, [...ten, ago(0, 'purchase')], NOW).engagement_score).toBeCloseTo(31.3, 9);
  const type = fc.constantFrom(...USER_EVENT_TYPES);
  const events = fc.array(fc.tuple(fc.integer({ min: 0, max: 9 * 24 * 60 }), type), { minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(events, fc.constantFrom(userActivityV1, userActivityV2), (list, view) => {
      const sorted = [...list].sort(([a], [b]) => b - a);
      const score = (change: (type: string) => string): number =>
        Number(
          rowAt(
            view,
            sorted.map(([minutes, type]) => ago(minutes * MINUTE_MS, change(type))),
            NOW,
          ).engagement_score,
        );
      const asItIs = score((type) => type);
      expect(asItIs).toBeGreaterThanOrEqual(0);
      expect(asItIs).toBeLessThanOrEqual(100);
      expect(score((type) => (type === 'click' ? 'purchase' : type))).toBeGreaterThanOrEqual(asItIs);
    }),
    { numRuns: 60 },
  );
});

test('a user has the same variant always; variants are dealt half and half', () => {
  const variantOf = (user: string) =>
    rowAt(userActivityV2, [[NOW, { user_id: user, event_type: 'click' }]], NOW).ab_variant;
  expect(new Set(Array.from({ length: 100 }, () => variantOf('alice'))).size).toBe(1);
  const users = Array.from({ length: 10_000 }, (_, index) => variantOf(`user-${index}`));
  const share = users.filter((variant) => variant === 'A').length / users.length;
  expect(share).toBeGreaterThan(0.48);
  expect(share).toBeLessThan(0.52);
});

test('the second version has all of the first, and more', () => {
  const [first, second] = [userActivityV1, userActivityV2].map(({ features }) => Object.keys(features));
  expect(first?.length).toBeGreaterThanOrEqual(15);
  expect(second).toEqual(expect.arrayContaining(first ?? []));
  expect(second?.length).toBeGreaterThan(first?.length ?? 0);
});

test('prices, returns and volatility of daily bars', () => {
  const bar = (day: number, open: number, high: number, low: number, close: number) =>
    [NOW - day * DAY_MS, { symbol: 'AMZN', open, high, low, close, volume: 1_000 }] as const;
  const bars = [bar(2, 100, 110, 95, 105), bar(1, 105, 108, 100, 102), bar(0, 102, 120, 101, 119)];
  const row = rowAt(marketView, bars, NOW);
  const returns = [102 / 105 - 1, 119 / 102 - 1];
  const average = ((returns[0] as number) + (returns[1] as number)) / 2;
  expect(row.avg_price).toBeCloseTo((102 + 120 + 101 + 119) / 4, 9);
  expect(row.daily_return).toBeCloseTo(returns[1] as number, 12);
  expect(row.cumulative_return_7d).toBeCloseTo(average * 2, 12);
  expect(row.volatility_7d).toBeCloseTo(Math.abs((returns[1] as number) - average), 12);
  expect(row.trading_days_7d).toBe(3);
  expect(row.range_position_30d).toBeCloseTo((119 - 95) / (120 - 95), 12);
  expect(rowAt(marketView, [bars[0] as (typeof bars)[number]], NOW)).toMatchObject({
    daily_return: null,
    volatility_7d: 0,
  });
});

test('every feature of every view says what it means', () => {
  for (const { features } of VIEWS) {
    for (const { description } of Object.values(features)) expect(description.length).toBeGreaterThan(5);
  }
});

test('the last thirty closes of a symbol, each a column; what there was not is missing', () => {
  const bars = Array.from(
    { length: 40 },
    (_, day) =>
      [NOW - (39 - day) * DAY_MS, { symbol: 'AMZN', open: 1, high: 1, low: 1, close: day + 1, volume: 1 }] as const,
  );
  const row = rowAt(priceHistoryView, bars, NOW);
  expect(closesOldestFirst.map((name) => row[name])).toEqual(Array.from({ length: 30 }, (_, at) => at + 11));
  const few = rowAt(priceHistoryView, bars.slice(-2), NOW);
  expect(few).toMatchObject({ close_0: 40, close_1: 39, close_2: null, close_29: null });
});

test('a spike of a sensor is an anomaly, a steady one is none; each metric of a sensor is an entity of its own', () => {
  const reading = (minutesAgo: number, value: number) =>
    [NOW - minutesAgo * MINUTE_MS, { sensor_id: 's', metric: 'temperature', value }] as const;
  const steady = Array.from({ length: 30 }, (_, index) => reading(40 - index, 20 + Math.sin(index)));
  expect(rowAt(sensorView, steady, NOW)).toMatchObject({ is_anomaly: false });
  const spike = rowAt(sensorView, [...steady, reading(0, 60)], NOW);
  expect(spike).toMatchObject({ is_anomaly: true, value: 60 });
  expect(spike.z_score).toBeGreaterThan(3);
  expect(rowAt(sensorView, [reading(2, 5), reading(1, 500)], NOW)).toMatchObject({ is_anomaly: false, readings_1h: 2 });
  expect(entityKeyOf(sensorView.entity, { sensor_id: 's', metric: 'm' })).toBe('sensor:s|m');
});

test('one update of a credit line changes what its score is made of', () => {
  const update = (daysAgo: number, balance: number, late = 0) =>
    [NOW - daysAgo * DAY_MS, { kind: 'payment', balance, credit_limit: 1_000, days_past_due: late }] as const;
  expect(rowAt(creditView, [update(10, 0)], NOW).credit_score_input).toBe(850);
  const after = rowAt(creditView, [update(10, 0), update(1, 500, 45)], NOW);
  expect(after.credit_score_input).toBeCloseTo(300 + 550 * (0.4 * 0.5 + 0.4 * 0.5 + 0.2 * 0.5), 9);
  expect(after).toMatchObject({ utilisation: 0.5, late_payment_count_90d: 1, payment_count_365d: 2 });
  expect(rowAt(creditView, [update(10, 0), update(1, 500, 45)], NOW + 100 * DAY_MS)).toMatchObject({
    late_payment_count_90d: 0,
    late_payment_count_365d: 1,
  });
});

test('a claim that breaks rules says which; a clean one none', () => {
  const claim = (daysAgo: number, more: EventFields = {}) =>
    [
      NOW - daysAgo * DAY_MS,
      {
        claim_id: 'c',
        amount: 500,
        insured_amount: 1_000,
        incident_at: new Date(NOW - (daysAgo + 2) * DAY_MS).toISOString(),
        policy_from: '2025-01-01T00:00:00Z',
        policy_to: '2027-01-01T00:00:00Z',
        ...more,
      },
    ] as const;
  expect(rowAt(claimView, [claim(1)], NOW)).toMatchObject({ broken_rules: '', is_compliant: true, days_to_report: 2 });
  const bad = claim(1, { amount: 1_500, incident_at: '2024-12-31T00:00:00Z' });
  expect(rowAt(claimView, [bad], NOW)).toMatchObject({
    broken_rules: 'C1_amount_above_insured,C2_outside_policy_period,C3_reported_late',
    is_compliant: false,
  });
  expect(
    rowAt(
      claimView,
      [5, 4, 3, 1].map((days) => claim(days)),
      NOW,
    ).broken_rules,
  ).toBe('C5_more_than_3_claims_in_90_days');
});

test('recency, frequency and monetary value of a known customer', () => {
  const buy = (daysAgo: number, amount: number) =>
    [NOW - daysAgo * DAY_MS, { user_id: 'u', event_type: 'purchase', amount }] as const;
  const look = [NOW - DAY_MS, { user_id: 'u', event_type: 'view' }] as const;
  const values = rowAt(customerValueView, [buy(400, 999), buy(200, 10), buy(30, 20), buy(3, 60), look], NOW);
  expect(values).toMatchObject({
    frequency_90d: 2,
    frequency_365d: 3,
    monetary_90d: 80,
    monetary_365d: 90,
    basket_365d: 30,
  });
  expect(values.recency_days).toBeCloseTo(3, 9);
  expect(rowAt(customerValueView, [look], NOW).recency_days).toBeNull();
});

test('what is recommended by knows categories and products; who is not known gets defaults', () => {
  const events = [
    ago(5_000, 'view', { category: 'shoes', product_id: 'p1' }),
    ago(4_000, 'view', { category: 'hats' }),
  ];
  const row = rowAt(
    recommendationView,
    [...events, ago(3_000, 'add_to_cart', { category: 'hats', product_id: 'p2' })],
    NOW,
  );
  expect(row).toMatchObject({
    top_categories_7d: ['hats', 'shoes'],
    view_count_7d: 2,
    cart_count_7d: 1,
    last_products_30d: ['p2', 'p1'],
  });
  const service = SERVICES.find(({ name }) => name === 'product_recommendation') as FeatureService;
  const known = vectorOf(service, [{ values: row }], {}, NOW);
  expect(known).toMatchObject({ is_cold_user: false, favourite_category: 'hats', request_hour: 10 });
  const cold = vectorOf(service, [undefined], {}, NOW);
  expect(cold).toMatchObject({ is_cold_user: true, favourite_category: 'popular', view_count_7d: null });
});
