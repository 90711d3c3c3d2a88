import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, replaceFile } from '#storage/durable_files';
import { ifMissing } from '#storage/errors';
import { parseJsonFile } from '#storage/json_file';
import type { ModelVersion, VersionSelector } from './model_registry.ts';
import { checkModelName } from './names.ts';
import type { ModelPackage } from './packages/model_package.ts';
import { ONNX_FILE, PACKAGE_FILE, packageDocument, readPackage } from './packages/package_files.ts';

const FOLLOWED_FILE = 'followed.json';
const REMEDY = 'delete it: it is written again when the registry answers';

type Followed = Readonly<Record<string, ModelVersion>>;

/**
 * The versions that answered last, on this machine: what serves after a restart while the registry is away. A folder for each model holds the files of its
 * versions with their hashes, and which version each selector meant.
 */
export class KeptModels {
  readonly #directory: string;
  /** Changes to a model's folder come one after the other. */
  readonly #changes = new Map<string, Promise<void>>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Keeps a version that answers for a selector, and removes those that answer for none any more. @throws DiskFailedError */
  keep(version: ModelVersion, selector: VersionSelector, model: ModelPackage | undefined): Promise<void> {
    const name = checkModelName(version.name);
    const change = (this.#changes.get(name) ?? Promise.resolve())
      .catch(() => {})
      .then(() => this.#keep(version, selector, model));
    this.#changes.set(name, change);
    return change;
  }

  async #keep(version: ModelVersion, selector: VersionSelector, model: ModelPackage | undefined): Promise<void> {
    const folder = join(this.#directory, version.name);
    const own = join(folder, folderOf(version));
    if (model !== undefined) {
      await makeFolder(own);
      await replaceFile(join(own, ONNX_FILE), model.onnx);
      await replaceFile(join(own, PACKAGE_FILE), packageDocument(model));
    }
    const followed = { ...(await this.#followed(version.name)), [keyOf(selector)]: version };
    await replaceFile(join(folder, FOLLOWED_FILE), `${JSON.stringify(followed, null, 2)}\n`);
    const used = new Set(Object.values(followed).map(folderOf));
    for (const each of await readdir(folder)) {
      if (VERSION_FOLDER.test(each) && !used.has(each)) await rm(join(folder, each), { recursive: true, force: true });
    }
  }

  /** Returns the version that a selector meant last; undefined when none is kept. @throws DamagedFileError */
  async find(name: string, selector: VersionSelector): Promise<ModelVersion | undefined> {
    return (await this.#followed(checkModelName(name)))[keyOf(selector)];
  }

  /** Returns a version that was kept; undefined when it was not. @throws {@link ArtifactIntegrityError} when its bytes are not those that were kept */
  async read(version: ModelVersion): Promise<ModelPackage | undefined> {
    const folder = join(this.#directory, checkModelName(version.name), folderOf(version));
    const [onnx, document] = await Promise.all([
      readIfThere(join(folder, ONNX_FILE)),
      readIfThere(join(folder, PACKAGE_FILE)),
    ]);
    if (onnx === undefined || document === undefined) return undefined;
    return readPackage(folder, onnx, document);
  }

  async #followed(name: string): Promise<Followed> {
    const file = join(this.#directory, name, FOLLOWED_FILE);
    const bytes = await readIfThere(file);
    return bytes === undefined ? {} : (parseJsonFile(file, bytes, REMEDY) as Followed);
  }
}

const readIfThere = (file: string): Promise<Uint8Array | undefined> => readFile(file).catch(ifMissing(undefined));

/** A model that is deleted and made again counts its versions from 1 again. */
const folderOf = ({ version, createdAtMs }: ModelVersion): string => `${version}-${createdAtMs}`;

const VERSION_FOLDER = /^\d+-\d+$/;

const keyOf = (selector: VersionSelector): string => JSON.stringify(Object.entries(selector));
