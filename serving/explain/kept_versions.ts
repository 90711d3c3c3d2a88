import type { ModelRegistry, ModelVersion } from '#registry/model_registry';
import { LoadedModel, type LoadOptions } from '../models/loaded_model.ts';

interface Kept {
  readonly model: Promise<LoadedModel>;
  /** Calls that are at work with it. */
  users: number;
}

/** Versions of models that are loaded to look at what they have answered: the ones that were used last stay loaded. */
export class KeptVersions {
  readonly #registry: Pick<ModelRegistry, 'download'>;
  readonly #most: number;
  readonly #options: LoadOptions;
  /** The one that was used last is the last. */
  readonly #kept = new Map<string, Kept>();

  /** @param settings - `most`: versions that stay loaded */
  constructor(
    registry: Pick<ModelRegistry, 'download'>,
    { most, ...options }: { readonly most: number } & Pick<LoadOptions, 'limits'>,
  ) {
    this.#registry = registry;
    this.#most = most;
    this.#options = { ...options, isRepeatable: true };
  }

  /** Calls `work` with a version. @throws what says why it cannot be loaded */
  async use<T>(version: ModelVersion, work: (model: LoadedModel) => Promise<T>): Promise<T> {
    const id = `${version.name}/${version.version}`;
    const kept = this.#kept.get(id) ?? { model: this.#read(version), users: 0 };
    this.#kept.delete(id);
    this.#kept.set(id, kept);
    kept.users += 1;
    try {
      return await work(await kept.model);
    } catch (error) {
      // One that could not be loaded is tried again the next time.
      await kept.model.catch(() => this.#kept.delete(id));
      throw error;
    } finally {
      kept.users -= 1;
      await this.#releaseOldest();
    }
  }

  async #read(version: ModelVersion): Promise<LoadedModel> {
    return LoadedModel.load(await this.#registry.download(version), this.#options);
  }

  async #releaseOldest(): Promise<void> {
    for (const [id, kept] of this.#kept) {
      if (this.#kept.size <= this.#most) return;
      if (kept.users > 0) continue;
      this.#kept.delete(id);
      await (await kept.model).release();
    }
  }

  /** Releases all that are loaded. */
  async close(): Promise<void> {
    const all = [...this.#kept.values()];
    this.#kept.clear();
    await Promise.all(all.map(async ({ model }) => (await model).release()));
  }
}
