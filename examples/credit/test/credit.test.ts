import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { makePortfolio } from '../credit_generator.ts';
import { creditView } from '../features/credit.ts';
import { areaUnderCurve, reasonsOf, scoreOf } from '../reason_codes.ts';

test("an update changes the score's input with this one event", () => {
  const features = new FeatureTest([creditView], { now: '2026-01-05T12:00:00Z' });
  const update = (id: string, kind: string, balance: number, daysPastDue: number) => ({
    ...{
      event_id: id,
      user_id: 'u1',
      event_type: 'credit_update',
      timestamp: features.now,
      credit_line_id: 'l1',
      kind,
    },
    ...{ balance, credit_limit: 1_000, days_past_due: daysPastDue },
  });
  features.ingest(update('e1', 'payment', 100, 0));
  const before = features.row(creditView, { credit_line_id: 'l1' })?.credit_score_input as number;
  features.advance('1d');
  features.ingest(update('e2', 'payment', 900, 45));
  const after = features.row(creditView, { credit_line_id: 'l1' })?.credit_score_input as number;
  // 300 + 550 (0.4 · 0.9 + 0.4 + 0.2), and 300 + 550 (0.4 · 0.1 + 0.4 · 0.5 + 0.2 · 0.5)
  assert.ok(Math.abs(before - 828) < 1e-9, String(before));
  assert.ok(Math.abs(after - 487) < 1e-9, String(after));
});

test('reasons are what raises the risk, the strongest first and four at most', () => {
  assert.deepEqual(
    reasonsOf({ utilisation: 0.2, late_payment_count_90d: 0.9, payment_count_90d: -0.5, max_days_past_due_365d: 0.1 }),
    ['R5_late_payments_in_90_days', 'R1_balance_near_limit', 'R7_long_delay_in_a_year'],
  );
  assert.deepEqual(reasonsOf({ utilisation: -1 }), []);
});

test('a score is lower for a higher risk, and within its scale', () => {
  assert.deepEqual([0, 0.01, 0.5, 0.99, 1].map(scoreOf), [850, 583, 450, 317, 300]);
});

test('the area under the curve counts ties as a half', () => {
  const rows = (text: string) => [...text].map((kind, risk) => ({ risk, isDefault: kind === 'd' }));
  assert.equal(areaUnderCurve(rows('rrdd')), 1);
  assert.equal(areaUnderCurve(rows('rdrd')), 0.75);
  assert.equal(areaUnderCurve([...'rd'].map((kind) => ({ risk: 1, isDefault: kind === 'd' }))), 0.5);
});

test('the portfolio is the same for the same seed, and few lines default', () => {
  const now = Date.parse('2026-01-05T12:00:00Z');
  const portfolio = makePortfolio(300, now, 1);
  assert.deepEqual(makePortfolio(300, now, 1), portfolio);
  const share = portfolio.outcomes.filter(({ label }) => label === 1).length / portfolio.outcomes.length;
  assert.ok(share > 0.03 && share < 0.2, String(share));
});

test('the contract holds on updates as they are, and not on balances in another unit or when none come', async () => {
  const now = '2026-01-05T12:00:00Z';
  const features = new FeatureTest([creditView], { now, allowedLateness: '400d' as never });
  const { updates } = makePortfolio(100, Date.parse(now), 2);
  const newest = (updates.at(-1) as { timestamp: string }).timestamp;
  const shift = Date.parse(now) - Date.parse(newest);
  const moved = updates.map((each) => ({
    ...each,
    timestamp: new Date(Date.parse(each.timestamp) + shift).toISOString(),
  }));
  features.ingest(...moved);
  assert.deepEqual(await features.brokenTerms(creditView), []);
  // Balances in cents, of half of the lines.
  for (let line = 0; line < 50; line += 1)
    features.ingest({
      ...moved[0],
      ...{ event_id: `s${line}`, user_id: `line${line}`, credit_line_id: `line${line}`, timestamp: now },
      ...{ balance: 30_000, credit_limit: 5_000 },
    });
  assert.deepEqual(await features.brokenTerms(creditView), ['violations']);
  features.advance('16d');
  assert.ok((await features.brokenTerms(creditView)).includes('freshness'));
});
