import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { alertOf, sha256 } from '../alerts.ts';
import { transferView } from '../features/transfers.ts';
import { htmlReport, markdownReport } from '../report.ts';
import { makeTransfers } from '../transfers_generator.ts';

const NOW = '2026-01-05T12:00:00Z';
const transfer = (id: number, changes: object = {}) => ({
  ...{ event_id: `e${id}`, user_id: 'c1', event_type: 'transfer', timestamp: NOW, transfer_id: `t${id}` },
  ...{ customer_id: 'c1', kind: 'payment', amount: 100, country: 'DE', ...changes },
});
const deposit = (id: number, amount: number) => transfer(id, { kind: 'cash_deposit', amount });

for (const { name, events, broken } of [
  { name: 'usual transfers break no rule', events: [transfer(1), deposit(2, 500)], broken: '' },
  {
    ...{ name: 'three deposits just below the reported amount', broken: 'A1_structuring' },
    events: [deposit(1, 8_000), deposit(2, 9_000), deposit(3, 9_999.99)],
  },
  {
    ...{ name: 'a deposit that is reported itself does not count', broken: '' },
    events: [deposit(1, 8_000), deposit(2, 9_000), deposit(3, 10_000)],
  },
  {
    ...{ name: 'ten transfers within an hour', broken: 'A2_velocity' },
    events: Array.from({ length: 10 }, (_, at) => transfer(at)),
  },
  {
    ...{ name: 'a sanctioned country, also when another transfer follows', broken: 'A3_sanctioned_country' },
    events: [transfer(1, { country: 'XA' }), transfer(2)],
  },
]) {
  test(name, () => {
    const features = new FeatureTest([transferView], { now: NOW });
    for (const event of events) features.ingest(event);
    assert.equal(features.row(transferView, { customer_id: 'c1' })?.broken_rules, broken);
  });
}

const evidenceOf = (changes: object = {}): string =>
  JSON.stringify({
    ...{ at: NOW, definition: { version: 1, fingerprint: 'f' }, recomputed: { value: 1 }, equal: true },
    events: { total: 1, items: [{ event_id: '<e1>', time: NOW, place: '0/1' }] },
    ...changes,
  });
const seen = { rule: 'A3_sanctioned_country', customer: 'c1', transfer: 't1', value: 1 };

test('an alert has the same id whenever it is raised, its events, and the hash of its evidence', () => {
  const alert = alertOf(seen, evidenceOf());
  assert.equal(alert.id, alertOf(seen, evidenceOf({ at: '2026-01-06T12:00:00Z' })).id);
  assert.deepEqual(alert.events, [{ event_id: '<e1>', time: NOW }]);
  assert.equal(alert.evidence, sha256(evidenceOf()));
});

for (const { name, changes } of [
  { name: 'events give another value', changes: { equal: false } },
  { name: 'events give less than the rule needs', changes: { recomputed: { value: 0 } } },
  { name: 'events are missing', changes: { events: { total: 0, items: [] } } },
]) {
  test(`no alert is raised where ${name}`, () => {
    assert.throws(() => alertOf(seen, evidenceOf(changes)), /A3_sanctioned_country of c1/);
  });
}

test('the report names rules, alerts, events and evidence, in both forms', () => {
  const alert = alertOf(seen, evidenceOf());
  const period = { from: 'a', until: 'b', transfers: 1, customers: 1 };
  const [markdown, html] = [markdownReport([alert], period), htmlReport([alert], period)];
  for (const part of [alert.id, alert.rule, alert.evidence, 'A1_structuring']) {
    assert.ok(markdown.includes(part), part);
    assert.ok(html.includes(part), part);
  }
  assert.ok(html.includes('&lt;e1&gt;') && !html.includes('<e1>'));
});

test('the transfers are the same for the same seed', () => {
  assert.deepEqual(makeTransfers(20, 1_767_614_400_000, 2), makeTransfers(20, 1_767_614_400_000, 2));
});
