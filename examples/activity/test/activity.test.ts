import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { userActivityV2 } from '../features/user_activity.ts';

test('events of a user count in their windows, and a session ends', () => {
  const features = new FeatureTest([userActivityV2], { now: '2026-01-05T12:00:00Z' });
  const click = (id: string) => ({ event_id: id, user_id: 'u1', event_type: 'click', timestamp: features.now });
  features.ingest(click('e1'));
  features.advance('10m');
  features.ingest(click('e2'));
  const row = features.row(userActivityV2, { user_id: 'u1' });
  assert.equal(row?.activity_count_1h, 2);
  assert.equal(row?.is_active_session, true);
  assert.equal(row?.session_duration_seconds, 600);
  features.advance('1h');
  assert.equal(features.row(userActivityV2, { user_id: 'u1' })?.is_active_session, false);
});

test('the contract holds on events as they are, and not when devices go missing or none come', async () => {
  const features = new FeatureTest([userActivityV2], { now: '2026-01-05T12:00:00Z' });
  const click = (user: string, fields: object) =>
    features.ingest({ event_id: `${user}-1`, user_id: user, event_type: 'click', timestamp: features.now, ...fields });
  for (let user = 0; user < 10; user += 1) click(`u${user}`, { device_type: 'mobile' });
  assert.deepEqual(await features.brokenTerms(userActivityV2), []);
  // A release of the app that sends no device.
  for (let user = 10; user < 30; user += 1) click(`u${user}`, {});
  assert.deepEqual(await features.brokenTerms(userActivityV2), ['missing last_device_type']);
  features.advance('2d');
  assert.ok((await features.brokenTerms(userActivityV2)).includes('freshness'));
});
