import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { customerValue } from '../features/customer_value.ts';
import { makeOrders } from '../orders_generator.ts';
import { type Assigned, adjustedRandIndex, profilesOf } from '../segment_profiles.ts';

test('orders become recency, frequency and money', () => {
  const features = new FeatureTest([customerValue], { now: '2026-01-05T12:00:00Z' });
  const order = (id: string, amount: number) => ({
    ...{ event_type: 'order', order_id: id, customer_id: 'c1', amount, ordered_at: features.now },
  });
  features.ingest(order('o1', 20));
  features.advance('10d');
  features.ingest(order('o2', 40));
  features.advance('3d');
  const row = features.row(customerValue, { customer_id: 'c1' });
  assert.equal(row?.recency_days, 3);
  assert.equal(row?.frequency_365d, 2);
  assert.equal(row?.monetary_365d, 60);
  assert.equal(row?.basket_365d, 30);
});

test('the generator gives the same orders for the same seed, and newest ones by kind', () => {
  const now = Date.parse('2026-01-05T12:00:00Z');
  const { orders, kinds } = makeOrders(200, now, 1);
  assert.deepEqual(makeOrders(200, now, 1).orders, orders);
  assert.deepEqual(new Set(kinds.values()), new Set(['loyal', 'bargain', 'occasional', 'lapsed']));
  assert.equal(new Set(orders.map(({ order_id: id }) => id)).size, orders.length);
  assert.ok(orders.every(({ ordered_at: at }) => Date.parse(at) <= now));
});

test('profiles are in the units of the data, and groupings are compared up to their names', () => {
  const customer = (id: string, segment: string, monetary: number): Assigned => ({
    ...{ customer_id: id, segment_id: segment, recency_days: 1, frequency: 2, monetary, basket: monetary / 2 },
  });
  const profiles = profilesOf([customer('a', 's1', 10), customer('b', 's2', 30), customer('c', 's2', 50)]);
  assert.deepEqual(profiles[0], {
    ...{ segment_id: 's2', size: 2, share: 2 / 3, recency_days: 1, frequency: 2, monetary: 40, basket: 20 },
  });
  const pairs = (names: string, others: string) => [...names].map((name, at) => [name, others[at] as string] as const);
  assert.equal(adjustedRandIndex(pairs('aabbcc', 'xxyyzz')), 1);
  // scikit-learn's example: adjusted_rand_score([0, 0, 1, 1], [0, 0, 1, 2])
  assert.ok(Math.abs(adjustedRandIndex(pairs('aabb', 'xxyz')) - 0.5714) < 1e-4);
});

test('the contract holds on orders as they are, and not on amounts in another unit or when none come', async () => {
  const now = Date.parse('2026-01-05T12:00:00Z');
  const features = new FeatureTest([customerValue], { now: '2026-01-05T12:00:00Z', allowedLateness: '400d' as never });
  features.ingest(...makeOrders(200, now, 2).orders.map((order) => ({ ...order })));
  assert.deepEqual(await features.brokenTerms(customerValue), []);
  for (let each = 0; each < 20; each += 1)
    features.ingest({
      ...{
        event_type: 'order',
        order_id: `s${each}`,
        customer_id: `s${each}`,
        amount: 90_000,
        ordered_at: features.now,
      },
    });
  assert.deepEqual(await features.brokenTerms(customerValue), ['violations']);
  features.advance('8d');
  assert.ok((await features.brokenTerms(customerValue)).includes('freshness'));
});
