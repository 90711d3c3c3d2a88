import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { JsonObject } from '#kernel/json';
import { readCheckedJson, writeCheckedJson } from '#storage/checked_json';
import { makeFolder, syncFolder, writeSynced } from '#storage/durable_files';
import { DamagedFileError, FolderLockedError, ifMissing, onDisk, PathError } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import {
  ArtifactIntegrityError,
  PromotionConflictError,
  RegistryUnavailableError,
  UnknownModelError,
} from '../errors.ts';
import { readInside } from '../folder_files.ts';
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
import type { ModelPackage } from '../packages/model_package.ts';
import { ONNX_FILE, PACKAGE_FILE, packageDocument, readPackage, sha256 } from '../packages/package_files.ts';
import { ALIAS_OF_STAGE } from '../stages.ts';
import type { LocalRegistryConfig } from './config.ts';

interface IndexedVersion extends Omit<ModelVersion, 'aliases'> {
  /** SHA-256 of each of its files; undefined for what versions before 0.2 have registered. */
  readonly files?: Readonly<Record<string, string>> | undefined;
}

interface Index {
  readonly versions: readonly IndexedVersion[];
  readonly aliases: Readonly<Record<string, number>>;
  /** What was done, oldest first. */
  readonly audit: readonly JsonObject[];
}

const EMPTY: Index = { versions: [], aliases: {}, audit: [] };
const LOCK_WAIT_MS = 10_000;

const indexSchema = z.strictObject({
  versions: z.array(
    z.looseObject({
      name: z.string(),
      version: z.int().positive(),
      stage: z.enum(['None', 'Staging', 'Production', 'Archived']),
      createdAtMs: z.number(),
      description: z.string(),
      tags: z.record(z.string(), z.string()),
      metrics: z.record(z.string(), z.number().nullable()),
      runId: z.string(),
    }),
  ),
  aliases: z.record(z.string(), z.int().positive()),
  audit: z.array(z.record(z.string(), z.unknown())),
}) as unknown as z.ZodType<Index>;
const INDEX_REMEDY =
  'restore it from a backup; without one, move the folder of the model away and register its versions again from its "versions" folder';

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
      // Versions without an index are one that was lost: the first version comes after its index.
      if (index === EMPTY) await writeCheckedJson(this.#indexFile(model.name), EMPTY);
      const version = index.versions.length + 1;
      const folder = this.#versionFolder(model.name, version);
      await makeFolder(folder);
      const contents = new Map<string, Uint8Array | string>([
        [ONNX_FILE, model.package.onnx],
        [PACKAGE_FILE, packageDocument(model.package)],
        ...(model.attachments ?? []),
      ]);
      for (const [name, content] of contents) await writeSynced(join(folder, name), content);
      // No index names it before all of it is on disk.
      for (const each of [folder, dirname(folder), this.#folder(model.name)]) await syncFolder(each);
      const registered = {
        name: model.name,
        version,
        stage: 'None' as Stage,
        createdAtMs: Date.now(),
        description: model.description ?? '',
        tags: { ...model.params, ...model.tags },
        metrics: model.metrics,
        runId: '',
        files: Object.fromEntries([...contents].map(([name, content]) => [name, sha256(content)])),
      };
      const changed = { ...index, versions: [...index.versions, registered] };
      return { index: changed, result: withAliases(changed, registered) };
    });
  }

  async listModels(): Promise<readonly string[]> {
    const entries = await onDisk(this.#directory, () =>
      readdir(this.#directory, { withFileTypes: true }).catch(ifMissing([])),
    );
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
    const folder = this.#folder(name);
    const lock = await FolderLock.acquire(folder, { at: join(folder, '.promotion') }).catch((error: unknown) => {
      throw error instanceof FolderLockedError ? new PromotionConflictError(name) : error;
    });
    try {
      return await work();
    } finally {
      await lock.release();
    }
  }

  async download({ name, version }: ModelVersion): Promise<ModelPackage> {
    const [onnx, document] = await Promise.all(
      [ONNX_FILE, PACKAGE_FILE].map((file) => this.#readFile(name, version, file)),
    );
    const folder = this.#versionFolder(name, version);
    return readPackage(folder, new Uint8Array(onnx as Buffer), document as Buffer);
  }

  async attachment({ name, version }: ModelVersion, file: string): Promise<Uint8Array | undefined> {
    return this.#readFile(name, version, checkFileName(file)).catch((error: unknown) => {
      if (error instanceof PathError && (error.cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    });
  }

  /** @throws {@link ArtifactIntegrityError} for a file that is not what was registered */
  async #readFile(name: string, version: number, file: string): Promise<Buffer> {
    const path = join(this.#versionFolder(name, version), file);
    // A link to elsewhere is refused.
    const content = await onDisk(path, () => readInside(this.#versionFolder(name, version), file));
    const { versions } = await this.#read(name);
    const expected = versions.find((each) => each.version === version)?.files?.[file];
    const found = sha256(content);
    if (expected !== undefined && found !== expected) throw new ArtifactIntegrityError(path, expected, found);
    return content;
  }

  async close(): Promise<void> {}

  #versionFolder(name: string, version: number): string {
    return join(this.#folder(name), 'versions', checkVersion(version));
  }

  /** The only way from a name to a path. @throws {@link InvalidNameError} */
  #folder(name: string): string {
    return join(this.#directory, folderOfModel(checkModelName(name)));
  }

  #indexFile(name: string): string {
    return join(this.#folder(name), 'index.json');
  }

  /** @throws {@link DamagedFileError} for an index that is damaged, or gone while versions exist */
  async #read(name: string): Promise<Index> {
    const file = this.#indexFile(name);
    const index = await readCheckedJson(file, indexSchema, { before: indexSchema, remedy: INDEX_REMEDY });
    if (index !== undefined) return index;
    const folder = join(this.#folder(name), 'versions');
    const versions = await onDisk(folder, () => readdir(folder).catch(ifMissing([])));
    if (versions.length === 0) return EMPTY;
    throw new DamagedFileError(file, 0, `it does not exist, and ${versions.length} versions do`, INDEX_REMEDY);
  }

  /** Reads, changes and replaces the index while no other process does. */
  async #update<R>(name: string, change: (index: Index) => Promise<{ index: Index; result: R }>): Promise<R> {
    const folder = this.#folder(name);
    const lock = await FolderLock.acquire(folder, { waitMs: LOCK_WAIT_MS }).catch((error: unknown) => {
      throw error instanceof FolderLockedError ? new RegistryUnavailableError('the registry folder', error) : error;
    });
    try {
      const { index, result } = await change(await this.#read(name));
      lock.check();
      await writeCheckedJson(this.#indexFile(name), index);
      return result;
    } finally {
      await lock.release();
    }
  }
}

function withAliases(index: Index, { files: _, ...version }: IndexedVersion): ModelVersion {
  const aliases = Object.entries(index.aliases)
    .filter(([, target]) => target === version.version)
    .map(([alias]) => alias);
  return { ...version, aliases };
}
