import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FOLDER_MODE } from '#storage/durable_files';
import { BackupFailedError } from './errors.ts';

const TRIES = 20;
const REST_MS = 100;

/** Files of a folder as they were at one moment, under links of their own. */
export interface Stage {
  readonly folder: string;
  remove(): Promise<void>;
}

interface Entry {
  readonly path: string;
  /** undefined for a folder. */
  readonly inode: bigint | undefined;
}

/**
 * Links the files of a folder into another one beside it. Files are replaced by renaming or appended to, never changed in place: a link keeps the content, and when no
 * name has changed while links were made, all files are of one moment.
 *
 * @returns undefined where there is no such folder
 * @throws {@link BackupFailedError} when names change all the time
 */
export async function stage(folder: string, includes: (path: string) => boolean): Promise<Stage | undefined> {
  const source = resolve(folder);
  for (let tries = 0; tries < TRIES; tries += 1) {
    const before = await entriesOf(source, includes);
    if (before === undefined) return undefined;
    const staged = join(dirname(source), `.backup-${randomUUID().slice(0, 8)}`);
    const remove = (): Promise<void> => rm(staged, { recursive: true, force: true });
    await mkdir(staged, { mode: FOLDER_MODE });
    try {
      for (const { path, inode } of before) {
        if (inode === undefined) await mkdir(join(staged, path), { recursive: true });
        else {
          await mkdir(dirname(join(staged, path)), { recursive: true });
          await link(join(source, path), join(staged, path));
        }
      }
      if (same(before, await entriesOf(source, includes))) return { folder: staged, remove };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        await remove();
        throw error;
      }
    }
    await remove();
    await sleep(REST_MS * Math.random());
  }
  throw new BackupFailedError(
    `files of ${source} were replaced during each of ${TRIES} tries to copy them: try again when fewer changes are made`,
  );
}

async function entriesOf(source: string, includes: (path: string) => boolean): Promise<readonly Entry[] | undefined> {
  try {
    const found = await readdir(source, { recursive: true, withFileTypes: true });
    const entries: Entry[] = [];
    for (const entry of found) {
      const path = join(entry.parentPath, entry.name).slice(source.length + 1);
      if (entry.isDirectory()) {
        if (includes(`${path}/`)) entries.push({ path, inode: undefined });
      } else if (entry.isFile() && includes(path)) {
        const { ino } = await stat(join(source, path), { bigint: true });
        entries.push({ path, inode: ino });
      }
    }
    return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const same = (before: readonly Entry[], after: readonly Entry[] | undefined): boolean =>
  before.length === after?.length &&
  before.every(({ path, inode }, at) => path === after[at]?.path && inode === after[at]?.inode);
