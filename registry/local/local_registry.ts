import { mkdir, open, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { JsonObject } from '#kernel/json';
import { PromotionConflictError, RegistryUnavailableError, UnknownModelError } from '../errors.ts';
import { readIfInside, readInside } from '../folder_files.ts';
import type { ModelPackage } from '../model_package.ts';
import type { ModelRegistry, ModelVersion, NewModelVersion, Stage, VersionSelector } from '../model_registry.ts';
import {
  checkAlias,
  checkFileName,
  checkModelName,
  checkTag,
  checkVersion,
  folderOfModel,
  modelOfFolder,
} from '../names.ts';
import { refuseExternalData } from '../onnx/external_data.ts';
import { ONNX_FILE, PACKAGE_FILE, packageDocument, readPackage } from '../package_files.ts';
import { ALIAS_OF_STAGE } from '../stages.ts';

export const localRegistryConfigSchema = z.strictObject({ kind: z.literal('local'), directory: z.string().min(1) });
export type LocalRegistryConfig = z.infer<typeof localRegistryConfigSchema>;

interface Index {
  readonly versions: readonly Omit<ModelVersion, 'aliases'>[];
  readonly aliases: Readonly<Record<string, number>>;
  /** What was done, oldest first. */
  readonly audit: readonly JsonObject[];
}

const EMPTY: Index = { versions: [], aliases: {}, audit: [] };
const LOCK_RETRY_MS = 20;
const LOCK_STALE_MS = 30_000;
const LOCK_ATTEMPTS = 500;

/** Models in a folder: one immutable folder a version, and an index a model that is replaced atomically. */
export class LocalRegistry implements ModelRegistry {
  readonly kind = 'local';
  readonly #directory: string;

  constructor(config: LocalRegistryConfig) {
    this.#directory = config.directory;
  }

  async register(model: NewModelVersion): Promise<ModelVersion> {
    for (const name of model.attachments?.keys() ?? []) checkFileName(name);
    refuseExternalData(model.package.onnx);
    return this.#update(model.name, async (index) => {
      const version = index.versions.length + 1;
      const folder = this.#versionFolder(model.name, version);
      await mkdir(folder, { recursive: true });
      await writeDurably(join(folder, ONNX_FILE), model.package.onnx);
      await writeDurably(join(folder, PACKAGE_FILE), packageDocument(model.package));
      for (const [name, content] of model.attachments ?? []) await writeDurably(join(folder, name), content);
      const registered = {
        name: model.name,
        version,
        stage: 'None' as Stage,
        createdAtMs: Date.now(),
        description: model.description ?? '',
        tags: { ...model.params, ...model.tags },
        metrics: model.metrics,
        runId: '',
      };
      const changed = { ...index, versions: [...index.versions, registered] };
      return { index: changed, result: withAliases(changed, registered) };
    });
  }

  async listModels(): Promise<readonly string[]> {
    const entries = await readdir(this.#directory, { withFileTypes: true }).catch(() => []);
    return entries.flatMap((entry) => (entry.isDirectory() ? (modelOfFolder(entry.name) ?? []) : []));
  }

  async listVersions(name: string): Promise<readonly ModelVersion[]> {
    const index = await this.#read(name);
    return index.versions.map((version) => withAliases(index, version));
  }

  async resolve(name: string, selector: VersionSelector): Promise<ModelVersion | undefined> {
    if ('version' in selector) checkVersion(selector.version);
    if ('alias' in selector) checkAlias(selector.alias);
    const versions = await this.listVersions(name);
    if ('version' in selector) return versions.find(({ version }) => version === selector.version);
    if ('stage' in selector) return versions.findLast(({ stage }) => stage === selector.stage);
    return versions.find(({ aliases }) => aliases.includes(selector.alias));
  }

  async transition(name: string, version: number, stage: Stage, audit: JsonObject = {}): Promise<ModelVersion> {
    checkVersion(version);
    return this.#update(name, async (index) => {
      if (!index.versions.some((candidate) => candidate.version === version)) {
        throw new UnknownModelError(
          `${name} version ${version}`,
          index.versions.map((known) => `version ${known.version}`),
        );
      }
      const exclusive = stage === 'Production' || stage === 'Staging';
      const versions = index.versions.map((candidate) => {
        if (candidate.version === version) return { ...candidate, stage };
        return exclusive && candidate.stage === stage ? { ...candidate, stage: 'Archived' as Stage } : candidate;
      });
      const aliases = { ...index.aliases };
      for (const [of, alias] of Object.entries(ALIAS_OF_STAGE)) {
        if (of === stage) aliases[alias] = version;
        else if (aliases[alias] === version) delete aliases[alias];
      }
      const entry = { at: new Date().toISOString(), version, stage, ...audit };
      const changed = { versions, aliases, audit: [...index.audit, entry] };
      const moved = versions.find((candidate) => candidate.version === version) as (typeof versions)[number];
      return { index: changed, result: withAliases(changed, moved) };
    });
  }

  async setAlias(name: string, alias: string, version: number): Promise<void> {
    checkAlias(alias);
    checkVersion(version);
    await this.#update(name, async (index) => ({
      index: { ...index, aliases: { ...index.aliases, [alias]: version } },
      result: undefined,
    }));
  }

  async setTag(name: string, version: number, key: string, value: string): Promise<void> {
    checkVersion(version);
    checkTag(key);
    await this.#update(name, async (index) => {
      const versions = index.versions.map((held) =>
        held.version === version ? { ...held, tags: { ...held.tags, [key]: value } } : held,
      );
      return { index: { ...index, versions }, result: undefined };
    });
  }

  async exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    const lock = join(this.#folder(name), 'promotion.lock');
    if (!(await tryLock(lock))) throw new PromotionConflictError(name);
    try {
      return await work();
    } finally {
      await unlink(lock).catch(() => {});
    }
  }

  async download({ name, version }: ModelVersion): Promise<ModelPackage> {
    const folder = this.#versionFolder(name, version);
    const [onnx, document] = await Promise.all([readInside(folder, ONNX_FILE), readInside(folder, PACKAGE_FILE)]);
    return readPackage(folder, new Uint8Array(onnx), document.toString('utf8'));
  }

  async attachment({ name, version }: ModelVersion, file: string): Promise<Uint8Array | undefined> {
    return readIfInside(this.#versionFolder(name, version), checkFileName(file));
  }

  async close(): Promise<void> {}

  #versionFolder(name: string, version: number): string {
    return join(this.#folder(name), 'versions', checkVersion(version));
  }

  /** The only way from a name to a path. @throws {@link InvalidNameError} */
  #folder(name: string): string {
    return join(this.#directory, folderOfModel(checkModelName(name)));
  }

  async #read(name: string): Promise<Index> {
    const text = await readFile(join(this.#folder(name), 'index.json'), 'utf8').catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      },
    );
    return text === undefined ? EMPTY : (JSON.parse(text) as Index);
  }

  /** Reads, changes and replaces the index while no other process does. */
  async #update<R>(name: string, change: (index: Index) => Promise<{ index: Index; result: R }>): Promise<R> {
    const folder = this.#folder(name);
    await mkdir(folder, { recursive: true });
    const lock = join(folder, 'lock');
    await acquire(lock);
    try {
      const { index, result } = await change(await this.#read(name));
      const temporary = join(folder, 'index.json.tmp');
      await writeDurably(temporary, `${JSON.stringify(index, null, 2)}\n`);
      await rename(temporary, join(folder, 'index.json'));
      return result;
    } finally {
      await unlink(lock).catch(() => {});
    }
  }
}

function withAliases(index: Index, version: Omit<ModelVersion, 'aliases'>): ModelVersion {
  const aliases = Object.entries(index.aliases)
    .filter(([, target]) => target === version.version)
    .map(([alias]) => alias);
  return { ...version, aliases };
}

/** @returns false while another process has it; one that was left behind is removed, for the next try */
async function tryLock(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const held = await stat(lock).catch(() => undefined);
    if (held !== undefined && Date.now() - held.mtimeMs > LOCK_STALE_MS) await unlink(lock).catch(() => {});
    return false;
  }
}

async function acquire(lock: string): Promise<void> {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt += 1) {
    if (await tryLock(lock)) return;
    await sleep(LOCK_RETRY_MS);
  }
  throw new RegistryUnavailableError('the registry folder', new Error(`${lock} is held by another process`));
}

async function writeDurably(file: string, content: string | Uint8Array): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
