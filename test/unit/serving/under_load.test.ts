import { Agent, request } from 'node:http';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { tinyModel, tinyScore } from '../../support/tiny_model.ts';
import { serveTiny, type TinyServing } from '../../support/tiny_serving.ts';

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
