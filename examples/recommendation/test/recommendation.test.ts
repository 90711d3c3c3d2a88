import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest, pluginContract } from 'headwater/testing';
import { contextsOf, daypartOf, EVERYWHERE } from '../context_statistics.ts';
import { visitorHistory } from '../features/interactions.ts';
import { makeVisits } from '../interactions_generator.ts';
import { FACTORS, factorise } from '../matrix_factorisation.ts';
import { ndcgAt, recallAt } from '../ranking_metrics.ts';
import { recommend } from '../recommend_route.ts';

const NOW = Date.parse('2026-01-05T12:00:00Z');

for (const { name, timeoutMs, run } of pluginContract(recommend, {
  context: () => ({
    read: async (_, entities) => entities.map(() => undefined),
    nearest: async () => [],
  }),
})) {
  test(name, { timeout: timeoutMs }, run);
}

test('a visitor without interactions has no row, one with some has views and products', () => {
  const features = new FeatureTest([visitorHistory], { now: '2026-01-05T12:00:00Z' });
  assert.equal(features.row(visitorHistory, { user_id: 'u1' }), undefined);
  for (const item of ['p1', 'p2']) {
    features.ingest({
      ...{ event_type: 'interaction', interaction_id: item, user_id: 'u1', item_id: item, kind: 'view' },
      ...{ country: 'DE', at: features.now },
    });
    features.advance('1m');
  }
  const row = features.row(visitorHistory, { user_id: 'u1' });
  assert.deepEqual(row?.items_30d, ['p2', 'p1']);
  assert.equal(row?.interactions_30d, 2);
  assert.equal(row?.country, 'DE');
});

test('factors give items of a group more than items of another', () => {
  const interactions = new Map(
    Array.from({ length: 40 }, (_, user) => {
      const items = Array.from({ length: 5 }, (_, at) => `${user % 2 === 0 ? 'a' : 'b'}${(user + at) % 8}`);
      return [`u${user}`, new Map(items.map((item) => [item, 1]))];
    }),
  );
  const { users, items } = factorise(interactions, 1);
  const score = (user: string, item: string): number =>
    (users.get(user) as Float64Array).reduce((sum, value, at) => sum + value * (items.get(item)?.[at] as number), 0);
  for (let item = 0; item < 8; item += 1) {
    assert.ok(score('u0', `a${item}`) > score('u0', `b${item}`));
    assert.ok(score('u1', `b${item}`) > score('u1', `a${item}`));
  }
  assert.equal(users.get('u0')?.length, FACTORS);
  assert.deepEqual(factorise(interactions, 1), { users, items });
});

test('visits are the same for the same seed, and the newest of each visitor is kept apart', () => {
  const visits = makeVisits(20, 60, NOW, 3);
  assert.deepEqual(makeVisits(20, 60, NOW, 3), visits);
  assert.equal(visits.newest.size, 20);
  const seen = new Set(visits.interactions.filter(({ user_id: user }) => user === 'u0').map((each) => each.item_id));
  for (const { item_id: item } of visits.newest.get('u0') ?? []) assert.ok(!seen.has(item));
  const contexts = contextsOf(visits.interactions, visits.categories);
  assert.deepEqual(
    new Set(contexts.map(({ context }) => context)),
    new Set([EVERYWHERE, 'morning', 'afternoon', 'evening', 'DE', 'FR', 'PL']),
  );
  assert.deepEqual(
    contexts.find(({ context }) => context === EVERYWHERE)?.lifts.map((lift) => Math.round(lift * 1e6) / 1e6),
    Array(8).fill(1),
  );
});

test('parts of the day, recall and gain', () => {
  assert.deepEqual(
    ['03:59', '04:00', '11:00', '17:00'].map((time) => daypartOf(Date.parse(`2026-01-05T${time}:00Z`))),
    ['evening', 'morning', 'afternoon', 'evening'],
  );
  const relevant = new Set(['a', 'b']);
  assert.equal(recallAt(2, ['a', 'x', 'b'], relevant), 0.5);
  assert.equal(ndcgAt(2, ['a', 'b'], relevant), 1);
  assert.ok(Math.abs(ndcgAt(3, ['x', 'a', 'b'], relevant) - (1 / Math.log2(3) + 0.5) / (1 + 1 / Math.log2(3))) < 1e-12);
});

test('the contract holds on visits as they are, and not with a crawler among them or when none come', async () => {
  const features = new FeatureTest([visitorHistory], {
    now: new Date(NOW).toISOString(),
    allowedLateness: '60d' as never,
  });
  features.ingest(
    ...makeVisits(30, 40, NOW + 3 * 86_400_000, 3)
      .interactions.filter(({ at }) => Date.parse(at) <= NOW)
      .map((each) => ({ ...each })),
  );
  assert.deepEqual(await features.brokenTerms(visitorHistory), []);
  for (let each = 0; each < 1_001; each += 1)
    features.ingest({
      ...{
        event_type: 'interaction',
        interaction_id: `c${each}`,
        user_id: 'crawler',
        item_id: `p${each}`,
        kind: 'view',
      },
      ...{ country: 'DE', at: features.now },
    });
  assert.deepEqual(await features.brokenTerms(visitorHistory), ['violations']);
  features.advance('8d');
  assert.ok((await features.brokenTerms(visitorHistory)).includes('freshness'));
});
