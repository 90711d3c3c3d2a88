import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';

const READER = 'a-key-that-reads-0123456789abcdef';
const PROMOTER = 'a-key-that-promotes-0123456789ab';
let tiny: TinyServing;

beforeAll(async () => {
  const apiKeys = [
    { key: READER, name: 'reader', scopes: ['predict:tiny'] },
    { key: PROMOTER, name: 'promoter', scopes: ['promote:tiny'] },
  ];
  tiny = await serveTiny({ apiKeys }, async (registry) => {
    await registry.register({ name: 'tiny', package: tinyModel(1), metrics: {}, params: {} });
  });
});
afterAll(() => tiny.stop());

const ask = async (key: string, url: string, payload?: object) => {
  const method = payload === undefined ? 'GET' : 'POST';
  const answer = await tiny.service.app.inject({
    ...{ method, url, headers: { 'x-api-key': key } },
    ...(payload === undefined ? {} : { payload }),
  });
  return { status: answer.statusCode, body: answer.json() as Record<string, unknown> };
};

test('versions are listed and moved between stages, by the scope of a caller', async () => {
  const stagesOf = async () => {
    const { versions } = (await ask(READER, '/models/tiny/versions')).body as { versions: { stage: string }[] };
    return versions.map(({ stage }) => stage);
  };
  const move = { stage: 'Staging', reason: 'to try it' };
  expect(await stagesOf()).toEqual(['Production', 'None']);
  expect((await ask(READER, '/models/tiny/versions/2/stage', move)).status).toBe(403);
  expect(await ask(PROMOTER, '/models/tiny/versions/2/stage', move)).toMatchObject({
    status: 200,
    body: { version: 2, stage: 'Staging' },
  });
  expect(await stagesOf()).toEqual(['Production', 'Staging']);
  const refused = async (url: string, body: object) => (await ask(PROMOTER, url, body)).status;
  expect(await refused('/models/tiny/versions/2/stage', { stage: 'Nowhere', reason: 'x' })).toBe(400);
  expect(await refused('/models/tiny/versions/x/stage', move)).toBe(400);
  expect(await refused('/models/tiny/versions/9/stage', move)).toBe(404);
  expect(await refused('/models/other/versions/1/stage', move)).toBe(403);
  expect((await ask(READER, '/models/unknown/versions')).status).toBe(403);
});
