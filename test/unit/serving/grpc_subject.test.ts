import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { codecOf } from '#serving/protocol/grpc/open_inference_proto';
import type { OpenInferenceService } from '#serving/protocol/grpc/open_inference_service';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';

// Entities and variants by metadata and parameters of gRPC calls.

let serving: TinyServing;
let client: Client;
beforeAll(async () => {
  const variants = [
    { name: 'control', weight: 1 },
    { name: 'challenger', weight: 1, follow: { stage: 'Staging' } },
  ];
  const config = { grpc: { port: 0 }, models: [{ name: 'tiny', experiment: { name: 'halves', variants } }] };
  serving = await serveTiny(config, async (registry) => {
    await registry.register({ name: 'tiny', package: tinyModel(3), metrics: {}, params: {} });
    await registry.transition('tiny', 2, 'Staging');
  });
  await serving.service.start();
  const { port } = serving.service.beside as OpenInferenceService;
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await serving.stop();
});

interface Answer {
  readonly model_version: string;
  readonly parameters: Readonly<Record<string, { readonly string_param?: string }>>;
}
const asked = codecOf('inference.ModelInferRequest');
const answered = codecOf('inference.ModelInferResponse');
const features = {
  ...{ name: 'features', datatype: 'FP32', shape: [1, 4] },
  contents: { fp32_contents: [10, 3, 1, 0.7] },
};

function infer(said: Readonly<Record<string, string>>, parameters: Readonly<Record<string, string>> = {}) {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(said)) metadata.set(name, value);
  const given = Object.entries(parameters).map(([name, value]) => [name, { string_param: value }]);
  const message = { model_name: 'tiny', inputs: [features], parameters: Object.fromEntries(given) };
  return new Promise<Answer>((resolve, reject) => {
    client.makeUnaryRequest(
      '/inference.GRPCInferenceService/ModelInfer',
      asked.serialize,
      (bytes) => answered.deserialize(bytes) as Answer,
      message,
      metadata,
      (error: ServiceError | null, answer?: Answer) => (error === null ? resolve(answer as Answer) : reject(error)),
    );
  });
}
const variantOf = ({ parameters }: Answer) => parameters.variant?.string_param;

test('an entity in metadata or a parameter is answered by the variant that HTTP answers it by, and is logged', async () => {
  await serving.log.flush();
  const before = serving.logged.length;
  const seen = new Set<unknown>();
  for (let at = 0; at < 20; at += 1) {
    const entity = `e${at}`;
    const byMetadata = variantOf(await infer({ 'x-entity-id': entity }));
    expect(variantOf(await infer({}, { entity_id: entity }))).toBe(byMetadata);
    const payload = { model_name: 'tiny', entity_id: entity };
    const http = await serving.service.app.inject({ method: 'POST', url: '/predict', payload });
    expect(http.json().variant).toBe(byMetadata);
    seen.add(byMetadata);
  }
  expect([...seen].sort()).toEqual(['challenger', 'control']);
  await serving.log.flush();
  const keys = serving.logged.slice(before).map(({ entityKey }) => entityKey);
  expect(keys).toEqual(Array.from({ length: 60 }, (_, at) => `account:e${Math.floor(at / 3)}`));
});

test('a variant in metadata or a parameter answers', async () => {
  for (const [variant, version] of Object.entries({ control: '1', challenger: '2' })) {
    for (const answer of [await infer({ 'x-variant': variant }), await infer({}, { variant })]) {
      expect([variantOf(answer), answer.model_version]).toEqual([variant, version]);
    }
  }
});

test.each([
  [status.NOT_FOUND, { 'x-variant': 'other' }, {}, /has no variant "other"/],
  [status.INVALID_ARGUMENT, { 'x-entity-id': 'e1' }, { entity_id: 'e2' }, /x-entity-id is e1, and parameter entity_id/],
])('code %i for metadata %j and parameters %j', async (code, said, parameters, why) => {
  await expect(infer(said as Record<string, string>, parameters as Record<string, string>)).rejects.toMatchObject({
    code,
    details: expect.stringMatching(why),
  });
});
