import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { compares, pathIn } from '#connectors/files/file_system';
import type { FileSystemOf } from '#connectors/files/file_systems';
import { makeFolder, replaceFile, syncFolder } from '#storage/durable_files';
import { ifMissing, LockLostError, onDisk } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { BucketOwner, type OwnerSettings } from './bucket_owner.ts';

/** Makes this process the only one that writes to a place. */
export interface PlaceOwner {
  /** Of this owner, where the place compares what is written; undefined in a folder, whose lock keeps others out. */
  readonly token?: string;
  /** @throws {@link LockLostError} when another process has taken the place */
  check(): void;
  release(): Promise<void>;
}

/** Where an archive lies. Files appear whole. */
export interface ArchivePlace {
  readonly location: string;
  /** Of this machine; undefined in a bucket. */
  readonly folder: string | undefined;
  /** @throws {@link FolderLockedError} naming the process that owns the place */
  own(settings?: OwnerSettings): Promise<PlaceOwner>;
  /**
   * Replaces a file that only its owner replaces.
   *
   * @param tag - of what it replaces, as {@link readTagged} or this returned it; undefined when there was none
   * @throws {@link LockLostError} when another process has replaced it meanwhile
   */
  replace(name: string, bytes: Uint8Array, tag: string | undefined): Promise<string>;
  /** @returns undefined where there is no such file */
  readTagged(name: string): Promise<{ readonly bytes: Buffer; readonly tag: string } | undefined>;
  /** Writes a new file; in a bucket, one that exists is not replaced. @throws {@link LockLostError} when there is one */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** @returns undefined where there is no such file */
  read(name: string): Promise<Buffer | undefined>;
  remove(name: string): Promise<void>;
  /** Names of the Parquet files that lie there. */
  names(): Promise<readonly string[]>;
}

/** Returns the place of an archive: a folder of this machine, or `s3://bucket/prefix`. */
export const archivePlace = (directory: string, fileSystems: FileSystemOf): ArchivePlace =>
  directory.startsWith('s3://') ? bucketPlace(directory, fileSystems) : folderPlace(resolve(directory));

/** In a folder the lock keeps other writers out: no tags are compared. */
const NO_TAG = '';

function folderPlace(location: string): ArchivePlace {
  const made = new Set<string>();
  const ensure = async (folder: string): Promise<void> => {
    if (made.has(folder)) return;
    await makeFolder(folder);
    for (let above = folder; above !== location; above = dirname(above)) await syncFolder(dirname(above));
    made.add(folder);
  };
  const write = async (name: string, bytes: Uint8Array): Promise<void> => {
    const file = join(location, name);
    await ensure(dirname(file));
    await replaceFile(file, bytes);
  };
  const read = (name: string): Promise<Buffer | undefined> =>
    onDisk(join(location, name), () => readFile(join(location, name)).catch(ifMissing(undefined)));
  return {
    location,
    folder: location,
    own: () => FolderLock.acquire(location),
    async replace(name, bytes) {
      await write(name, bytes);
      return NO_TAG;
    },
    async readTagged(name) {
      const bytes = await read(name);
      return bytes === undefined ? undefined : { bytes, tag: NO_TAG };
    },
    write,
    read,
    remove: (name) => onDisk(join(location, name), () => rm(join(location, name), { force: true })),
    async names() {
      const entries = await onDisk(location, () =>
        readdir(location, { recursive: true, withFileTypes: true }).catch(ifMissing([])),
      );
      return entries
        .filter((entry) => entry.isFile() && entry.name.endsWith('.parquet'))
        .map((entry) => relative(location, join(entry.parentPath, entry.name)))
        .sort();
    },
  };
}

function bucketPlace(directory: string, fileSystems: FileSystemOf): ArchivePlace {
  const location = directory.replace(/\/+$/, '');
  const files = fileSystems(location);
  if (!compares(files)) throw new TypeError(`the file system of ${location} does not compare before it writes`);
  const replace = async (name: string, bytes: Uint8Array, tag: string | undefined): Promise<string> => {
    const written = await files.writeIf(pathIn(location, name), bytes, tag);
    if (written === undefined) throw new LockLostError(location);
    return written;
  };
  return {
    location,
    folder: undefined,
    own: (settings) => BucketOwner.acquire(files, location, settings),
    replace,
    readTagged: (name) => files.readTagged(pathIn(location, name)),
    async write(name, bytes) {
      await replace(name, bytes, undefined);
    },
    async read(name) {
      return (await files.readTagged(pathIn(location, name)))?.bytes;
    },
    remove: (name) => files.remove(pathIn(location, name)),
    async names() {
      const found = await files.glob(pathIn(location, '**/*.parquet'));
      return found.map((path) => path.slice(location.length + 1));
    },
  };
}
