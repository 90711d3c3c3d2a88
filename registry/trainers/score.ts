import { InferenceSession, Tensor } from 'onnxruntime-node';
import { InvalidModelError } from '../errors.ts';
import type { ModelPackage, ModelSignature } from '../model_package.ts';
import { createEncoder } from '../signature_encoder.ts';
import type { CellValue, TrainingTable } from './training_table.ts';

const ROWS_A_RUN = 1_000;

/** A row as a caller of the model would send it. */
export function instanceOf(table: TrainingTable, row: number): Record<string, CellValue> {
  const values = table.rows[row] as readonly CellValue[];
  return Object.fromEntries(table.columns.map(({ name }, at) => [name, values[at] ?? null]));
}

/** Encodes rows [from, to) as serving would: FP32 [to - from, columns], row-major. */
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

/** Probability of the positive class for rows [from, to), computed by onnxruntime from the package itself. */
export async function scoreRows(
  model: ModelPackage,
  table: TrainingTable,
  from: number,
  to: number,
): Promise<Float32Array> {
  const { signature } = model;
  const session = await InferenceSession.create(model.onnx, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const scores = new Float32Array(to - from);
  try {
    for (let start = from; start < to; start += ROWS_A_RUN) {
      const end = Math.min(to, start + ROWS_A_RUN);
      const tensor = new Tensor('float32', encodeRows(signature, table, start, end), [
        end - start,
        signature.inputs.length,
      ]);
      const results = await session.run({ [signature.onnx.input]: tensor });
      const output = results[signature.onnx.output]?.data as Float32Array;
      for (let row = start; row < end; row += 1) scores[row - from] = output[(row - start) * 2 + 1] as number;
    }
  } finally {
    await session.release();
  }
  return scores;
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
