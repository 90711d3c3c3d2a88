import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { LoadedModel } from '#serving/models/loaded_model';
import { costlyModel } from '../../../support/platforms/costly_model.ts';
import { tinyModel } from '../../../support/platforms/tiny_model.ts';
import { serveTiny } from '../../../support/platforms/tiny_serving.ts';

test('a costly model is computed on a thread of its own: others are not held up, and it gives the same', async () => {
  const costly = await LoadedModel.load(costlyModel(), { runtime: { ownThreadFromMs: 0.5 } });
  const cheap = await LoadedModel.load(tinyModel(0));
  expect([costly.hasThread, cheap.hasThread]).toEqual([true, false]);
  const rows = 256;
  const input = Float32Array.from({ length: rows * 4 }, (_, at) => at % 7);
  const whole = await costly.run(input, rows);
  let turns = 0;
  let running = true;
  const computing = costly.run(input, rows).then((output) => {
    running = false;
    return output;
  });
  while (running) {
    await cheap.run(input.subarray(0, 4), 1);
    await turn();
    turns += 1;
  }
  expect(await computing).toEqual(whole);
  // On this thread it would leave room for one turn, or none.
  expect(turns).toBeGreaterThan(3);
  // Row by row it is the same, and a run that was begun before the release is finished.
  const last = costly.run(input.subarray(0, 4), 1);
  await costly.release();
  expect((await last)[1]).toBeCloseTo(whole[1] as number, 5);
  await cheap.release();
}, 60_000);

test('of fifty slow calls at once ten are computed, as many as may be; the others are told to come again, and counted', async () => {
  const tiny = await serveTiny(
    { models: [{ name: 'tiny' }, { name: 'costly' }], maxPendingRows: 10, maxQueueMs: 60_000 },
    async (registry) => {
      const { version } = await registry.register({ name: 'costly', package: costlyModel(), metrics: {}, params: {} });
      await registry.transition('costly', version, 'Production');
    },
  );
  const payload = { model_name: 'costly', features: { amount: 10 } };
  const ask = () => tiny.service.app.inject({ method: 'POST', url: '/predict', payload });
  const answers = await Promise.all(Array.from({ length: 50 }, ask));
  const refused = answers.filter(({ statusCode }) => statusCode === 503);
  expect([answers.filter(({ statusCode }) => statusCode === 200).length, refused.length]).toEqual([10, 40]);
  expect(refused[0]?.headers).toMatchObject({ 'retry-after': '1' });
  expect(await tiny.metrics.metrics()).toContain('requests_refused_total{reason="rows"} 40');
  expect((await ask()).statusCode).toBe(200);
  await tiny.stop();
}, 60_000);
