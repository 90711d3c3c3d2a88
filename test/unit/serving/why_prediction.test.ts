import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { eventTime, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { keyOf } from '../../support/entity_keys.ts';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';

// Predictions that serving has answered and logged, explained from the log, the registry and the stores.

const keys = {
  all: { key: 'the-key-of-an-analyst-01', name: 'all', scopes: ['predict:*', 'explain:*', 'features:*', 'routing:*'] },
  noViews: { key: 'the-key-without-views-01', name: 'no-views', scopes: ['explain:tiny'] },
  other: { key: 'the-key-of-another-model', name: 'other', scopes: ['explain:other'] },
};
const START = Date.now();

let folder: string;
let offline: OfflineDatabase;
let tiny: TinyServing;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'why-prediction-'));
  offline = sqlOfflineDatabase({ sql: new PgliteExecutor(folder), log: silentLogger }, 'pglite');
  await offline.start();
  const row = { view: 'tiny', version: 1, eventTime: eventTime(START - 60_000), computedAt: processingTime(START) };
  const values = { amount: 7, count: 3, weekend: false, category: 'a' };
  await offline.features.write([{ ...row, entityKey: keyOf('e7'), values }]);
  const config = { apiKeys: Object.values(keys), models: [{ name: 'tiny', thresholds: RULES }] };
  tiny = await serveTiny(
    config,
    async (registry) => {
      await registry.register({ name: 'tiny', package: tinyModel(3), metrics: {}, params: {} });
      await registry.transition('tiny', 2, 'Staging');
    },
    offline,
  );
}, 60_000);
afterAll(async () => {
  await tiny.stop();
  await offline.stop();
  rmSync(folder, { recursive: true, force: true });
});
const RULES = [{ feature: 'amount', atLeast: 5, add: 0.2 }];

async function ask(url: string, payload?: object, { key }: { readonly key: string } = keys.all) {
  const answer = await tiny.service.app.inject({
    ...{ method: payload === undefined ? 'GET' : 'POST', url, headers: { 'x-api-key': key } },
    ...(payload === undefined ? {} : { payload }),
  });
  return { status: answer.statusCode, body: answer.json() };
}

/** Predicts, and waits until it is logged. */
async function predict(payload: object, url = '/predict'): Promise<string> {
  const { body } = await ask(url, { model_name: 'tiny', ...payload });
  await tiny.log.flush();
  await offline.predictions.write(tiny.logged);
  return body.prediction_id;
}

test('features, contributions, threshold and outputs of a row, computed again to the last digit', async () => {
  const id = await predict({ entity_id: 'e7' });
  const { body } = await ask(`/why/predictions/${id}`);
  expect(body).toMatchObject({
    ...{ prediction_id: id, entity: 'account:e7', equal: true, difference: null, rows: 1, other_answers: 0 },
    model: { name: 'tiny', version: 1, stage: 'Production' },
    chosen_by: { how: 'stage', rule: null },
    threshold: { value: 0.7, adaptive: true },
    feedback: null,
  });
  const logged = tiny.logged.find(({ predictionId }) => predictionId === id);
  expect(body.recomputed).toEqual({ prediction: logged?.prediction, outputs: logged?.probabilities });
  // What serving had was of another moment than what the offline store has by now: the difference is shown.
  expect(body.features.map(({ name, value, stored }: Shown) => [name, value, stored?.value, stored?.equal])).toEqual([
    ['amount', 7, 7, true],
    ['count', 2, 3, false],
    ['weekend', false, false, true],
    ['category', 'a', 'a', true],
  ]);
  const [amount] = body.features;
  expect(amount.stored.age_ms).toBe(Date.parse(body.time) - START + 60_000);
  expect(amount.why).toBe(`/why/e7/amount?${new URLSearchParams({ view: 'tiny@1', at: body.time })}`);
  const [output] = body.explanation.outputs;
  const sum = body.features.reduce((all: number, { contributions }: Shown) => all + (contributions?.[0] ?? 0), 0);
  expect(output.base_value + sum).toBeCloseTo(output.value, 9);
  expect(output.value).toBeCloseTo(body.outputs.fraud, 6);
});

interface Shown {
  readonly name: string;
  readonly value: unknown;
  readonly stored: { readonly value: unknown; readonly equal: boolean } | null;
  readonly contributions: readonly number[] | null;
}

