import { mkdtempSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { LocalRegistry } from '#registry/local/local_registry';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { describeRegistry } from './registry_contract.ts';

const directory = mkdtempSync(join(tmpdir(), 'registry-'));
const open = () => new LocalRegistry({ kind: 'local', directory });

describeRegistry('the local registry', open);

test('a truncated artifact is refused, naming file and hashes', async () => {
  const registered = await open().register({ name: 'cut', package: tinyModel(0), metrics: {}, params: {} });
  truncateSync(join(directory, 'cut', 'versions', '1', 'model.onnx'), 100);
  await expect(open().download(registered)).rejects.toMatchObject({
    code: 'REGISTRY_ARTIFACT_INTEGRITY',
    message: expect.stringContaining('model.onnx has SHA-256'),
  });
});

test('two promotions at once: both are recorded, one is in production', async () => {
  const [one, two] = [open(), open()];
  for (const bias of [1, 2]) await one.register({ name: 'race', package: tinyModel(bias), metrics: {}, params: {} });
  await Promise.all([one.transition('race', 1, 'Production'), two.transition('race', 2, 'Production')]);
  const stages = (await one.listVersions('race')).map(({ stage }) => stage).sort();
  expect(stages).toEqual(['Archived', 'Production']);
});
