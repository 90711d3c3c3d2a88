import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { onDisk } from './errors.ts';

/** What this process keeps is for its own user. */
export const FILE_MODE = 0o600;
export const FOLDER_MODE = 0o700;

/** Makes a folder, and those above it, for this user alone. */
export function makeFolder(folder: string): Promise<void> {
  return onDisk(folder, async () => void (await mkdir(folder, { recursive: true, mode: FOLDER_MODE })));
}

/** Makes names that were added to, changed in or removed from a folder durable. */
export function syncFolder(folder: string): Promise<void> {
  return onDisk(folder, async () => {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/** Writes a file that is durable when this resolves. It may be half there after a crash: for files that no other file refers to yet. */
export function writeSynced(file: string, content: string | Uint8Array): Promise<void> {
  return onDisk(file, async () => {
    const handle = await open(file, 'w', FILE_MODE);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

/** Replaces a file as a whole: after a crash it holds the old content or the new one. Durable when this resolves. */
export async function replaceFile(file: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${file}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeSynced(temporary, content);
    await onDisk(file, () => rename(temporary, file));
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(file));
}
