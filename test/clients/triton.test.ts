import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { runClient } from '../support/onnx_clients.ts';
import { serveTiny, type TinyServing } from '../support/tiny_serving.ts';

let folder: string;
let serving: TinyServing;
let address: string;

beforeAll(async () => {
  folder = process.env.TEST_IDENTITIES_FOLDER ?? mkdtempSync(join(tmpdir(), 'identities-'));
  if (process.env.TEST_IDENTITIES_FOLDER === undefined) {
    await runClient(assetPath('test/support/make_identities.py'), [folder]);
  }
  const { mlmodel } = readMlmodel(Buffer.from('flavors: {onnx: {data: model.onnx}}'));
  serving = await serveTiny({ onDemand: { memoryMb: 100 } }, async (registry) => {
    for (const file of readdirSync(folder)) {
      const name = file.replace('.onnx', '');
      const onnx = new Uint8Array(readFileSync(join(folder, file)));
      await registry.register({ name, package: packageOfForeign(mlmodel, onnx), metrics: {}, params: {} });
      await registry.transition(name, 1, 'Production');
    }
  });
  await serving.service.start(new AbortController().signal);
  address = `127.0.0.1:${(serving.service.app.server.address() as { port: number }).port}`;
}, 600_000);
afterAll(async () => {
  await serving.stop();
  if (process.env.TEST_IDENTITIES_FOLDER === undefined) rmSync(folder, { recursive: true, force: true });
});

test('tritonclient over HTTP: infer, async, metadata, statistics, repository, and what is refused', async () => {
  const printed = await runClient(assetPath('test/support/triton_http.py'), [address]);
  expect(printed).toMatch(/^\d\d+ passed, 0 failed$/m);
}, 120_000);
