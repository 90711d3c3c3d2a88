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
