import type { Columns } from '#connectors/files/columns';
import { numberOfInteger, numberOfText } from '#kernel/exact/exact_number';
import { UnreadableValue } from '#kernel/text/unstorable_text';
import { type ColumnType, type RowValues, scoreWidth } from '#registry/packages/model_package';
import { predictionOf } from '../models/interpret.ts';
import type { LoadedModel } from '../models/loaded_model.ts';

/** Rows that go through the model at once. */
const ROWS_A_RUN = 4_096;

/** A row that the model cannot take, and why. */
export interface RefusedRow {
  readonly row: number;
  readonly problems: readonly string[];
}

export interface Scored {
  /** [good rows, outputWidth], row-major. */
  readonly output: RowValues;
  /** Places of the rows that were scored, ascending; undefined: all. */
  readonly good: readonly number[] | undefined;
  readonly refused: readonly RefusedRow[];
}

/** Scores rows by column: no object is made of a row. What is not a number is missing, as tables have it. */
export async function scoreColumns(model: LoadedModel, columns: Columns): Promise<Scored> {
  const { width } = model.encoder;
  const { input, problems } = encodeColumns(model, columns);
  const good =
    problems.size === 0
      ? undefined
      : Array.from({ length: columns.rows }, (_, row) => row).filter((row) => !problems.has(row));
  const taken = good === undefined ? input : pack(input, good, width);
  const rows = good?.length ?? columns.rows;
  let output: RowValues = new Float32Array(0);
  for (let from = 0; from < rows; from += ROWS_A_RUN) {
    const count = Math.min(ROWS_A_RUN, rows - from);
    const part = await model.run(taken.subarray(from * width, (from + count) * width), count);
    // Of the kind that the model gives.
    if (from === 0) output = new (part.constructor as new (size: number) => RowValues)(rows * model.outputWidth);
    output.set(part, from * model.outputWidth);
  }
  const refused = [...problems].map(([row, found]) => ({ row, problems: found })).sort((a, b) => a.row - b.row);
  return { output, good, refused };
}

function encodeColumns({ encoder }: LoadedModel, { rows, values }: Columns) {
  const { width, names, types } = encoder;
  const input = encoder.allocate(rows);
  const problems = new Map<number, string[]>();
  for (let column = 0; column < width; column += 1) {
    const data = values.get(names[column] as string);
    if (
      types[column] === 'double' &&
      encoder.takesAllNumbers[column] &&
      (data instanceof Float64Array || data instanceof Float32Array)
    ) {
      const missing = encoder.missing[column];
      if (missing !== undefined && copyNumbers(data, input, { column, width, missing })) continue;
    }
    for (let row = 0; row < rows; row += 1) {
      const value = plain(data?.[row], types[column] as ColumnType);
      const encoded = value instanceof UnreadableValue ? value.problem : encoder.encodeValue(column, value);
      if (typeof encoded === 'number') {
        input[row * width + column] = encoded;
        continue;
      }
      const found = problems.get(row) ?? [];
      found.push(`${names[column]} ${encoded}`);
      problems.set(row, found);
    }
  }
  return { input, problems };
}

/** @returns false when there is an infinity, which the slow way reports */
function copyNumbers(
  data: Float64Array | Float32Array,
  input: RowValues,
  { column, width, missing }: { readonly column: number; readonly width: number; readonly missing: number },
): boolean {
  for (let row = 0, at = column; row < data.length; row += 1, at += width) {
    const value = data[row] as number;
    if (value - value === 0) {
      input[at] = value;
      // Beyond what FP32 holds.
      if (!Number.isFinite(input[at])) return false;
    } else if (Number.isNaN(value)) input[at] = missing;
    else return false;
  }
  return true;
}

/** A value as a request would have it. */
function plain(value: unknown, type: ColumnType): unknown {
  if (typeof value === 'bigint') return numberOfInteger(value);
  if (typeof value === 'number' && Number.isNaN(value)) return null;
  // CSV has strings alone.
  if (typeof value === 'string' && type !== 'string') return fromText(value, type);
  return value;
}

/** As CSV has them: written out, or as training sets have them. */
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);

function fromText(text: string, type: ColumnType): unknown {
  if (text === '') return null;
  if (type === 'boolean') return BOOLEANS.get(text) ?? text;
  return numberOfText(text) ?? text;
}

function pack(input: RowValues, good: readonly number[], width: number): RowValues {
  const packed = new (input.constructor as new (size: number) => RowValues)(good.length * width);
  for (const [at, row] of good.entries()) packed.set(input.subarray(row * width, (row + 1) * width), at * width);
  return packed;
}

/** What outputs mean, by column: `prediction`, and for each class `probability_…`, `distance_…` or `score_…`. */
export function predictionColumns(model: LoadedModel, output: RowValues): ReadonlyMap<string, ArrayLike<unknown>> {
  const { signature, outputWidth } = model;
  const rows = output.length / outputWidth;
  if (signature.task === 'regression' && signature.onnx.label === undefined) return new Map([['prediction', output]]);
  const columns = new Map<string, ArrayLike<unknown>>();
  const prediction = Array.from({ length: rows }, (_, row) => predictionOf(model, output, row * outputWidth));
  columns.set('prediction', prediction);
  const kind =
    { clustering: 'distance', anomaly_detection: 'score', values: 'value' }[signature.task as string] ?? 'probability';
  const named =
    scoreWidth(signature) === 1 && signature.task !== 'values' ? signature.classes.slice(1) : signature.classes;
  for (const [index, name] of named.entries()) {
    const values = new Float32Array(rows);
    for (let row = 0; row < rows; row += 1) values[row] = output[row * outputWidth + index] as number;
    columns.set(`${kind}_${name}`, values);
  }
  return columns;
}
