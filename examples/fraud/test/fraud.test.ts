import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { fraudView } from '../features/fraud.ts';
import { generateTransactions } from '../transaction_generator.ts';

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

test('the contract holds on payments as they are, and not with cents for euros or when none come', async () => {
  const endMs = Date.parse('2026-01-05T12:00:00Z');
  const features = new FeatureTest([fraudView], { now: '2026-01-05T12:00:00Z' });
  const events = generateTransactions({ seed: 1, events: 1_500, accounts: 100, days: 3, endMs });
  const usable = events.filter(({ arrival, timestampMs }) => arrival === 'in_order' && timestampMs <= endMs);
  features.ingest(...usable.map(({ body }) => JSON.parse(body)));
  assert.deepEqual(await features.brokenTerms(fraudView), []);
  for (let account = 1; account <= 10; account += 1) {
    const id = `acct_${String(account).padStart(5, '0')}`;
    features.ingest({ ...payment(`s${account}`, features.now, 250_000, 'm1'), account_id: id });
  }
  assert.deepEqual(await features.brokenTerms(fraudView), ['violations']);
  features.advance('2d');
  assert.ok((await features.brokenTerms(fraudView)).includes('freshness'));
});
