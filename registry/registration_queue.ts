import { randomUUID } from 'node:crypto';
import { cp, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { z } from 'zod';
import { messageOf, PlatformError } from '#kernel/errors';
import { readCheckedJson, writeCheckedJson } from '#storage/checked_json';
import { makeFolder, syncFolder } from '#storage/durable_files';
import { DamagedFileError, FolderLockedError, onDisk } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { readModelFolder } from './model_folder.ts';
import type { ModelRegistry, ModelVersion } from './model_registry.ts';
import { sha256 } from './packages/package_files.ts';

export interface PendingRegistration {
  readonly name: string;
  readonly description: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface Registered {
  readonly pending: PendingRegistration;
  readonly outcome: { readonly version: ModelVersion } | { readonly refused: string; readonly folder: string };
}

const REQUEST_FILE = 'registration.json';
const TAKEN = '.taken';
const REFUSED = '.refused';

const requestSchema = z.strictObject({
  name: z.string(),
  description: z.string(),
  since: z.string(),
  /** SHA-256 of each file of the model; absent in what earlier versions have written. */
  files: z.record(z.string(), z.string()).optional(),
});
type Request = z.infer<typeof requestSchema>;

/**
 * Models that were trained while the registry was away, in a folder each, copied: what is trained next does not overwrite them. Each is
 * registered once; twice only when a process dies between registering and removing the folder.
 */
export class RegistrationQueue {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async add(name: string, folder: string, description: string): Promise<void> {
    const entry = join(this.#directory, `${Date.now()}-${randomUUID().slice(0, 8)}`);
    // It has its name when it is whole, and on disk.
    const incomplete = `${entry}.incomplete`;
    const pending: PendingRegistration = { name, description, since: new Date().toISOString() };
    await makeFolder(this.#directory);
    await onDisk(incomplete, async () => {
      await cp(folder, incomplete, { recursive: true });
      await writeCheckedJson(join(incomplete, REQUEST_FILE), { ...pending, files: await hashesOf(incomplete) });
      await syncFiles(incomplete);
      await rename(incomplete, entry);
    });
    await syncFolder(this.#directory);
  }

  /** The oldest first. */
  async list(): Promise<readonly PendingRegistration[]> {
    const entries = await this.#entries();
    const requests = await Promise.all(entries.map((entry) => this.#request(entry)));
    return requests.map(({ files: _, ...pending }) => pending);
  }

  /**
   * Registers what waits, the oldest first, until the registry does not answer. What it refuses for good is put aside, and said.
   *
   * @throws {@link RegistryUnavailableError} when the registry is still away; what waits continues to wait
   */
  async drain(registry: ModelRegistry, onRegistered: (registered: Registered) => void): Promise<void> {
    if ((await this.#entries()).length === 0) return;
    let lock: FolderLock;
    try {
      lock = await FolderLock.acquire(this.#directory);
    } catch (error) {
      // Another process is at it.
      if (error instanceof FolderLockedError) return;
      throw error;
    }
    try {
      await this.#drainAll(registry, onRegistered);
    } finally {
      await lock.release();
    }
  }

  async #drainAll(registry: ModelRegistry, onRegistered: (registered: Registered) => void): Promise<void> {
    for (const entry of await this.#entries()) {
      const taken = join(this.#directory, `${entry.replace(TAKEN, '')}${TAKEN}`);
      await rename(join(this.#directory, entry), taken);
      const { files, ...pending } = await this.#request(taken.slice(this.#directory.length + 1));
      try {
        await this.#check(taken, files);
        const version = await registry.register({ ...(await readModelFolder(taken)), ...pending });
        await rm(taken, { recursive: true, force: true });
        onRegistered({ pending, outcome: { version } });
      } catch (error) {
        const free = join(this.#directory, entry.replace(TAKEN, ''));
        if (!(error instanceof PlatformError) || error.retryable) {
          await rename(taken, free);
          throw error;
        }
        const folder = `${free}${REFUSED}`;
        await rename(taken, folder);
        onRegistered({ pending, outcome: { refused: messageOf(error), folder } });
      }
    }
  }

  /** @throws {@link DamagedFileError} when a file of the model is not as it was added */
  async #check(folder: string, files: Request['files'] = {}): Promise<void> {
    const found = await hashesOf(folder);
    for (const [name, hash] of Object.entries(files)) {
      if (found[name] === hash) continue;
      const problem =
        found[name] === undefined ? 'it is missing' : 'its SHA-256 is not that of the file that was added';
      throw new DamagedFileError(join(folder, name), 0, problem, 'train the model again');
    }
  }

  /** What waits, and what a process had taken that is gone. */
  async #entries(): Promise<readonly string[]> {
    await makeFolder(this.#directory);
    const names = await onDisk(this.#directory, () => readdir(this.#directory));
    return names.filter((name) => /^\d+-\w+(\.taken)?$/.test(name)).sort();
  }

  async #request(entry: string): Promise<Request> {
    const file = join(this.#directory, entry, REQUEST_FILE);
    const remedy = `move ${join(this.#directory, entry)} away, and register the model in it by its folder`;
    const pending = await readCheckedJson(file, requestSchema, { before: requestSchema, remedy });
    if (pending === undefined) throw new DamagedFileError(file, 0, 'it is missing', remedy);
    return pending;
  }
}

/** Returns the SHA-256 of each file of a model's folder, by its path within. */
async function hashesOf(folder: string): Promise<Readonly<Record<string, string>>> {
  return onDisk(folder, async () => {
    const hashes: Record<string, string> = {};
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      const name = relative(folder, file);
      if (entry.isFile() && name !== REQUEST_FILE) hashes[name] = sha256(await readFile(file));
    }
    return hashes;
  });
}

async function syncFiles(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const handle = await open(join(entry.parentPath, entry.name), 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  await syncFolder(folder);
}
