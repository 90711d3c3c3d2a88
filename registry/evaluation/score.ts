import { messageOf } from '#kernel/errors';
import { GraphStoppedError, InvalidModelError } from '../errors.ts';
import { inItsOwnProcess } from '../graphs/graph.ts';
import { DEFAULT_LIMITS, type ModelLimits } from '../graphs/model_limits.ts';
import { refuseExternalData } from '../onnx/external_data.ts';
import {
  type ModelPackage,
  type ModelSignature,
  outputWidth,
  type RowValues,
  scoreWidth,
} from '../packages/model_package.ts';
import { createEncoder, TextNumbers } from '../packages/signature_encoder.ts';
import { decidingOutputs, decisionOf } from '../rows/decision.ts';
import { feedsOf } from '../rows/row_feeds.ts';
import type { CellValue, TrainingTable } from '../training_table.ts';

const ROWS_A_RUN = 1_000;
const MOST_EXAMPLES = 16;

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

/** Encodes rows [from, to) as serving would: [to - from, columns], row-major. @throws {@link InvalidModelError} */
export function encodeRows(signature: ModelSignature, table: TrainingTable, from: number, to: number): RowValues {
  const encoder = createEncoder(signature);
  const input = encoder.allocate(to - from);
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
  /** [rows, width], row-major, without labels. */
  readonly outputs: RowValues;
  readonly width: number;
}

/**
 * Computes rows [from, to) through the package itself, as serving would; those that it would refuse are left out. The graph runs in a process of its own, which
 * is killed when a run takes longer than `limits.examineMs` or the process too much memory: what trains or judges a model may come from elsewhere.
 *
 * @throws {@link InvalidModelError} for a graph that onnxruntime refuses, that does not end, or whose output is not what its signature says
 */
export async function scoreTable(
  model: ModelPackage,
  table: TrainingTable,
  from: number,
  to: number,
  limits: ModelLimits = DEFAULT_LIMITS,
): Promise<ScoredRows> {
  const { signature } = model;
  const encoder = createEncoder(signature);
  const columns = new Set(signature.inputs.map(({ name }) => name));
  const width = scoreWidth(signature);
  const all = outputWidth(signature);
  const labels = new TextNumbers();
  if (signature.task === 'tensors' || width === 0) {
    throw new InvalidModelError(['it gives no scores for rows of columns, so that it cannot be evaluated']);
  }
  const outputs = new Float64Array((to - from) * width);
  const rows: number[] = [];
  refuseExternalData(model.onnx);
  // Rows of a table are many: each run has the time of an examination.
  const graph = await opened(model.onnx, { ...limits, runMs: limits.examineMs });
  try {
    const input = encoder.allocate(ROWS_A_RUN);
    for (let row = from; row < to; ) {
      const begin = rows.length;
      for (; row < to && rows.length - begin < ROWS_A_RUN; row += 1) {
        const problems = encoder.encode(instanceOf(table, row, columns), input, (rows.length - begin) * encoder.width);
        if (problems === undefined) rows.push(row);
      }
      const count = rows.length - begin;
      if (count === 0) break;
      // A copy: what is sent to another process is sent with all of its buffer.
      const feeds = feedsOf(signature, encoder, input.slice(0, count * encoder.width), count);
      const results = await graph.run(feeds, decidingOutputs(signature)).catch(refuse);
      const values = decisionOf(signature, results, count, labels);
      for (let index = 0; index < count; index += 1) {
        outputs.set(values.subarray(index * all, index * all + width), (begin + index) * width);
      }
    }
  } finally {
    await graph.release();
  }
  return { rows, outputs: outputs.subarray(0, rows.length * width), width };
}

const opened = (onnx: Uint8Array, limits: ModelLimits) => inItsOwnProcess(onnx, limits).catch(refuse);

/** @throws {@link InvalidModelError} */
function refuse(error: unknown): never {
  const what = error instanceof GraphStoppedError ? '' : 'onnxruntime does not take it: ';
  throw new InvalidModelError([`${what}${messageOf(error)}`], error);
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
  const count = Math.min(MOST_EXAMPLES, to - from);
  const rows = Array.from({ length: count }, (_, index) => from + Math.floor((index * (to - from)) / count));
  const chosen = { ...table, rows: rows.map((row) => table.rows[row] as readonly CellValue[]) };
  const { rows: taken, outputs, width } = await scoreTable(model, chosen, 0, count);
  const examples = taken.map((row, index) => {
    const score = outputs[index * width + 1] as number;
    return { features: instanceOf(chosen, row), output: [1 - score, score] };
  });
  return { ...model, examples };
}
