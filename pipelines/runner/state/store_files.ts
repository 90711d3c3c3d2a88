import { randomUUID, webcrypto } from 'node:crypto';
import { existsSync, linkSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { copyFile, link, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, syncFolder, writeSynced } from '#storage/durable_files';
import { DamagedFileError, DiskFailedError, diskError, onDisk } from '#storage/errors';

/** One file of the store, as a snapshot refers to it. */
export interface StoredFile {
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 of its content, hexadecimal: the file's name among those that are kept. */
  readonly hash: string;
}

/** Tables that are kept already, by name. */
export type KnownFiles = ReadonlyMap<string, StoredFile>;

/** Written once and then only removed; under that name there is never another. */
const TABLE = /^\d+\.ldb$/;
/** What else there is of a store. */
const OTHER = /^(?:CURRENT|MANIFEST-\d+|\d+\.log)$/;
const MOST_TRIES = 1_000;

export interface KeptStore {
  readonly files: readonly StoredFile[];
  readonly known: KnownFiles;
  /** Bytes that were not kept before. */
  readonly addedBytes: number;
}

/**
 * Keeps a store's files for a snapshot: tables by a link, what else there is by a copy. The store is not written to meanwhile, but may be tidying its tables up: what
 * was listed belongs together when its manifest is the same before and after.
 *
 * @param known - tables that were kept before
 */
export async function saveFiles(folder: string, saved: string, known: KnownFiles): Promise<KeptStore> {
  await makeFolder(saved);
  const tables = new Map(known);
  let addedBytes = 0;
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const before = manifestOf(folder);
    const listed = listTables(folder);
    const fresh = listed.filter(({ name, bytes }) => tables.get(name)?.bytes !== bytes);
    for (const { name, bytes } of fresh) {
      const file = await keepTable(folder, saved, name, bytes);
      if (file === undefined) continue;
      tables.set(name, file);
      addedBytes += bytes;
    }
    if (listed.some(({ name, bytes }) => tables.get(name)?.bytes !== bytes) || manifestOf(folder) !== before) continue;
    const others: StoredFile[] = [];
    for (const name of readdirSync(folder).filter((one) => OTHER.test(one))) {
      others.push(await keepCopy(folder, saved, name));
    }
    addedBytes += others.reduce((sum, { bytes }) => sum + bytes, 0);
    if (manifestOf(folder) !== before) continue;
    await syncFolder(saved);
    const files = listed.map(({ name }) => tables.get(name) as StoredFile);
    return { files: [...files, ...others], known: new Map(files.map((file) => [file.name, file])), addedBytes };
  }
  throw new DiskFailedError(folder, 'the store of keyed state does not come to rest', undefined);
}

/** What says which tables a store consists of: the file's name and how long it is, as it only grows. */
function manifestOf(folder: string): string {
  const current = readFileSync(join(folder, 'CURRENT'), 'utf8').trim();
  return `${current} ${statSync(join(folder, current)).size}`;
}

function listTables(folder: string): { readonly name: string; readonly bytes: number }[] {
  return readdirSync(folder).flatMap((name) => {
    if (!TABLE.test(name)) return [];
    const bytes = statSync(join(folder, name), { throwIfNoEntry: false })?.size;
    return bytes === undefined ? [] : [{ name, bytes }];
  });
}

/**
 * Links a table to where it is kept. One that is being written belongs to no snapshot, whatever of it is kept.
 *
 * @returns undefined when it is gone
 */
async function keepTable(folder: string, saved: string, name: string, bytes: number): Promise<StoredFile | undefined> {
  const temporary = join(saved, `${randomUUID()}.tmp`);
  try {
    linkSync(join(folder, name), temporary);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw diskError(join(folder, name), error);
  }
  const hash = await hashOf(temporary, bytes);
  await onDisk(temporary, () => rename(temporary, join(saved, hash)));
  return { name, bytes, hash };
}

async function keepCopy(folder: string, saved: string, name: string): Promise<StoredFile> {
  const content = await onDisk(join(folder, name), () => readFile(join(folder, name)));
  const hash = await digestOf(content);
  await writeSynced(join(saved, hash), content);
  return { name, bytes: content.length, hash };
}

/** SHA-256 of a file's first bytes, computed beside this thread. */
async function hashOf(file: string, bytes: number): Promise<string> {
  const content = Buffer.allocUnsafe(bytes);
  let length = 0;
  await onDisk(file, async () => {
    const handle = await open(file, 'r');
    try {
      for (let bytesRead = 1; bytesRead > 0 && length < bytes; length += bytesRead) {
        ({ bytesRead } = await handle.read(content, length, bytes - length, length));
      }
    } finally {
      await handle.close();
    }
  });
  return digestOf(content.subarray(0, length));
}

const digestOf = async (content: Uint8Array): Promise<string> =>
  Buffer.from(await webcrypto.subtle.digest('SHA-256', content)).toString('hex');

/** Files that are checked at once. */
const CHECKED_AT_ONCE = 4;

/** @throws {@link DamagedFileError} when a kept file is missing, cut short or changed */
export async function checkFiles(saved: string, files: readonly StoredFile[]): Promise<void> {
  const left = [...files];
  const check = async (): Promise<void> => {
    for (let file = left.pop(); file !== undefined; file = left.pop()) {
      const kept = join(saved, file.hash);
      const isThere = existsSync(kept);
      if (isThere && (await hashOf(kept, file.bytes)) === file.hash) continue;
      throw new DamagedFileError(kept, 0, isThere ? 'its content has changed' : 'it is missing', RESTORE);
    }
  };
  await Promise.all(Array.from({ length: CHECKED_AT_ONCE }, check));
}

const RESTORE = 'start from an older snapshot, or restore the folder from a backup';

/** Puts kept files where a store can be opened on them. @returns its tables */
export async function placeFiles(saved: string, files: readonly StoredFile[], folder: string): Promise<KnownFiles> {
  for (const { name, hash } of files) {
    const [kept, target] = [join(saved, hash), join(folder, name)];
    await onDisk(target, () => (TABLE.test(name) ? link(kept, target) : copyFile(kept, target)));
  }
  return new Map(files.filter(({ name }) => TABLE.test(name)).map((file) => [file.name, file]));
}

/** Removes kept files that no snapshot refers to. */
export async function removeUnused(saved: string, snapshots: readonly (readonly StoredFile[])[]): Promise<void> {
  const used = new Set(snapshots.flat().map(({ hash }) => hash));
  for (const name of await onDisk(saved, () => readdir(saved))) {
    if (!used.has(name)) await onDisk(saved, () => rm(join(saved, name), { recursive: true, force: true }));
  }
}
