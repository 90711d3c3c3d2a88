import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { tinyModel } from '../../../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../../../support/platforms/tiny_serving.ts';

// Entities and variants by header and parameter, in protocols whose bodies have no place for them.

let serving: TinyServing;
beforeAll(async () => {
  const variants = [
    { name: 'control', weight: 1 },
    { name: 'challenger', weight: 1, follow: { stage: 'Staging' } },
  ];
  const config = { models: [{ name: 'tiny', experiment: { name: 'halves', variants } }] };
  serving = await serveTiny(config, async (registry) => {
    await registry.register({ name: 'tiny', package: tinyModel(3), metrics: {}, params: {} });
    await registry.transition('tiny', 2, 'Staging');
  });
});
afterAll(() => serving.stop());

type Headers = Readonly<Record<string, string>>;
const INFER = '/v2/models/tiny/infer';
const INVOKE = '/endpoints/tiny/invocations';
const input = { name: 'features', datatype: 'FP32', shape: [1, 4], data: [10, 3, 1, 0.7] };
const columns = ['amount', 'count'].map((name) => ({ name, datatype: 'FP64', shape: [1], data: [10] }));

async function post(url: string, payload: object, headers: Headers = {}) {
  const answer = await serving.service.app.inject({ method: 'POST', url, payload, headers });
  return { status: answer.statusCode, body: answer.json(), headers: answer.headers };
}
const infer = (headers: Headers = {}, parameters: object = {}, inputs: object[] = [input]) =>
  post(INFER, { inputs, parameters }, headers);
const rows = { instances: [{ amount: 10, count: 3, weekend: true, category: 'b' }] };
const variantOf = async (headers: Headers, parameters: object = {}, inputs?: object[]): Promise<unknown> =>
  (await infer(headers, parameters, inputs)).body.parameters.variant;

test('an entity is answered by the same variant over every protocol, and entities by both', async () => {
  const seen = new Set<unknown>();
  for (let at = 0; at < 40; at += 1) {
    const entity = `e${at}`;
    const byHeader = await variantOf({ 'x-entity-id': entity });
    expect(await variantOf({}, { entity_id: entity })).toBe(byHeader);
    expect(await variantOf({ 'x-entity-id': entity }, { entity_id: entity }, columns)).toBe(byHeader);
    const invoked = await post(INVOKE, rows, { 'x-entity-id': entity });
    expect(invoked.headers['x-amzn-invoked-production-variant']).toBe(byHeader);
    const predicted = await post('/predict', { model_name: 'tiny', entity_id: entity });
    expect(predicted.body.variant).toBe(byHeader);
    seen.add(byHeader);
  }
  expect([...seen].sort()).toEqual(['challenger', 'control']);
});

test.each([
  ['challenger', 2],
  ['control', 1],
])('a request that names %s is answered by version %i, and counts for no experiment', async (variant, version) => {
  await serving.log.flush();
  const before = serving.logged.length;
  for (let at = 0; at < 5; at += 1) {
    const { body } = await infer({ 'x-variant': variant, 'x-entity-id': `e${at}` });
    expect(body).toMatchObject({ model_version: String(version), parameters: { variant } });
  }
  expect((await infer({}, { variant }, columns)).body.model_version).toBe(String(version));
  for (const header of ['x-variant', 'x-amzn-sagemaker-target-variant']) {
    const { status, headers } = await post(INVOKE, rows, { [header]: variant });
    expect([status, headers['x-amzn-invoked-production-variant']]).toEqual([200, variant]);
  }
  await serving.log.flush();
  const logged = serving.logged.slice(before);
  expect(logged).toHaveLength(8);
  expect(logged.map(({ modelVersion }) => modelVersion)).toEqual(Array(8).fill(version));
  expect(logged.filter(({ experiment }) => experiment !== undefined)).toEqual([]);
});

test.each([
  [404, { 'x-variant': 'other' }, {}, /model "tiny" has no variant "other"; it has control, challenger/],
  [400, { 'x-variant': 'control' }, { variant: 'challenger' }, /header x-variant is control, and parameter variant is/],
  [400, { 'x-entity-id': 'e1' }, { entity_id: 'e2' }, /header x-entity-id is e1, and parameter entity_id is e2/],
  [400, {}, { entity_id: 7 }, /parameter entity_id must be a string/],
])('%i for headers %j and parameters %j', async (status, headers, parameters, why) => {
  const answer = await infer(headers as Headers, parameters);
  expect([answer.status, answer.body.error]).toEqual([status, expect.stringMatching(why)]);
});

test('the log has the entity that a header or a parameter names, as it has those that were looked up', async () => {
  await serving.log.flush();
  const before = serving.logged.length;
  await infer({ 'x-entity-id': 'e7' });
  await infer({}, { entity_id: 'e7' }, columns);
  await post(INVOKE, rows, { 'x-entity-id': 'e7' });
  await post(INVOKE, { inputs: { features: [[10, 3, 1, 0.7]] } }, { 'x-entity-id': 'e7' });
  await post('/predict', { model_name: 'tiny', entity_id: 'e7' });
  await infer();
  await serving.log.flush();
  const logged = serving.logged.slice(before);
  expect(logged.map(({ entityKey }) => entityKey)).toEqual([...Array(5).fill('account:e7'), undefined]);
  expect(new Set(logged.slice(0, 5).map(({ variant }) => variant)).size).toBe(1);
});

test('a version and a variant are two answers to one question', async () => {
  const answer = await post('/v2/models/tiny/versions/1/infer', { inputs: [input] }, { 'x-variant': 'control' });
  expect([answer.status, answer.body.error]).toEqual([400, 'version 1 and variant control are named: send one']);
});

test('a canary that requests name is no evidence for it: it advances by what chance has assigned', async () => {
  const canary = { follow: { stage: 'Staging' }, steps: [50, 100], rowsAStep: 10 };
  const tried = await serveTiny({ models: [{ name: 'tiny', canary }] }, async (registry) => {
    await registry.register({ name: 'tiny', package: tinyModel(0), metrics: {}, params: {} });
    await registry.transition('tiny', 2, 'Staging');
  });
  const send = async (headers: Headers): Promise<void> => {
    const { statusCode } = await tried.service.app.inject({
      ...{ method: 'POST', url: INFER, headers, payload: { inputs: [input] } },
    });
    expect(statusCode).toBe(200);
  };
  const percent = (): number | undefined => tried.models.routingOf('tiny').canary?.percent;
  for (let at = 0; at < 50; at += 1) await send({ 'x-variant': 'canary', 'x-entity-id': `e${at}` });
  expect(percent()).toBe(50);
  for (let at = 0; at < 50; at += 1) await send({ 'x-entity-id': `e${at}` });
  expect(percent()).toBe(100);
  await tried.stop();
});
