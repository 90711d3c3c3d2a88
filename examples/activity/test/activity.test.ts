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
