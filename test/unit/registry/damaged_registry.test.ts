import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { PlatformError } from '#kernel/errors';
import { silentLogger } from '#monitoring/log';
import { SnapshotError } from '#pipelines/engine/errors';
import { SnapshotStore } from '#pipelines/runner/snapshot_store';
import { LocalRegistry } from '#registry/local/local_registry';
import { tinyModel } from '../../support/platforms/tiny_model.ts';
import { type FolderImage, flipped, imageOf, layOut, temporaryFolder } from '../../support/servers/disk_folder.ts';

const folder = temporaryFolder('registry');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function registered(): Promise<FolderImage> {
  layOut(folder, new Map());
  const registry = new LocalRegistry({ kind: 'local', directory: folder });
  for (const bias of [1, 2]) {
    await registry.register({ name: 'tiny', package: tinyModel(bias), metrics: { auc: 0.9 }, params: { a: '1' } });
  }
  await registry.transition('tiny', 1, 'Production', { by: 'test' });
  return imageOf(folder);
}

async function readAll(): Promise<unknown> {
  const registry = new LocalRegistry({ kind: 'local', directory: folder });
  const versions = await registry.listVersions('tiny');
  const packages = await Promise.all(versions.map((version) => registry.download(version)));
  return JSON.stringify([versions, packages.map(({ onnx, ...rest }) => [Buffer.from(onnx).toString('base64'), rest])]);
}

test('any bit or byte of a registry that is not as it was: what was registered, or an error that names the file', async () => {
  const image = await registered();
  const expected = await readAll();
  for (const [name, bytes] of image) {
    const step = Math.max(1, Math.floor((bytes.length * 8) / 150));
    for (let bit = 0; bit < bytes.length * 8; bit += step) {
      for (const changed of [flipped(bytes, bit), bytes.subarray(0, Math.floor(bit / 8))]) {
        layOut(folder, image, new Map([[name, changed]]));
        const outcome = await readAll().catch((error: unknown) => error);
        if (typeof outcome === 'string') expect(outcome).toBe(expected);
        else {
          expect(outcome).toBeInstanceOf(PlatformError);
          expect((outcome as Error).message).toContain(join(folder, name));
        }
      }
    }
  }
}, 120_000);

test('any bit or byte of a snapshot that is not as it was: an error that names the file', async () => {
  const directory = join(folder, 'snapshots');
  layOut(directory, new Map());
  const store = new SnapshotStore(directory, silentLogger);
  await store.load();
  const writer = store.begin();
  writer.start([], 1);
  expect(writer.step(1_000)).toBe(true);
  await writer.finish();
  const image = imageOf(directory);
  const [[name, bytes]] = [...image] as [[string, Buffer]];
  for (let at = 0; at < bytes.length; at += 1) {
    for (const changed of [flipped(bytes, at * 8 + (at % 8)), bytes.subarray(0, at)]) {
      layOut(directory, new Map([[name, changed]]));
      const error = await new SnapshotStore(directory, silentLogger).load().catch((each: unknown) => each);
      expect(error).toBeInstanceOf(SnapshotError);
      expect((error as Error).message).toContain(join(directory, name));
    }
  }
});
