import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest, pluginContract } from 'headwater/testing';
import { makeClaims } from '../claims_generator.ts';
import { claimView } from '../features/claims.ts';
import { triageOf } from '../triage.ts';
import { triageRoute } from '../triage_route.ts';

const NOW = '2026-01-05T12:00:00Z';

for (const { name, timeoutMs, run } of pluginContract(triageRoute, {
  context: () => ({ read: async (_, entities) => entities.map(() => undefined), nearest: async () => [] }),
})) {
  test(name, { timeout: timeoutMs }, run);
}

const claim = (changes: object) => ({
  ...{ event_id: 'e1', user_id: 'p1', event_type: 'insurance_claim', timestamp: NOW, claim_id: 'c1', policy_id: 'p1' },
  ...{ amount: 100, insured_amount: 1_000, incident_at: '2026-01-01T12:00:00Z' },
  ...{ policy_from: '2025-06-01T00:00:00Z', policy_to: '2026-06-01T00:00:00Z' },
  ...changes,
});

for (const { name, changes, decision, rules } of [
  { name: 'a clean claim is paid', changes: {}, decision: 'pay', rules: [] },
  {
    ...{ name: 'more than is insured is reviewed', changes: { amount: 1_001 } },
    ...{ decision: 'review', rules: ['C1_amount_above_insured'] },
  },
  {
    ...{ name: 'an incident after the policy is rejected', changes: { policy_to: '2025-12-01T00:00:00Z' } },
    ...{ decision: 'reject', rules: ['C2_outside_policy_period'] },
  },
  {
    ...{ name: 'two rules are both named', changes: { amount: 2_000, incident_at: '2025-11-01T00:00:00Z' } },
    ...{ decision: 'review', rules: ['C1_amount_above_insured', 'C3_reported_late'] },
  },
]) {
  test(name, () => {
    const features = new FeatureTest([claimView], { now: NOW });
    features.ingest(claim(changes));
    const row = features.row(claimView, { policy_id: 'p1' });
    assert.ok(row !== undefined);
    const triage = triageOf(row);
    assert.deepEqual([triage.claim_id, triage.decision, triage.rules], ['c1', decision, rules]);
    assert.equal(triage.evidence.days_to_report, row.days_to_report);
  });
}

test('the claims are the same for the same seed', () => {
  const claims = makeClaims(200, Date.parse(NOW), 1);
  assert.deepEqual(makeClaims(200, Date.parse(NOW), 1), claims);
  assert.equal(new Set(claims.breaches.values()).size, 6);
});

test('the contract holds on claims as they are, and not on amounts in another unit or when none come', async () => {
  const features = new FeatureTest([claimView], { now: NOW });
  const { claims } = makeClaims(200, Date.parse(NOW), 2);
  features.ingest(...claims.map((each) => ({ ...each })));
  assert.deepEqual(await features.brokenTerms(claimView), []);
  for (let each = 0; each < 20; each += 1)
    features.ingest(claim({ event_id: `s${each}`, claim_id: `s${each}`, policy_id: `s${each}`, amount: 100_000 }));
  assert.deepEqual(await features.brokenTerms(claimView), ['violations']);
  features.advance('3d');
  assert.ok((await features.brokenTerms(claimView)).includes('freshness'));
});
