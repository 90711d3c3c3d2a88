import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { makeFolder, writeSynced } from '#storage/durable_files';
import { onDisk } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { UsageError } from '../terminal/usage_error.ts';

/** Marks a folder as a demo's, whose data may be removed. */
const MARKER = '.demo';
/** Names of locks end with it: `.lock` in a folder, or `NAME.lock` beside a file or folder. */
const LOCK = '.lock';

/**
 * Makes a folder for a demo, or removes what an earlier demo has left there.
 *
 * @param isDefault - no configuration names it: it is a demo's, with the marker or without
 * @throws {@link UsageError} when it holds data that no demo has made; {@link FolderLockedError} while a process uses it. Nothing is removed then
 */
export async function beginDemoFolder(directory: string, isDefault: boolean): Promise<void> {
  const folder = resolve(directory);
  await makeFolder(folder);
  const names = await onDisk(folder, () => readdir(folder));
  const entries = await onDisk(folder, () => readdir(folder, { recursive: true, withFileTypes: true }));
  const locks: FolderLock[] = [];
  try {
    for (const { name, parentPath } of entries.filter((entry) => entry.name.endsWith(LOCK))) {
      const at = join(parentPath, name);
      const owned = name === LOCK ? parentPath : join(dirname(at), basename(name, LOCK));
      locks.push(await FolderLock.acquire(owned, { at }));
    }
  } finally {
    for (const lock of locks) await lock.release();
  }
  if (!isDefault && names.length > 0 && !names.includes(MARKER)) {
    throw new UsageError(
      `${folder} holds data that no demo has made, and a demo begins with an empty folder: set DATA_DIRECTORY to another one, or keep the data with --keep`,
    );
  }
  for (const name of names) await onDisk(folder, () => rm(join(folder, name), { recursive: true, force: true }));
  await writeSynced(join(folder, MARKER), '');
}
