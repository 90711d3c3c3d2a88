import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { pathIn, readWhole } from '#connectors/files/file_system';
import type { FileSystemOf } from '#connectors/files/file_systems';
import { makeFolder, replaceFile, syncFolder } from '#storage/durable_files';
import { onDisk } from '#storage/errors';

/** Where an archive lies. Files appear whole. */
export interface ArchivePlace {
  readonly location: string;
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

function folderPlace(location: string): ArchivePlace {
  const made = new Set<string>();
  const ensure = async (folder: string): Promise<void> => {
    if (made.has(folder)) return;
    await makeFolder(folder);
    for (let above = folder; above !== location; above = dirname(above)) await syncFolder(dirname(above));
    made.add(folder);
  };
  return {
    location,
    async write(name, bytes) {
      const file = join(location, name);
      await ensure(dirname(file));
      await replaceFile(file, bytes);
    },
    read: (name) => onDisk(join(location, name), () => readFile(join(location, name)).catch(ifMissing(undefined))),
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

const ifMissing =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT') return instead;
    throw error;
  };

function bucketPlace(directory: string, fileSystems: FileSystemOf): ArchivePlace {
  const location = directory.replace(/\/+$/, '');
  const files = fileSystems(location);
  return {
    location,
    async write(name, bytes) {
      await files.write(pathIn(location, name), bytes);
    },
    async read(name) {
      const path = pathIn(location, name);
      const [found] = await files.glob(path.replace(/[*?{}[\]()!]/g, '\\$&'));
      return found === undefined ? undefined : readWhole(files, path);
    },
    remove: (name) => files.remove(pathIn(location, name)),
    async names() {
      const found = await files.glob(pathIn(location, '**/*.parquet'));
      return found.map((path) => path.slice(location.length + 1));
    },
  };
}
