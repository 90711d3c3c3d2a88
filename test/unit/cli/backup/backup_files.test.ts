import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { BackupStore } from '#cli/backup/backup_store';
import { restoreTree, storeFolder } from '#cli/backup/file_tree';
import { Sealing } from '#cli/backup/sealing';
import { stage } from '#cli/backup/stage';
import { renameInSnapshots } from '#cli/backup/topic_ids';
import { createFileSystems } from '#connectors/files/file_systems';
import { imageOf, temporaryFolder } from '../../../support/servers/disk_folder.ts';

let folder: string;
let source: string;
const opened = (): BackupStore => {
  const directory = join(folder, 'backups');
  return new BackupStore(
    createFileSystems({})(directory),
    directory,
    new Sealing('a secret of tests that is long enough'),
  );
};

const digests = (place: string) =>
  [...imageOf(place)].map(([path, bytes]) => [path, createHash('sha256').update(bytes).digest('hex')]).sort();

beforeEach(() => {
  folder = temporaryFolder('backup-files');
  source = join(folder, 'source');
  mkdirSync(join(source, 'empty'), { recursive: true });
  writeFileSync(join(source, 'none'), '');
  writeFileSync(join(source, 'large'), randomBytes(20 * 1_024 * 1_024));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a folder is restored to the byte, and what is stored already is not written again', async () => {
  const store = opened();
  const first = await storeFolder(store, 'part', source, undefined);
  const written = store.writtenBytes;
  appendFileSync(join(source, 'large'), 'more');
  const again = opened();
  const second = await storeFolder(again, 'part', source, undefined);
  // Of three objects the last one is longer.
  expect(again.writtenBytes).toBeLessThan(written / 2);
  expect(second.files).toHaveLength(2);
  const target = join(folder, 'target');
  expect(await restoreTree(again, second, target, false)).toBe(2);
  expect(digests(target)).toEqual(digests(source));
  await expect(restoreTree(again, first, target, false)).rejects.toMatchObject({ code: 'CLI_RESTORE_REFUSED' });
  rmSync(join(target, 'none'));
  expect(await restoreTree(again, second, target, true)).toBe(1);
});

test('a stage keeps files that are replaced or removed after it, and leaves out what is excluded', async () => {
  writeFileSync(join(source, 'a.tmp'), '');
  const staged = await stage(source, (path) => !path.endsWith('.tmp'));
  writeFileSync(join(source, 'new'), 'new');
  renameSync(join(source, 'new'), join(source, 'none'));
  rmSync(join(source, 'large'));
  const files = imageOf(staged?.folder as string);
  expect([...files.keys()].sort()).toEqual(['large', 'none']);
  expect(files.get('none')?.length).toBe(0);
  await staged?.remove();
  expect(await stage(join(folder, 'missing'), () => true)).toBeUndefined();
});

test.each([0, 4 * 1_024 * 1_024 - 5, 9_000_000])(
  'ids of topics in a snapshot are replaced at byte %i, and its checksum holds',
  async (at) => {
    const [before, now] = ['a'.repeat(32), 'b'.repeat(32)];
    const content = Buffer.alloc(10 * 1_024 * 1_024, 'x');
    content.write(before, at);
    const sealed = (bytes: Buffer): Buffer => Buffer.concat([bytes, createHash('sha256').update(bytes).digest()]);
    const file = join(source, 'snapshot-000000000001.bin');
    writeFileSync(file, sealed(content));
    await renameInSnapshots(source, new Map([[before, now]]));
    content.write(now, at);
    expect(readFileSync(file).equals(sealed(content))).toBe(true);
  },
);
