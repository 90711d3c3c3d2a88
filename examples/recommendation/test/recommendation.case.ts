import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'headwater/client';
import { bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import { contextsOf, EVERYWHERE } from '../context_statistics.ts';
import { makeVisits } from '../interactions_generator.ts';
import { ndcgAt, recallAt } from '../ranking_metrics.ts';
import { ALGORITHMS, type Recommended } from '../recommend_route.ts';
import { countsOf } from '../workflows/learn_tastes.ts';

// Visits of four weeks → factors → embeddings in the stores → POST /recommend, judged by each visitor's newest visit; `npm run case`.

const USERS = 400;
const ITEMS = 300;
const K = 20;

interface Judged {
  readonly algorithm: string;
  readonly recall: number;
  readonly ndcg: number;
  readonly popularRecall: number;
  readonly popularNdcg: number;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

test('products are recommended', { timeout: 600_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'recommendation-'));
  const data = join(folder, 'data');
  const { interactions, newest, categories } = makeVisits(USERS, ITEMS, startedMs, 1);
  const events = join(folder, 'interactions.jsonl');
  await writeFile(events, interactions.map((each) => `${JSON.stringify(each)}\n`).join(''));
  await PlatformProcess.command(data, ['features', 'backfill', '--view', 'visitor_history@1', '--in', events]);

  const products = join(folder, 'products.jsonl');
  await writeFile(
    products,
    [...categories].map(([item_id, category]) => `${JSON.stringify({ item_id, category })}\n`).join(''),
  );
  const counts = countsOf(interactions);
  const contexts = contextsOf(interactions, categories);

  const port = await PlatformProcess.freePort();
  const settings = { FEATURE_API_PORT: String(port), FEATURES_URL: `http://127.0.0.1:${port}`, PRODUCTS: products };
  const platform = await PlatformProcess.start(data, settings);
  try {
    const { gateway, features } = platform.urls;
    const post = async <T>(path: string, body: unknown): Promise<T> => {
      const answer = await fetch(`${features}${path}`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      });
      assert.ok(answer.ok, `${path}: ${answer.status} ${await answer.clone().text()}`);
      return (await answer.json()) as T;
    };
    const at = new Date().toISOString();
    const learned = await PlatformProcess.runWorkflow(data, 'learn', {}, settings);
    assert.deepEqual(learned, {
      ...{ interactions: interactions.length, visitors: USERS },
      ...{ products: new Set(interactions.map(({ item_id: item }) => item)).size, contexts: contexts.length },
    });
    const popular = contexts.find(({ context }) => context === EVERYWHERE)?.popular as readonly string[];
    const latencies: number[] = [];
    const judged: Judged[] = [];
    for (const [user, visit] of newest) {
      const relevant = new Set(visit.map(({ item_id: item }) => item));
      const sentMs = performance.now();
      const { algorithm, items } = await post<Recommended>('/recommend', { user, k: K, at: visit[0]?.at });
      latencies.push(performance.now() - sentMs);
      const unseen = popular.filter((item) => counts.get(user)?.has(item) !== true);
      judged.push({
        ...{ algorithm, recall: recallAt(K, items, relevant), ndcg: ndcgAt(K, items, relevant) },
        ...{ popularRecall: recallAt(K, unseen, relevant), popularNdcg: ndcgAt(K, unseen, relevant) },
      });
    }
    const interval = (of: readonly Judged[], value: (each: Judged) => number) => bootstrapInterval(of.map(value), mean);
    const shown = ({ estimate, low, high }: ReturnType<typeof interval>): string =>
      `${estimate.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
    console.table(
      ALGORITHMS.map((algorithm) => {
        const of = judged.filter((each) => each.algorithm === algorithm);
        return {
          ...{ algorithm, users: of.length, 'recall@20': shown(interval(of, ({ recall }) => recall)) },
          ...{ 'NDCG@20': shown(interval(of, ({ ndcg }) => ndcg)) },
          'recall@20 of popularity': shown(interval(of, ({ popularRecall }) => popularRecall)),
          'NDCG@20 of popularity': shown(interval(of, ({ popularNdcg }) => popularNdcg)),
        };
      }),
    );

    // A visitor without history gets what is popular in the country, and after the first events of the stream still has an answer.
    const cold = await post<Recommended>('/recommend', { user: 'new', k: 5, country: 'FR' });
    assert.equal(cold.algorithm, 'popularity');
    assert.deepEqual(cold.items, contexts.find(({ context }) => context === 'FR')?.popular.slice(0, 5));
    // What is opened now is not recommended again.
    const client = createClient({ gatewayUrl: gateway, featuresUrl: features });
    const [first = ''] = (await post<Recommended>('/recommend', { user: 'u0', k: 1, at })).items;
    await client.ingest.send({
      ...{ event_type: 'interaction', interaction_id: 'now', user_id: 'u0', item_id: first, kind: 'view' },
      ...{ country: 'DE', at: new Date().toISOString() },
    });
    let items: readonly string[] = [first];
    for (let tries = 0; tries < 200 && items.includes(first); tries += 1) {
      await sleep(50);
      ({ items } = await post<Recommended>('/recommend', { user: 'u0', at }));
    }
    assert.ok(!items.includes(first), `${first} is recommended again`);

    const byFactors = judged.filter(({ algorithm }) => algorithm === 'matrix_factorisation');
    const result = {
      ...{ case: 'recommendation', events: interactions.length, features: 'visitor_history@1' },
      ...{ model: 'matrix factorisation', metric: 'recall@20', ...interval(byFactors, ({ recall }) => recall) },
      baseline: { name: 'popularity', ...interval(byFactors, ({ popularRecall }) => popularRecall) },
      ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
    };
    assert.ok(result.low > result.baseline.high, JSON.stringify(result));
    console.log(`RESULT ${JSON.stringify(result)}`);
  } finally {
    await platform.terminate();
    await rm(folder, { recursive: true, force: true });
  }
});
