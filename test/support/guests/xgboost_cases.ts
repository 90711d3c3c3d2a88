import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelPackage } from '#registry/packages/model_package';
import { createEncoder } from '#registry/packages/signature_encoder';
import { type Booster, readBooster } from '#registry/xgboost/booster';
import { packageOfBooster } from '#registry/xgboost/booster_package';
import { predictRow } from '#registry/xgboost/predict_row';
import { LoadedModel } from '#serving/models/loaded_model';

/** A model that test/support/guests/make_xgboost.py has trained, and what XGBoost predicts. */
export interface XgboostCase {
  readonly name: string;
  readonly version: string;
  readonly meaning: 'values' | 'labels';
  readonly rows: readonly (readonly (number | string | boolean | null)[])[];
  readonly expected: readonly (readonly number[])[];
}

export const xgboostCase = (folder: string): XgboostCase =>
  JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as XgboostCase;

/** Returns the largest difference between XGBoost's predictions and those of the graph, of serving's kernels and of the plain walk, relative to 1 + their size. */
export async function differenceFromXgboost(folder: string, kind: 'json' | 'ubj'): Promise<number> {
  const { rows, expected, meaning } = xgboostCase(folder);
  const booster = readBooster(new Uint8Array(readFileSync(join(folder, `model.${kind}`))));
  const model = packageOfBooster(booster);
  return Math.max(
    differenceOf(walked(booster, model, rows), expected, meaning),
    differenceOf(await computed(model, rows), expected, meaning),
  );
}

function encoded({ signature }: ModelPackage, rows: XgboostCase['rows']): Float32Array {
  const encoder = createEncoder(signature);
  const input = new Float32Array(rows.length * encoder.width);
  for (const [at, row] of rows.entries()) {
    const features = Object.fromEntries(encoder.names.map((name, column) => [name, row[column]]));
    const problems = encoder.encode(features, input, at * encoder.width);
    if (problems !== undefined) throw new Error(`row ${at}: ${JSON.stringify(problems)}`);
  }
  return input;
}

function walked(booster: Booster, model: ModelPackage, rows: XgboostCase['rows']): readonly (readonly number[])[] {
  const input = encoded(model, rows);
  const { length: width } = booster.columns;
  return rows.map((_, at) => predictRow(booster, input.subarray(at * width, (at + 1) * width)));
}

/** As serving computes it, which checks the golden rows first. */
async function computed(model: ModelPackage, rows: XgboostCase['rows']): Promise<readonly (readonly number[])[]> {
  const loaded = await LoadedModel.load(model);
  try {
    const output = await loaded.run(encoded(model, rows), rows.length);
    const width = output.length / rows.length;
    return rows.map((_, at) => Array.from(output.subarray(at * width, (at + 1) * width)));
  } finally {
    await loaded.release();
  }
}

function differenceOf(
  found: readonly (readonly number[])[],
  expected: XgboostCase['expected'],
  meaning: XgboostCase['meaning'],
): number {
  let largest = 0;
  for (const [row, values] of expected.entries()) {
    const own = found[row] as readonly number[];
    const compared = meaning === 'labels' ? [own.indexOf(Math.max(...own))] : own;
    if (compared.length !== values.length)
      throw new Error(`row ${row} has ${compared.length} values, not ${values.length}`);
    for (const [at, value] of values.entries()) {
      const difference = Math.abs((compared[at] as number) - value) / (1 + Math.abs(value));
      if (!(difference <= largest)) largest = difference;
    }
  }
  return largest;
}
