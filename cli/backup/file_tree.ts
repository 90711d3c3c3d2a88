import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, stat } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { pathIn } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { FILE_MODE, FOLDER_MODE } from '#storage/durable_files';
import { MARK_FILE } from '#storage/segment_files';
import type { BackupStore } from './backup_store.ts';
import { RestoreRefusedError } from './errors.ts';
import type { StoredFile, StoredPart } from './manifest.ts';

export const isBucket = (folder: string): boolean => folder.startsWith('s3://');

/**
 * Stores the files of a folder of this machine.
 *
 * @param before - of an earlier backup: files with the same time and length are not read again
 */
export async function storeFolder(
  store: BackupStore,
  name: string,
  folder: string,
  before: StoredPart | undefined,
): Promise<StoredPart> {
  const known = new Map(before?.files.map((file) => [file.path, file]));
  const root = resolve(folder);
  const files: StoredFile[] = [];
  const folders: string[] = [];
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  // A log's mark says which records there are at least: it is read before them.
  entries.sort((a, b) => Number(b.name === MARK_FILE) - Number(a.name === MARK_FILE));
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
      .slice(root.length + 1)
      .replaceAll(sep, '/');
    if (entry.isDirectory()) folders.push(path);
    if (!entry.isFile()) continue;
    const { mtimeMs, size } = await stat(join(root, path));
    const same = known.get(path);
    if (same !== undefined && same.mtimeMs === mtimeMs && same.bytes === size) files.push(same);
    else if (size === 0) files.push({ path, mtimeMs, ...(await store.add(nothing())) });
    // Of a file that is appended to, what it holds by now.
    else files.push({ path, mtimeMs, ...(await store.add(createReadStream(join(root, path), { end: size - 1 }))) });
  }
  return { name, files, folders };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** Stores the files below `s3://bucket/prefix`. */
export async function storeBucket(store: BackupStore, name: string, place: string): Promise<StoredPart> {
  const fileSystem = createFileSystems()(place);
  const files: StoredFile[] = [];
  for (const path of await fileSystem.glob(`${place.replace(/\/+$/, '')}/**`)) {
    const opened = await fileSystem.open(path);
    try {
      const stored = await store.add(opened.stream());
      files.push({ path: path.slice(place.replace(/\/+$/, '').length + 1), mtimeMs: 0, ...stored });
    } finally {
      await opened.close();
    }
  }
  return { name, files, folders: [] };
}

/**
 * Writes the files of a part into a folder or bucket.
 *
 * @param onlyMissing - leaves files that exist as they are; otherwise a folder with files is refused
 * @returns how many were written
 * @throws {@link RestoreRefusedError}, {@link BackupDamagedError}
 */
export async function restoreTree(
  store: BackupStore,
  part: StoredPart,
  folder: string,
  onlyMissing: boolean,
): Promise<number> {
  const there = await filesIn(folder);
  const clashing = part.files.filter(({ path }) => there.has(path));
  if (!onlyMissing && clashing.length > 0) {
    throw new RestoreRefusedError(
      `${folder} has ${clashing.length} of the files of part "${part.name}", such as ${clashing[0]?.path}: move the folder away, or use --missing to write only what is missing`,
    );
  }
  const written = part.files.filter(({ path }) => !there.has(path));
  if (isBucket(folder)) {
    const fileSystem = createFileSystems()(folder);
    for (const file of written) {
      await fileSystem.write(pathIn(folder, file.path), await store.readWhole(file));
    }
    return written.length;
  }
  await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  for (const path of part.folders) await mkdir(join(folder, path), { recursive: true, mode: FOLDER_MODE });
  for (const file of written) {
    const path = join(folder, file.path);
    await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
    const handle = await open(path, 'wx', FILE_MODE);
    try {
      for await (const object of store.read(file)) await handle.writeFile(object);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  return written.length;
}

async function filesIn(folder: string): Promise<ReadonlySet<string>> {
  if (isBucket(folder)) {
    const place = folder.replace(/\/+$/, '');
    const found = await createFileSystems()(place).glob(`${place}/**`);
    return new Set(found.map((path) => path.slice(place.length + 1)));
  }
  try {
    const root = resolve(folder);
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    return new Set(
      entries
        .filter((entry) => entry.isFile())
        .map((entry) =>
          join(entry.parentPath, entry.name)
            .slice(root.length + 1)
            .replaceAll(sep, '/'),
        ),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set();
    throw error;
  }
}
