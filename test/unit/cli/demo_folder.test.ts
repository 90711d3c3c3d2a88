import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { beginDemoFolder } from '#cli/demo/demo_folder';
import { FolderLock } from '#storage/folder_lock';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'demo-folder-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const contents = async (): Promise<readonly string[]> => (await readdir(folder, { recursive: true })).sort();

test('a demo begins with an empty folder, whether an earlier demo has used it or not', async () => {
  const directory = join(folder, 'new');
  await beginDemoFolder(directory, false);
  await mkdir(join(directory, 'log'));
  await writeFile(join(directory, 'log', 'events'), 'of an earlier demo');
  await beginDemoFolder(directory, false);
  expect(await readdir(directory)).toEqual(['.demo']);
});

test('data that no demo has made is not removed', async () => {
  await mkdir(join(folder, 'log'));
  await writeFile(join(folder, 'log', 'events'), 'of a platform');
  await expect(beginDemoFolder(folder, false)).rejects.toMatchObject({ code: 'CLI_COMMAND_FAILED' });
  expect(await contents()).toEqual(['log', 'log/events']);
  // The folder that a demo uses when none is configured: releases before had no marker.
  await beginDemoFolder(folder, true);
  expect(await contents()).toEqual(['.demo']);
});

test.each([
  ['log', undefined],
  ['offline', 'offline.lock'],
])('a folder whose %s a process uses is not removed', async (name, lockName) => {
  await beginDemoFolder(folder, false);
  const owned = join(folder, name);
  const lock = await FolderLock.acquire(owned, lockName === undefined ? {} : { at: join(folder, lockName) });
  await writeFile(join(owned, 'data'), 'x');
  try {
    await expect(beginDemoFolder(folder, false)).rejects.toThrow(`${owned} is in use by process ${process.pid} `);
    expect(await readdir(owned)).toContain('data');
  } finally {
    await lock.release();
  }
  await beginDemoFolder(folder, false);
  expect(await contents()).toEqual(['.demo']);
});
