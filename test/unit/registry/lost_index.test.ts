import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { LocalRegistry } from '#registry/local/local_registry';
import { writeCheckedJson } from '#storage/checked_json';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { temporaryFolder } from '../../support/servers/disk_folder.ts';

// The index of a model is lost while its versions lie there: an empty model would be served, and version numbers used again.

const register = (registry: LocalRegistry) =>
  registry.register({ name: 'fraud', package: tinyModel(0), metrics: {}, params: {} });

test('an index that is gone while versions exist is named by every read and change', async () => {
  const directory = temporaryFolder('lost-index');
  const registry = new LocalRegistry({ kind: 'local', directory });
  for (let version = 1; version <= 2; version += 1) await register(registry);
  const index = join(directory, 'fraud', 'index.json');
  rmSync(index);
  const damaged = { code: 'STORAGE_DAMAGED_FILE', message: expect.stringContaining(`${index} is damaged`) };
  await expect(registry.listVersions('fraud')).rejects.toMatchObject(damaged);
  await expect(registry.resolve('fraud', { stage: 'Production' })).rejects.toMatchObject(damaged);
  await expect(register(registry)).rejects.toMatchObject(damaged);
  await expect(registry.transition('fraud', 1, 'Production')).rejects.toMatchObject({
    message: expect.stringContaining('it does not exist, and 2 versions do'),
  });
});

test('a first registration that was killed before its index was replaced is done again', async () => {
  const directory = temporaryFolder('lost-index');
  const registry = new LocalRegistry({ kind: 'local', directory });
  await register(registry);
  // As the kill leaves it: the index of before, and the files of the version.
  await writeCheckedJson(join(directory, 'fraud', 'index.json'), { versions: [], aliases: {}, audit: [] });
  expect(await register(registry)).toMatchObject({ version: 1 });
  expect(await registry.listVersions('fraud')).toHaveLength(1);
});
