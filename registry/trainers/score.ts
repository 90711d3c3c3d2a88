import { InferenceSession, Tensor } from 'onnxruntime-node';
import { InvalidModelError } from '../errors.ts';
import { type ModelPackage, type ModelSignature, outputWidth } from '../model_package.ts';
import { refuseExternalData } from '../onnx/external_data.ts';
import { createEncoder } from '../signature_encoder.ts';
import type { CellValue, TrainingTable } from './training_table.ts';

const ROWS_A_RUN = 1_000;

/** A row as a caller of the model would send it; only its columns, where the table has more. */
export function instanceOf(
  table: TrainingTable,
  row: number,
  columns: ReadonlySet<string> | undefined = undefined,
): Record<string, CellValue> {
  const values = table.rows[row] as readonly CellValue[];
  const all = table.columns.map(({ name }, at) => [name, values[at] ?? null] as const);
  return Object.fromEntries(columns === undefined ? all : all.filter(([name]) => columns.has(name)));
}

/** Encodes rows [from, to) as serving would: FP32 [to - from, columns], row-major. @throws {@link InvalidModelError} */
export function encodeRows(signature: ModelSignature, table: TrainingTable, from: number, to: number): Float32Array {
  const encoder = createEncoder(signature);
  const input = new Float32Array((to - from) * encoder.width);
  for (let row = from; row < to; row += 1) {
    const problems = encoder.encode(instanceOf(table, row), input, (row - from) * encoder.width);
    if (problems !== undefined) {
      throw new InvalidModelError(problems.map(({ field, problem }) => `training row ${row}: ${field} ${problem}`));
    }
  }
  return input;
}

/** A model's outputs for rows of a table. */
export interface ScoredRows {
  /** Rows that it takes, in order. */
  readonly rows: readonly number[];
  /** FP32 [rows, width], row-major. */
  readonly outputs: Float32Array;
  readonly width: number;
}

/** Rows [from, to) through the package itself, as serving would; those that it would refuse are left out. */
export async function scoreTable(
  model: ModelPackage,
  table: TrainingTable,
  from: number,
  to: number,
): Promise<ScoredRows> {
  const { signature } = model;
  const encoder = createEncoder(signature);
  const columns = new Set(signature.inputs.map(({ name }) => name));
  const width = outputWidth(signature);
  const outputs = new Float32Array((to - from) * width);
  const rows: number[] = [];
  refuseExternalData(model.onnx);
  const session = await InferenceSession.create(model.onnx, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  try {
    const input = new Float32Array(ROWS_A_RUN * encoder.width);
    for (let row = from; row < to; ) {
      const begin = rows.length;
      for (; row < to && rows.length - begin < ROWS_A_RUN; row += 1) {
        const problems = encoder.encode(instanceOf(table, row, columns), input, (rows.length - begin) * encoder.width);
        if (problems === undefined) rows.push(row);
      }
      const count = rows.length - begin;
      if (count === 0) break;
      const tensor = new Tensor('float32', input.subarray(0, count * encoder.width), [count, encoder.width]);
      const results = await session.run({ [signature.onnx.input]: tensor }, [signature.onnx.output]);
      outputs.set(results[signature.onnx.output]?.data as Float32Array, begin * width);
    }
  } finally {
    await session.release();
  }
  return { rows, outputs: outputs.subarray(0, rows.length * width), width };
}

/** Probability of the second class for rows [from, to). */
export async function scoreRows(
  model: ModelPackage,
  table: TrainingTable,
  from: number,
  to: number,
): Promise<Float32Array> {
  const { rows, outputs, width } = await scoreTable(model, table, from, to);
  return Float32Array.from(rows, (_, index) => outputs[index * width + 1] as number);
}

/** The package with golden examples: rows spread over [from, to), with the probabilities the model itself gives them. */
export async function withExamples(
  model: ModelPackage,
  table: TrainingTable,
  from: number,
  to: number,
): Promise<ModelPackage> {
  const wanted = Math.min(16, to - from);
  const examples: ModelPackage['examples'][number][] = [];
  for (let index = 0; index < wanted; index += 1) {
    const row = from + Math.floor((index * (to - from)) / wanted);
    const [score] = await scoreRows(model, table, row, row + 1);
    examples.push({ features: instanceOf(table, row), output: [1 - (score as number), score as number] });
  }
  return { ...model, examples };
}
