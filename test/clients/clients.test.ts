import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { cacheFolder, once, run } from '#scripts/services/install';
import type { OpenInferenceService } from '#serving/protocol/grpc/open_inference_service';
import { runWith } from '../support/guests/onnx_clients.ts';
import { serveTiny, type TinyServing } from '../support/platforms/tiny_serving.ts';

let folder: string;
let serving: TinyServing;
let guarded: TinyServing;
const KEY = 'a-key-of-the-clients-test-0123456789';

beforeAll(async () => {
  folder = process.env.TEST_IDENTITIES_FOLDER ?? mkdtempSync(join(tmpdir(), 'identities-'));
  if (process.env.TEST_IDENTITIES_FOLDER === undefined) {
    await runWith('models', assetPath('test/support/guests/make_identities.py'), [folder]);
  }
  const { mlmodel } = readMlmodel(Buffer.from('flavors: {onnx: {data: model.onnx}}'));
  const prepare = async (registry: TinyServing['registry']): Promise<void> => {
    for (const file of readdirSync(folder)) {
      const name = file.replace('.onnx', '');
      const onnx = new Uint8Array(readFileSync(join(folder, file)));
      await registry.register({ name, package: packageOfForeign(mlmodel, onnx), metrics: {}, params: {} });
      await registry.transition(name, 1, 'Production');
    }
  };
  serving = await serveTiny({ onDemand: { memoryMb: 100 } }, prepare);
  guarded = await serveTiny({ onDemand: { memoryMb: 100 }, grpc: { port: 0 }, apiKeys: [KEY] }, prepare);
  await serving.service.start();
  await guarded.service.start();
}, 600_000);
afterAll(async () => {
  await serving.stop();
  await guarded.stop();
  if (process.env.TEST_IDENTITIES_FOLDER === undefined) rmSync(folder, { recursive: true, force: true });
});

test('tritonclient over HTTP: infer, async, metadata, statistics, repository, and what is refused', async () => {
  const printed = await runWith('clients', assetPath('test/support/guests/triton_http.py'), [
    new URL(serving.service.url).host,
  ]);
  expect(printed).toMatch(/^\d\d+ passed, 0 failed$/m);
}, 120_000);

test('tritonclient over gRPC, with a key: infer, async, stream, metadata, health, and what is refused', async () => {
  const { port } = guarded.service.beside as OpenInferenceService;
  const printed = await runWith('clients', assetPath('test/support/guests/triton_grpc.py'), [`127.0.0.1:${port}`, KEY]);
  expect(printed).toMatch(/^\d\d+ passed, 0 failed$/m);
}, 120_000);

test('boto3’s sagemaker-runtime: JSON, CSV, and what is refused', async () => {
  const printed = await runWith('clients', assetPath('test/support/guests/sagemaker_runtime.py'), [
    serving.service.url,
  ]);
  expect(printed).toContain('5 passed, 0 failed');
}, 120_000);

/** A client in Go, which knows the service by the descriptors of tritonclient, or asks for them. */
async function grpcurl(args: readonly string[], { asks = false } = {}): Promise<string> {
  const folder = join(cacheFolder, 'grpcurl-1.9.3');
  await once(folder, 'building grpcurl', async () => {
    await run('go', ['install', 'github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3'], { env: { GOBIN: folder } });
    await runWith('clients', assetPath('test/support/guests/triton_protoset.py'), [join(folder, 'triton.protoset')]);
  });
  const known = asks ? [] : ['-protoset', join(folder, 'triton.protoset')];
  return run(join(folder, 'grpcurl'), ['-plaintext', ...known, ...args]);
}

test('grpcurl: integers of 64 bits, an entity and a variant in metadata, and what is refused', async () => {
  const { port } = guarded.service.beside as OpenInferenceService;
  const call = (method: string, message: object, ...headers: string[]): Promise<string> => {
    const said = headers.flatMap((header) => ['-H', header]);
    const where = [`127.0.0.1:${port}`, `inference.GRPCInferenceService/${method}`];
    return grpcurl([...said, '-d', JSON.stringify(message), ...where]);
  };
  const key = `x-api-key: ${KEY}`;
  expect(JSON.parse(await call('ServerReady', {}, key))).toEqual({ ready: true });
  const largest = '9223372036854775807';
  const inputs = [{ name: 'x', datatype: 'INT64', shape: ['1', '1'], contents: { int64_contents: [largest] } }];
  const answer = JSON.parse(await call('ModelInfer', { model_name: 'identity_int64', inputs }, key));
  expect(Buffer.from(answer.raw_output_contents[0], 'base64').readBigInt64LE()).toBe(BigInt(largest));
  const row = { name: 'features', datatype: 'FP32', shape: ['1', '4'], contents: { fp32_contents: [10, 3, 1, 0.7] } };
  await guarded.log.flush();
  const before = guarded.logged.length;
  const tiny = { model_name: 'tiny', inputs: [row] };
  expect(JSON.parse(await call('ModelInfer', tiny, key, 'x-entity-id: e7'))).toMatchObject({ model_name: 'tiny' });
  await guarded.log.flush();
  expect(guarded.logged.slice(before).map(({ entityKey }) => entityKey)).toEqual(['account:e7']);
  await expect(call('ModelInfer', tiny, key, 'x-variant: other')).rejects.toThrow(/NotFound.*has no variant "other"/s);
  await expect(call('ModelInfer', tiny)).rejects.toThrow(/Unauthenticated/);
}, 600_000);

test('grpcurl learns services and messages by reflection, and calls with them', async () => {
  const { port } = guarded.service.beside as OpenInferenceService;
  const address = `127.0.0.1:${port}`;
  const ask = (...args: string[]): Promise<string> => grpcurl(args, { asks: true });
  expect((await ask(address, 'list')).trim().split('\n')).toEqual([
    ...['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'],
    'inference.GRPCInferenceService',
  ]);
  const described = await ask(address, 'describe', 'inference.GRPCInferenceService');
  expect(described).toContain(
    'rpc ModelStreamInfer ( stream .inference.ModelInferRequest ) returns ( stream .inference.ModelStreamInferResponse );',
  );
  const message = await ask(address, 'describe', 'inference.ModelInferRequest');
  expect(message).toContain('map<string, .inference.InferParameter> parameters = 4;');
  await expect(ask(address, 'describe', 'inference.Nothing')).rejects.toThrow(/Symbol not found/);
  const method = 'inference.GRPCInferenceService/ModelMetadata';
  const answer = await ask('-H', `x-api-key: ${KEY}`, '-d', '{"name": "tiny"}', address, method);
  expect(JSON.parse(answer)).toMatchObject({ name: 'tiny', inputs: [{ datatype: 'FP32', shape: ['-1', '4'] }] });
  expect(JSON.parse(await ask(address, 'grpc.health.v1.Health/Check'))).toEqual({ status: 'SERVING' });
}, 600_000);
