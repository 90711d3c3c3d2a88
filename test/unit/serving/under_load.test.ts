import { Agent, request } from 'node:http';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import autocannon from 'autocannon';
import { tinyModel, tinyScore } from '../../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';

// Callers over HTTP while versions are swapped, and what the metrics say of them.

const CALLERS = 8;
let serving: TinyServing;
let agent: Agent;
beforeEach(async () => {
  serving = await serveTiny({}, async (registry) => {
    await registry.register({ name: 'tiny', package: tinyModel(3), metrics: { training_seconds: 12.5 }, params: {} });
    await registry.register({ name: 'tiny', package: tinyModel(6), metrics: {}, params: {} });
  });
  await serving.service.start();
  agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
});
afterEach(async () => {
  agent.destroy();
  await serving.stop();
});

interface Answer {
  readonly status: number | undefined;
  readonly body: { readonly model_version: number; readonly probabilities: { readonly fraud: number } };
}
const BODY = JSON.stringify({
  ...{ model_name: 'tiny', return_probabilities: true },
  features: { amount: 10, count: 3, weekend: true, category: 'b' },
});

const predict = (): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const sent = request(`${serving.service.url}/predict`, { method: 'POST', agent, headers }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () =>
        resolve({ status: answer.statusCode, body: JSON.parse(Buffer.concat(parts).toString()) as Answer['body'] }),
      );
    });
    sent.on('error', reject);
    sent.end(BODY);
  });

test('versions are swapped under load: each request is answered by one version, and the metrics count them as the callers do', async () => {
  const answered = new Map<number, number>();
  const wrong: Answer[] = [];
  let isOver = false;
  const answersOf = (version: number): number => answered.get(version) ?? 0;
  const call = async (): Promise<void> => {
    const answer = await predict();
    const { model_version: version, probabilities } = answer.body;
    const score = tinyScore((version - 1) * 3, [10, 3, 1, 0.7]);
    if (answer.status !== 200 || Math.abs(probabilities.fraud - score) > 1e-5) wrong.push(answer);
    answered.set(version, answersOf(version) + 1);
  };
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!isOver) await call();
  });
  const some = async (version: number): Promise<void> => {
    for (const target = answersOf(version) + 50; answersOf(version) < target; ) await call();
  };
  await some(1);
  for (const version of [2, 3, 1, 2, 3]) {
    await serving.registry.transition('tiny', version, 'Production');
    await serving.models.refresh();
    await some(version);
  }
  isOver = true;
  await Promise.all(callers);
  expect(wrong).toEqual([]);
  const shown = await serving.metrics.metrics();
  for (const [version, rows] of answered) {
    expect(shown).toContain(`predictions_total{model="tiny",version="${version}",variant="production"} ${rows}\n`);
  }
  const all = [...answered.values()].reduce((sum, rows) => sum + rows, 0);
  expect(shown).toContain(`prediction_latency_seconds_count{route="/predict"} ${all}\n`);
  expect(shown).toMatch(/model_load_seconds_count\{model="tiny"\} [3-9]/);
});

test('how long the version that answers was trained is shown, while it answers', async () => {
  const shown = async (): Promise<readonly string[]> =>
    (await serving.metrics.metrics()).split('\n').filter((line) => line.startsWith('model_training_seconds{'));
  expect(await shown()).toEqual([]);
  await serving.registry.transition('tiny', 2, 'Production');
  await serving.models.refresh();
  expect(await shown()).toEqual(['model_training_seconds{model="tiny",version="2",variant="production"} 12.5']);
  await serving.registry.transition('tiny', 3, 'Production');
  await serving.models.refresh();
  expect(await shown()).toEqual([]);
});

test('metrics of each version are the counts of a load tool: requests, rows, latency, hits of the cache', async () => {
  const cached = await serveTiny({ predictionCache: {} }, async (registry) => {
    await registry.register({ name: 'tiny', package: tinyModel(3), metrics: {}, params: {} });
  });
  await cached.service.start();
  const load = (amount: number) =>
    autocannon({
      ...{ url: `${cached.service.url}/predict`, method: 'POST', amount, connections: CALLERS },
      headers: { 'content-type': 'application/json' },
      // Half of the rows come more than once.
      requests: Array.from({ length: 100 }, (_, index) => ({
        body: BODY.replace('"count":3', `"count":${index < 50 ? index : 50}`),
      })),
    });
  try {
    const versions = [await load(1_000)];
    await cached.registry.transition('tiny', 2, 'Production');
    await cached.models.refresh();
    versions.push(await load(600));
    const shown = await cached.metrics.metrics();
    const shownBy = (metric: string): number =>
      Number(
        shown
          .split('\n')
          .find((line) => line.startsWith(`${metric} `))
          ?.slice(metric.length + 1) ?? 0,
      );
    for (const [at, { '2xx': answered, non2xx, latency }] of versions.entries()) {
      const labels = `model="tiny",version="${at + 1}"`;
      expect([answered, non2xx]).toEqual([[1_000, 600][at], 0]);
      expect(shownBy(`predictions_total{${labels},variant="production"}`)).toBe(answered);
      const [hits, misses] = ['hit', 'miss'].map((outcome) =>
        shownBy(`prediction_cache_lookups_total{${labels},outcome="${outcome}"}`),
      ) as [number, number];
      expect(hits + misses).toBe(answered);
      const computed = shownBy(`model_latency_seconds_count{${labels}}`);
      expect(computed).toBe(misses);
      // Each row is computed once, or once more by each of those that asked before the first had its answer.
      expect(misses).toBeGreaterThanOrEqual(51);
      expect(misses).toBeLessThanOrEqual(51 * CALLERS);
      expect(shownBy(`model_latency_seconds_bucket{${labels},le="+Inf"}`)).toBe(computed);
      // What a caller waits for has the network in it.
      const meanMs = (shownBy(`model_latency_seconds_sum{${labels}}`) / computed) * 1_000;
      expect(meanMs).toBeGreaterThan(0);
      expect(meanMs).toBeLessThan(latency.max);
    }
    const all = versions.reduce((sum, { '2xx': answered }) => sum + answered, 0);
    expect(shownBy('prediction_latency_seconds_count{route="/predict"}')).toBe(all);
  } finally {
    await cached.stop();
  }
}, 60_000);
