import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { fraudView } from '../features/fraud.ts';

const payment = (id: string, timestamp: string, amount: number, merchant: string) => ({
  ...{ event_id: id, user_id: 'u1', event_type: 'transaction', timestamp, account_id: 'a1', amount, currency: 'EUR' },
  ...{ merchant_id: merchant, merchant_category: 'electronics', country: 'DE' },
});

test('payments of an account count in their windows, a repeated one once', () => {
  const features = new FeatureTest([fraudView], { now: '2026-01-05T12:00:00Z' });
  const first = payment('e1', features.now, 20, 'm1');
  assert.equal(features.ingest(first, first), 1);
  features.advance('30m');
  features.ingest(payment('e2', features.now, 300, 'm2'));
  const row = features.row(fraudView, { account_id: 'a1' });
  assert.equal(row?.count_1h, 2);
  assert.equal(row?.sum_amount_24h, 320);
  assert.equal(row?.distinct_merchant_id_1h, 2);
  features.advance('45m');
  assert.equal(features.row(fraudView, { account_id: 'a1' })?.count_1h, 1);
});

test('a payment without an account is refused, and the field is named', () => {
  const features = new FeatureTest([fraudView]);
  const { account_id: _, ...rest } = payment('e1', features.now, 20, 'm1');
  assert.throws(() => features.ingest(rest), /account_id/);
});
