import { randomUUID } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PlatformError } from '#kernel/errors';
import { readModelFolder } from './model_folder.ts';
import type { ModelRegistry, ModelVersion } from './model_registry.ts';

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
/** Registering takes far less; whoever took it so long ago is gone. */
const TAKEN_FOR_MS = 10 * 60_000;

/**
 * Models that were trained while the registry was away, in a folder each, copied: what is trained next does not overwrite them. Each is
 * registered once; twice only when a process dies between registering and saying so.
 */
export class RegistrationQueue {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async add(name: string, folder: string, description: string): Promise<void> {
    const entry = join(this.#directory, `${Date.now()}-${randomUUID().slice(0, 8)}`);
    // It has its name when it is whole.
    const incomplete = `${entry}.incomplete`;
    await cp(folder, incomplete, { recursive: true });
    const pending: PendingRegistration = { name, description, since: new Date().toISOString() };
    await writeFile(join(incomplete, REQUEST_FILE), `${JSON.stringify(pending, null, 2)}\n`);
    await rename(incomplete, entry);
  }

  /** The oldest first. */
  async list(): Promise<readonly PendingRegistration[]> {
    const entries = await this.#entries();
    return Promise.all(entries.map((entry) => this.#request(entry)));
  }

  /**
   * Registers what waits, the oldest first, until the registry does not answer. What it refuses for good is put aside, and said.
   *
   * @throws {@link RegistryUnavailableError} when the registry is still away; what waits goes on waiting
   */
  async drain(registry: ModelRegistry, onRegistered: (registered: Registered) => void): Promise<void> {
    for (const entry of await this.#entries()) {
      const taken = join(this.#directory, `${entry.replace(TAKEN, '')}${TAKEN}`);
      try {
        await rename(join(this.#directory, entry), taken);
      } catch (error) {
        // Another process was faster.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        throw error;
      }
      const pending = await this.#request(taken.slice(this.#directory.length + 1));
      try {
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

  async #entries(): Promise<readonly string[]> {
    await mkdir(this.#directory, { recursive: true });
    const waiting: string[] = [];
    for (const name of (await readdir(this.#directory)).sort()) {
      if (/^\d+-\w+$/.test(name)) waiting.push(name);
      else if (name.endsWith(TAKEN)) {
        const held = await stat(join(this.#directory, name)).catch(() => undefined);
        if (held !== undefined && Date.now() - held.ctimeMs > TAKEN_FOR_MS) waiting.push(name);
      }
    }
    return waiting;
  }

  async #request(entry: string): Promise<PendingRegistration> {
    return JSON.parse(await readFile(join(this.#directory, entry, REQUEST_FILE), 'utf8')) as PendingRegistration;
  }
}
