import { TrainingError } from '../errors.ts';
import { DEFAULT_THRESHOLD, type ModelPackage } from '../packages/model_package.ts';
import { heldOutFrom, type TrainingTable } from '../training_table.ts';
import { evaluateAnomalies } from './anomalies.ts';
import { type Costs, evaluateBinary, evaluateMulticlass } from './classification.ts';
import { evaluateClusters } from './clustering.ts';
import type { Slice, TaskEvaluation } from './evaluation.ts';
import { evaluateRegression } from './regression.ts';
import { instanceOf, type ScoredRows, scoreTable } from './score.ts';

export interface EvaluationOptions {
  /** Columns by whose values the rows are looked at separately; `entity_key` is one too. */
  readonly slices?: readonly string[];
  readonly costs?: Costs | undefined;
  /** Column with what one would say without a model; for regressions. */
  readonly naive?: string | undefined;
  /** First row that is judged; the newest fifth without. */
  readonly from?: number;
}

export interface Evaluation extends TaskEvaluation {
  /** Rows judged. */
  readonly rows: number;
  /** Rows that the model does not take, such as those that lack what it requires. */
  readonly refusedRows: number;
  readonly slices: readonly Slice[];
}

const ENTITY = 'entity_key';
const MOST_VALUES = 20;
const FEWEST_ROWS_OF_SLICE = 20;

/**
 * Judges the ONNX file itself, through serving's encoder, on rows that it was not trained on.
 *
 * @throws {@link TrainingError} when there is nothing to judge by: no rows, one class only, a missing column
 */
export async function evaluateModel(
  model: ModelPackage,
  table: TrainingTable,
  options: EvaluationOptions = {},
): Promise<Evaluation> {
  const from = options.from ?? heldOutFrom(table.rows.length);
  const scored = await scoreTable(model, table, from, table.rows.length);
  if (scored.rows.length === 0) {
    throw new TrainingError(`there is nothing to judge by: the model takes none of ${table.rows.length - from} rows`);
  }
  const whole = scored.rows.map((_, index) => index);
  let evaluation: TaskEvaluation;
  try {
    evaluation = evaluate(model, table, scored, whole, options);
  } catch (error) {
    if (error instanceof RangeError) throw new TrainingError(`the model cannot be judged: ${error.message}`, error);
    throw error;
  }
  return {
    ...evaluation,
    rows: scored.rows.length,
    refusedRows: table.rows.length - from - scored.rows.length,
    slices: (options.slices ?? []).flatMap((column) =>
      slicesBy(column, table, scored).map(({ value, indices }): Slice => {
        const metrics = metricsOf(() => evaluate(model, table, scored, indices, options));
        return { column, value, rows: indices.length, metrics };
      }),
    ),
  };
}

/** @param indices - of the scored rows that count */
function evaluate(
  { signature }: ModelPackage,
  table: TrainingTable,
  scored: ScoredRows,
  indices: readonly number[],
  { costs, naive }: EvaluationOptions,
): TaskEvaluation {
  const { width } = scored;
  const rowOf = (index: number): number => scored.rows[indices[index] as number] as number;
  const labels = indices.map((_, index) => table.labels[rowOf(index)] as number);
  const outputs =
    indices.length === scored.rows.length
      ? scored.outputs
      : Float64Array.from({ length: indices.length * width }, (_, at) => {
          return scored.outputs[(indices[Math.floor(at / width)] as number) * width + (at % width)] as number;
        });
  const threshold = signature.threshold ?? DEFAULT_THRESHOLD;
  switch (signature.task) {
    case 'binary_classification': {
      const scores = Float32Array.from(labels, (_, index) => outputs[index * 2 + 1] as number);
      return evaluateBinary(labels, scores, { threshold, costs, areProbabilities: true });
    }
    case 'multiclass_classification':
      return evaluateMulticlass(labels, outputs, signature.classes);
    case 'regression': {
      const column = naive === undefined ? undefined : columnOf(table, naive);
      const before = column === undefined ? undefined : labels.map((_, index) => Number(column(rowOf(index))));
      const { entities } = table;
      const entityOf = entities === undefined ? undefined : (index: number) => entities[rowOf(index)] as string;
      return evaluateRegression(labels, outputs, { naive: before, entityOf });
    }
    case 'clustering': {
      const numeric = table.columns.flatMap(({ name, type }, at) => (type === 'string' ? [] : [{ name, at }]));
      const profiles = numeric.map(({ name, at }) => ({
        name,
        values: Float64Array.from(labels, (_, index) => Number(table.rows[rowOf(index)]?.[at] ?? Number.NaN)),
      }));
      return evaluateClusters(outputs, signature.classes, profiles);
    }
    case 'anomaly_detection':
      return evaluateAnomalies(labels, outputs, threshold, (index) => describe(table, rowOf(index)));
    case 'values':
    case 'tensors':
      throw new TrainingError(
        `its file does not say what its output ${signature.onnx.output} is: log it with metadata={"classes": […]}, or tag the version headwater.classes`,
      );
  }
}

function metricsOf(evaluation: () => TaskEvaluation): Slice['metrics'] {
  try {
    return evaluation().metrics;
  } catch (error) {
    // One class only: how many rows there are is all that can be said.
    if (error instanceof RangeError) return {};
    throw error;
  }
}

type CellOf = (row: number) => unknown;

function columnOf(table: TrainingTable, name: string): CellOf {
  const { entities } = table;
  if (name === ENTITY && entities !== undefined) return (row) => entities[row];
  const at = table.columns.findIndex((column) => column.name === name);
  if (at >= 0) return (row) => table.rows[row]?.[at];
  const names = table.columns.map((column) => column.name);
  throw new TrainingError(`there is no column ${name} to judge by; there is ${[ENTITY, ...names].join(', ')}`);
}

/** The most frequent values of a column, with their rows among the scored ones. */
function slicesBy(column: string, table: TrainingTable, { rows }: ScoredRows) {
  const cellOf = columnOf(table, column);
  const byValue = new Map<string, number[]>();
  for (const [index, row] of rows.entries()) {
    const value = String(cellOf(row) ?? 'missing');
    const held = byValue.get(value);
    if (held === undefined) byValue.set(value, [index]);
    else held.push(index);
  }
  return [...byValue]
    .map(([value, indices]) => ({ value, indices }))
    .filter(({ indices }) => indices.length >= FEWEST_ROWS_OF_SLICE)
    .sort((a, b) => b.indices.length - a.indices.length)
    .slice(0, MOST_VALUES);
}

function describe(table: TrainingTable, row: number): string {
  const values = Object.entries(instanceOf(table, row)).map(([name, value]) => `${name} ${rounded(value)}`);
  return [table.entities?.[row] ?? `row ${row}`, ...values].join(', ');
}

const rounded = (value: unknown): unknown =>
  typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;
