import type { JsonObject } from '#kernel/json';
import { readModelFolder } from '#registry/model_folder';
import type { Predicted } from '../models/interpret.ts';
import { LoadedModel } from '../models/loaded_model.ts';
import { predictRows } from './predict_rows.ts';

/** A model out of a folder: no registry, no stores, no network. */
export class EdgeModel {
  readonly #model: LoadedModel;

  private constructor(model: LoadedModel) {
    this.#model = model;
  }

  /**
   * Checks the folder's hashes, and its golden rows.
   *
   * @param folder - with model.onnx and headwater.json, as `headwater models export` writes them
   * @throws {@link ArtifactIntegrityError} {@link InvalidModelError}
   */
  static async open(folder: string): Promise<EdgeModel> {
    const { package: model } = await readModelFolder(folder);
    return new EdgeModel(
      await LoadedModel.load(model, { runtime: { ownThreadFromMs: Number.POSITIVE_INFINITY }, isExamined: true }),
    );
  }

  /** What the model takes: names and types of its columns. */
  get signature(): LoadedModel['signature'] {
    return this.#model.signature;
  }

  /** @throws {@link InvalidFeaturesError} that names every bad field of every row */
  predict(rows: readonly JsonObject[]): Promise<readonly Predicted[]> {
    return predictRows(this.#model, rows);
  }

  close(): Promise<void> {
    return this.#model.release();
  }
}
