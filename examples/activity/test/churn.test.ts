import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAY_MS } from 'headwater/features';
import { FeatureTest } from 'headwater/testing';
import { makeEvents, SILENCE_MS, silencesAt } from '../activity_generator.ts';
import { recommendationView } from '../features/recommendation.ts';
import { userActivityV1, userActivityV2 } from '../features/user_activity.ts';

const NOW_MS = Date.parse('2026-03-01T00:00:00Z');

/** Computes features of events that come as they happen, as of a time after them. */
function playedBack(events: ReturnType<typeof makeEvents>, atMs: number): FeatureTest {
  const views = [userActivityV1, userActivityV2, recommendationView];
  const features = new FeatureTest(views, { now: events[0]?.timestamp as string });
  for (const event of events) {
    features.setTime(event.timestamp);
    features.ingest(event);
  }
  features.setTime(new Date(atMs).toISOString());
  return features;
}

test('a label is the silence of 14 days after a time, of users who were active in the 14 days before it', () => {
  const event = (user: string, day: number) => ({
    ...{ event_id: `${user}-${day}`, user_id: user, event_type: 'click' as const },
    timestamp: new Date(NOW_MS + day * DAY_MS).toISOString(),
  });
  const events = [
    ...[event('stays', -1), event('stays', 13), event('leaves', -13), event('leaves', 15)],
    ...[event('gone', -15), event('new', 2), event('last moment', 0), event('last moment', 14)],
  ];
  assert.deepEqual(
    silencesAt(events, NOW_MS).map(({ user_id: user, label }) => [user, label]),
    [
      ['last moment', 0],
      ['leaves', 1],
      ['stays', 0],
    ],
  );
});

test('features of a time count the events up to it, and what comes after 14 days changes no label', () => {
  const events = makeEvents(30, 60, NOW_MS, 5);
  const atMs = NOW_MS - 20 * DAY_MS;
  const until = (ms: number) => events.filter(({ timestamp }) => Date.parse(timestamp) <= ms);
  assert.deepEqual(silencesAt(events, atMs), silencesAt(until(atMs + SILENCE_MS), atMs));
  const known = until(atMs);
  const features = playedBack(known, atMs);
  const rows = silencesAt(events, atMs).map(({ user_id }) => [
    features.row(userActivityV2, { user_id })?.activity_count_7d,
    features.row(recommendationView, { user_id })?.view_count_30d,
  ]);
  const counted = silencesAt(events, atMs).map(({ user_id: user }) => {
    const of = known.filter((each) => each.user_id === user);
    const since = (days: number) => of.filter(({ timestamp }) => Date.parse(timestamp) > atMs - days * DAY_MS);
    return [since(7).length, since(30).filter(({ event_type: type }) => type === 'view').length];
  });
  assert.deepEqual(rows, counted);
});

test('golden: what two versions of the view and the month of a user hold after 30 days of events', () => {
  const features = playedBack(makeEvents(1, 30, NOW_MS, 12), NOW_MS);
  const key = { user_id: 'u0' };
  const first = features.row(userActivityV1, key);
  const second = features.row(userActivityV2, key);
  const month = features.row(recommendationView, key);
  const rounded = (value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value);
  const picked = {
    ...{ score_1: first?.engagement_score, score_2: second?.engagement_score, variant: second?.ab_variant },
    ...{ events: second?.activity_count_7d, spent: second?.purchase_amount_7d },
    ...{ device: second?.top_device_type_7d, mobile: second?.mobile_ratio_7d },
    ...{ seconds: second?.seconds_since_last_event, views: month?.view_count_30d, carts: month?.cart_count_30d },
  };
  assert.deepEqual(Object.fromEntries(Object.entries(picked).map(([name, value]) => [name, rounded(value)])), {
    ...{ score_1: 22.6, score_2: 27.0755, variant: 'A', events: 17, spent: 18, device: 'desktop', mobile: 0.117647 },
    ...{ seconds: 51641.5, views: 27, carts: 7 },
  });
});
