import { expect, test } from '@jest/globals';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { ModelProto } from '#registry/onnx/onnx_proto';
import { createEncoder, reencoded } from '#registry/packages/signature_encoder';
import { serveTiny } from '../../../support/platforms/tiny_serving.ts';
import { until } from '../../../support/turns.ts';

const STRING = 8;
const tensor = (name: string) => ({
  name,
  type: { tensorType: { elemType: STRING, shape: { dim: [{ dimParam: 'N' }, { dimValue: 1 }] } } },
});

/** Gives back the text that it takes, as the label. */
function echo() {
  const node = [{ opType: 'Identity', input: ['text'], output: ['label'] }];
  const graph = { name: 'g', node, input: [tensor('text')], output: [tensor('label')] };
  const opsetImport = [{ domain: '', version: 17 }];
  const file = ModelProto.encode(ModelProto.fromObject({ irVersion: 8, graph, opsetImport })).finish();
  const { mlmodel } = readMlmodel(Buffer.from('flavors: {onnx: {data: model.onnx}}'));
  return packageOfForeign(mlmodel, file);
}

const BROKEN = 'what the canary cannot compute';
const INT64 = 7;
const BOOL = 9;

/** The same, but for one text, of which it looks up what is not there. */
function fragileEcho() {
  const keys = { name: 'keys_strings', type: 8, strings: [Buffer.from(BROKEN)] };
  const node = [
    {
      ...{ opType: 'LabelEncoder', domain: 'ai.onnx.ml', input: ['text'], output: ['place'] },
      attribute: [keys, { name: 'values_int64s', type: INT64, ints: [5] }, { name: 'default_int64', type: 2, i: 0 }],
    },
    { opType: 'Gather', input: ['table', 'place'], output: ['known'] },
    { opType: 'Where', input: ['known', 'text', 'text'], output: ['label'] },
  ];
  const initializer = [{ name: 'table', dims: [1], dataType: BOOL, rawData: Buffer.of(1) }];
  const graph = { name: 'g', node, initializer, input: [tensor('text')], output: [tensor('label')] };
  const opsetImport = [
    { domain: '', version: 17 },
    { domain: 'ai.onnx.ml', version: 2 },
  ];
  const file = ModelProto.encode(ModelProto.fromObject({ irVersion: 8, graph, opsetImport })).finish();
  const { mlmodel } = readMlmodel(Buffer.from('flavors: {onnx: {data: model.onnx}}'));
  return packageOfForeign(mlmodel, file);
}

test('over HTTP, rows that a canary fails on are answered by production with their own strings', async () => {
  const canary = { steps: [50], guardrails: { errorShare: 1, scoreShift: 1_000, latencyRatio: 1_000 } };
  const served = await serveTiny({ models: [{ name: 'echo', canary }] }, async (registry) => {
    await registry.register({ name: 'echo', package: echo(), metrics: {}, params: {} });
    await registry.transition('echo', 1, 'Production');
    await registry.register({ name: 'echo', package: fragileEcho(), metrics: {}, params: {} });
    await registry.transition('echo', 2, 'Staging');
  });
  const { app } = served.service;
  const ask = async (texts: readonly string[], entity: string) => {
    const answer = await app.inject({
      ...{ method: 'POST', url: '/endpoints/echo/invocations', headers: { 'x-entity-id': entity } },
      payload: { dataframe_records: texts.map((text) => ({ text })) },
    });
    expect([answer.statusCode, answer.json()]).toEqual([200, { predictions: texts }]);
  };
  const entities = Array.from({ length: 30 }, (_, at) => `user:u${at}`);
  for (const [at, entity] of entities.entries()) {
    // Each version meets strings of its own, so that the same number stands for others in each.
    await ask([`only of ${entity}`], entity);
    await ask([`text ${at % 7}`, BROKEN, `only of ${entity}`, `text ${(at * 3) % 5}`], entity);
    await ask([`text ${at % 5}`, `only of ${entity}`], entity);
  }
  await served.log.flush();
  const by = (version: number) => served.logged.filter(({ modelVersion }) => modelVersion === version);
  const broken = served.logged.filter(({ features }) => JSON.stringify(features).includes(BROKEN));
  expect(broken).toHaveLength(entities.length);
  expect(broken.every(({ modelVersion, prediction }) => modelVersion === 1 && prediction === BROKEN)).toBe(true);
  // Of an entity of the canary, two requests of three.
  expect(by(2).length).toBeGreaterThan(3 * 5);
  expect(by(1).length + by(2).length).toBe(7 * entities.length);
  await served.stop();
});

test('strings have numbers of their own in each version: rows are encoded anew', () => {
  const [one, other] = [createEncoder(echo().signature), createEncoder(echo().signature)];
  const texts = ['b', 'a', 'c', 'a'];
  const input = one.allocate(texts.length);
  for (const text of [...texts].reverse()) other.encode({ text }, other.allocate(1), 0);
  for (const [at, text] of texts.entries()) one.encode({ text }, input, at);
  const anew = reencoded(one, other, input);
  expect(Array.from(anew, (number) => other.texts?.textOf(number))).toEqual(texts);
  expect(reencoded(one, one, input)).toBe(input);
});

test('a shadow of the same text model gives the same in every row', async () => {
  const served = await serveTiny({ models: [{ name: 'echo', shadow: { version: 2 } }] }, async (registry) => {
    for (const version of [1, 2]) {
      await registry.register({ name: 'echo', package: echo(), metrics: {}, params: {} });
      if (version === 1) await registry.transition('echo', 1, 'Production');
    }
  });
  const { app } = served.service;
  // The versions meet different texts first.
  const own = { inputs: [{ name: 'text', datatype: 'BYTES', shape: [1, 1], data: ['seen by the shadow alone'] }] };
  const first = await app.inject({ method: 'POST', url: '/v2/models/echo/versions/1/infer', payload: own });
  expect(first.statusCode).toBe(200);
  const rows = 40;
  for (let row = 0; row < rows; row += 1) {
    const payload = { model_name: 'echo', features: { text: `text ${(row * 7) % 13}` } };
    const answer = (await app.inject({ method: 'POST', url: '/predict', payload })).json() as { prediction: string };
    expect(answer.prediction).toBe(payload.features.text);
  }
  let metrics = '';
  // The shadow follows the answers.
  await until(async () => {
    metrics = await served.metrics.metrics();
    return metrics.includes(`outcome="same"} ${rows + 1}`);
  });
  expect(metrics).toMatch(new RegExp(`shadow_rows_total\\{model="echo",version="2",outcome="same"\\} ${rows + 1}`));
  expect(metrics).not.toContain('outcome="other"');
  await served.stop();
});
