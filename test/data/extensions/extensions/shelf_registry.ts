import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  defineRegistry,
  type ModelPackage,
  type ModelRegistry,
  type ModelVersion,
  type NewModelVersion,
  PromotionConflictError,
  readModelFolder,
  type Stage,
  UnknownModelError,
  type VersionSelector,
  writeModelFolder,
} from 'headwater/registry';
import { z } from 'zod';

type Entry = Omit<ModelVersion, 'aliases'>;

/** What is known of a model's versions: one file, replaced as a whole. */
interface Shelf {
  readonly versions: readonly Entry[];
  readonly aliases: Readonly<Record<string, number>>;
  readonly moves: readonly unknown[];
}

const EMPTY: Shelf = { versions: [], aliases: {}, moves: [] };
const ALIASES: Partial<Record<Stage, string>> = { Production: 'champion', Staging: 'challenger' };
const LOOK_EVERY_MS = 10;

/** Models as folders of a directory. A folder that can be made once is the lock of a model. */
class ShelfRegistry implements ModelRegistry {
  readonly kind = 'shelf';
  readonly #directory: string;
  readonly #now: () => number;

  constructor(directory: string, now: () => number) {
    this.#directory = directory;
    this.#now = now;
  }

  register({ name, package: model, metrics, params, tags, description = '', attachments }: NewModelVersion) {
    return this.#change(name, async (shelf) => {
      const version = shelf.versions.length + 1;
      const folder = this.#folderOf(name, version);
      await writeModelFolder(folder, model, { card: { metrics, params } });
      for (const [file, content] of attachments ?? []) await writeFile(join(folder, `with-${file}`), content);
      const at = this.#now();
      const entry: Entry = {
        ...{ name, version, stage: 'None', createdAtMs: at, description, metrics, runId: '' },
        tags: { ...params, ...tags },
      };
      return [
        { ...shelf, versions: [...shelf.versions, entry] },
        { ...entry, aliases: [] },
      ];
    });
  }

  async listModels(): Promise<readonly string[]> {
    const entries = await readdir(this.#directory, { withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => decodeURIComponent(name));
  }

  async listVersions(name: string): Promise<readonly ModelVersion[]> {
    const shelf = await this.#read(name);
    return shelf.versions.map((entry) => withAliases(shelf, entry));
  }

  async resolve(name: string, selector: VersionSelector): Promise<ModelVersion | undefined> {
    const versions = await this.listVersions(name);
    if ('version' in selector) return versions.find(({ version }) => version === selector.version);
    if ('stage' in selector) return versions.findLast(({ stage }) => stage === selector.stage);
    return versions.find(({ aliases }) => aliases.includes(selector.alias));
  }

  transition(name: string, version: number, stage: Stage, audit = {}): Promise<ModelVersion> {
    return this.#change(name, async (shelf) => {
      const moved = shelf.versions.find((entry) => entry.version === version);
      if (moved === undefined) throw new UnknownModelError(`${name} version ${version}`, await this.listModels());
      const isAlone = ALIASES[stage] !== undefined;
      const versions = shelf.versions.map((entry): Entry => {
        if (entry.version === version) return { ...entry, stage };
        return isAlone && entry.stage === stage ? { ...entry, stage: 'Archived' } : entry;
      });
      const aliases = { ...shelf.aliases };
      for (const alias of Object.values(ALIASES)) if (aliases[alias] === version) delete aliases[alias];
      const alias = ALIASES[stage];
      if (alias !== undefined) aliases[alias] = version;
      const changed = { versions, aliases, moves: [...shelf.moves, { version, stage, ...audit }] };
      return [changed, withAliases(changed, { ...moved, stage })];
    });
  }

  setAlias(name: string, alias: string, version: number): Promise<void> {
    return this.#change(name, async (shelf) => [
      { ...shelf, aliases: { ...shelf.aliases, [alias]: version } },
      undefined,
    ]);
  }

  setTag(name: string, version: number, key: string, value: string): Promise<void> {
    return this.#change(name, async (shelf) => {
      const tagged = (entry: Entry): Entry => ({ ...entry, tags: { ...entry.tags, [key]: value } });
      const versions = shelf.versions.map((entry) => (entry.version === version ? tagged(entry) : entry));
      return [{ ...shelf, versions }, undefined];
    });
  }

  async exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    const lock = join(this.#modelFolder(name), '.promotion');
    if (!(await tryMake(lock))) throw new PromotionConflictError(name);
    try {
      return await work();
    } finally {
      await rm(lock, { recursive: true });
    }
  }

  /** `readModelFolder` compares the model with the hash that was written beside it. */
  async download({ name, version }: ModelVersion): Promise<ModelPackage> {
    return (await readModelFolder(this.#folderOf(name, version))).package;
  }

  async attachment({ name, version }: ModelVersion, file: string): Promise<Uint8Array | undefined> {
    const path = join(this.#folderOf(name, version), `with-${file}`);
    return existsSync(path) ? readFile(path) : undefined;
  }

  async close(): Promise<void> {}

  #modelFolder(name: string): string {
    return join(this.#directory, encodeURIComponent(name));
  }

  #folderOf(name: string, version: number): string {
    return join(this.#modelFolder(name), String(version));
  }

  async #read(name: string): Promise<Shelf> {
    const file = join(this.#modelFolder(name), 'shelf.json');
    return existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as Shelf) : EMPTY;
  }

  async #change<T>(name: string, change: (shelf: Shelf) => Promise<readonly [Shelf, T]>): Promise<T> {
    await mkdir(this.#modelFolder(name), { recursive: true });
    const lock = join(this.#modelFolder(name), '.change');
    while (!(await tryMake(lock))) await sleep(LOOK_EVERY_MS);
    try {
      const [changed, result] = await change(await this.#read(name));
      const file = join(this.#modelFolder(name), 'shelf.json');
      await writeFile(`${file}.new`, JSON.stringify(changed));
      await rename(`${file}.new`, file);
      return result;
    } finally {
      await rm(lock, { recursive: true });
    }
  }
}

const tryMake = (folder: string): Promise<boolean> =>
  mkdir(folder).then(
    () => true,
    () => false,
  );

const withAliases = ({ aliases }: Shelf, entry: Entry): ModelVersion => ({
  ...entry,
  aliases: Object.keys(aliases).filter((alias) => aliases[alias] === entry.version),
});

export const shelf = defineRegistry({
  name: 'shelf',
  settings: z.strictObject({ directory: z.string().min(1) }),
  create: ({ clock }, { directory }) => new ShelfRegistry(directory, () => clock.now()),
});