test('rows of a batch by their number, answers by the id of their request, the predictions before and after', async () => {
  const ids: string[] = [];
  for (let at = 0; at < 3; at += 1) ids.push(await predict({ entity_id: 'e8' }));
  const { body } = await ask(`/why/predictions/${ids[1]}`);
  expect(body.neighbours.map((row: { readonly prediction_id: string }) => row.prediction_id)).toEqual([ids[0], ids[2]]);
  const batch = await predict({ entity_ids: ['e1', 'e2'] }, '/predict/batch');
  expect((await ask(`/why/predictions/${batch}?row=1`)).body).toMatchObject({ entity: 'account:e2', rows: 2 });
  const request = tiny.logged.find(({ predictionId }) => predictionId === batch)?.requestId;
  expect((await ask(`/why/predictions/${request}?row=1`)).body).toMatchObject({ prediction_id: batch });
  expect((await ask(`/why/predictions/${batch}?row=2`)).status).toBe(404);
  await offline.feedback.write([{ predictionId: batch, rowIndex: 1, label: 'fraud', receivedAtMs: START }]);
  expect((await ask(`/why/predictions/${batch}?row=1`)).body.feedback).toMatchObject({ label: 'fraud', value: null });
});

test('a prediction that its version does not give again shows by how much', async () => {
  const id = await predict({ entity_id: 'e9' });
  const logged = tiny.logged.find(({ predictionId }) => predictionId === id);
  await offline.predictions.write([
    {
      ...(logged as NonNullable<typeof logged>),
      predictionId: 'other',
      probabilities: { legitimate: 0.25, fraud: 0.75 },
    },
    { ...(logged as NonNullable<typeof logged>), predictionId: 'gone', modelVersion: 9 },
  ]);
  const { body } = await ask('/why/predictions/other');
  expect(body).toMatchObject({
    equal: false,
    difference: expect.stringMatching(/fraud is 0\.\d+, and 0.75 was logged/),
  });
  expect((await ask('/why/predictions/gone')).body).toMatchObject({
    ...{ equal: null, recomputed: null, explanation: null, model: { version: 9, stage: null } },
    problem: 'version 9 of tiny is not in the registry any more',
  });
});

test('a variant is explained by the rule, the share or the request that chose it, as the routing was then', async () => {
  const before = await predict({ entity_id: 'e20' });
  const variants = [
    { name: 'control', weight: 3 },
    { name: 'challenger', weight: 1, follow: { stage: 'Staging' } },
  ];
  const rules = [{ variant: 'challenger', entities: ['e21'] }];
  const change = { revision: 0, reason: 'try version 2', routing: { experiment: { name: 'halves', variants, rules } } };
  const answer = await tiny.service.app.inject({
    ...{ method: 'PUT', url: '/models/tiny/routing', payload: change, headers: { 'x-api-key': keys.all.key } },
  });
  expect([answer.statusCode, answer.body]).toEqual([200, answer.body]);
  const byRule = await predict({ entity_id: 'e21' });
  const byShare = await predict({ entity_id: 'e22' });
  const chosen = async (id: string) => (await ask(`/why/predictions/${id}`)).body;
  expect(await chosen(byRule)).toMatchObject({
    ...{ variant: 'challenger', experiment: 'halves', model: { version: 2 }, equal: true },
    chosen_by: { how: 'rule', rule: rules[0], change: { revision: 1, reason: 'try version 2', by: 'key all' } },
  });
  expect(await chosen(byShare)).toMatchObject({
    chosen_by: {
      ...{ how: 'share', rule: null },
      reason: expect.stringMatching(/^experiment halves places e22 at 0\.\d{4} of 1; its .* control 3, challenger 1$/),
    },
  });
  expect(await chosen(before)).toMatchObject({ variant: 'production', chosen_by: { how: 'stage', change: null } });
});

test('scopes: the model decides who sees an explanation, the view who sees its values', async () => {
  const id = await predict({ entity_id: 'e7' });
  // Of another model: answered as an id that does not exist.
  const [other, missing] = [
    await ask(`/why/predictions/${id}`, undefined, keys.other),
    await ask('/why/predictions/none', undefined, keys.other),
  ];
  expect([other.status, other.body.code]).toEqual([404, missing.body.code]);
  expect((await ask(`/why/predictions/${id}`, undefined, { key: 'no-such-key-0123456789' })).status).toBe(401);
  const { body } = await ask(`/why/predictions/${id}`, undefined, keys.noViews);
  expect(
    body.features.map(({ value, stored, hidden, why }: Shown & { hidden: boolean; why: unknown }) => [
      value,
      stored,
      hidden,
      why,
    ]),
  ).toEqual(Array(4).fill([null, null, true, null]));
  expect(body.explanation.outputs).toHaveLength(1);
});
