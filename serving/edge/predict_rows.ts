import type { JsonObject } from '#kernel/json';
import type { RowValues } from '#registry/packages/model_package';
import type { SignatureEncoder } from '#registry/packages/signature_encoder';
import { InvalidFeaturesError } from '../errors.ts';
import { interpret, type Meaning, type Predicted } from '../models/interpret.ts';

/** What computes rows: a model of this process, or one of a runtime without Node. */
export interface RowModel extends Meaning {
  readonly encoder: SignatureEncoder;
  /** Values a row has in the output. */
  readonly outputWidth: number;
  run(input: RowValues, rows: number): Promise<RowValues>;
}

/** Reads rows as serving does, computes them and says what comes out. @throws {@link InvalidFeaturesError} that names every bad field of every row */
export async function predictRows(model: RowModel, rows: readonly JsonObject[]): Promise<readonly Predicted[]> {
  const { encoder, outputWidth } = model;
  const input = encoder.allocate(rows.length);
  const problems = rows.flatMap((row, index) =>
    (encoder.encode(row, input, index * encoder.width) ?? []).map(({ field, problem }) => ({
      field: rows.length === 1 ? field : `instances.${index}.${field}`,
      problem,
    })),
  );
  if (problems.length > 0) throw new InvalidFeaturesError(problems);
  const output = await model.run(input, rows.length);
  return rows.map((_, index) => interpret(model, output, index * outputWidth));
}
