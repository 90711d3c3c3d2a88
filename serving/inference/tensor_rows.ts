import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import type { JsonObject } from '#kernel/json';
import type { RowValues } from '#registry/packages/model_package';
import type { LoadedModel } from '../models/loaded_model.ts';
import type { AskedRow, AskedRows } from './answered_rows.ts';

/** So many are written out at once. */
const ROWS_A_RUN = 64;

/** Rows that came as tensors: their features are read out of the model's input when the log takes them, and written as text where all are numbers. */
export class TensorRows implements AskedRows {
  readonly count: number;
  readonly #model: LoadedModel;
  readonly #input: RowValues;
  readonly #entity: EntityKey | undefined;
  /** From the row `#textsFrom` on. */
  #texts: readonly string[] = [];
  #textsFrom = 0;

  /** @param entity - of all rows, where the request names it */
  constructor(model: LoadedModel, input: RowValues, count: number, entity: EntityKey | undefined) {
    this.count = count;
    this.#model = model;
    this.#input = input;
    this.#entity = entity;
  }

  at(index: number): AskedRow {
    return { features: this.#textAt(index) ?? this.#featuresAt(index), entity: this.#entity };
  }

  #textAt(index: number): string | undefined {
    const known = this.#texts[index - this.#textsFrom];
    if (known !== undefined) return known;
    const texts = this.#model.rowTexts;
    if (texts === undefined) return undefined;
    this.#texts = texts.write(this.#input as Float32Array, index, Math.min(index + ROWS_A_RUN, this.count));
    this.#textsFrom = index;
    return this.#texts[0];
  }

  #featuresAt(index: number): JsonObject {
    const { encoder, signature } = this.#model;
    const features: Record<string, string | number | null> = {};
    for (const [column, { name, categories }] of signature.inputs.entries()) {
      const value = this.#input[index * encoder.width + column] as number;
      if (encoder.isText[column] === true) features[name] = encoder.texts?.textOf(value) ?? '';
      else if (!Number.isFinite(value)) features[name] = null;
      else features[name] = categoryOf(categories, value) ?? value;
    }
    return features as JsonObject;
  }
}

function categoryOf(categories: Readonly<Record<string, number>> | undefined, value: number): string | undefined {
  for (const name in categories) if (Math.fround(categories[name] as number) === value) return name;
  return undefined;
}
