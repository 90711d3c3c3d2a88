import { histogram, type TaskEvaluation } from './evaluation.ts';

const NEWEST_ROWS = 250;
const ERROR_BINS = 40;

export interface RegressionOptions {
  /** What one would say without a model, a value a row, such as the last price: the model is held against it. */
  readonly naive?: readonly number[] | undefined;
  /** Whose row it is: the chart is of one entity. */
  readonly entityOf?: ((row: number) => string) | undefined;
}

/** Errors of predicted values, in the labels' unit. */
export function evaluateRegression(
  labels: readonly number[],
  predicted: ArrayLike<number>,
  { naive, entityOf }: RegressionOptions = {},
): TaskEvaluation {
  const mean = labels.reduce((sum, label) => sum + label, 0) / labels.length;
  const spread = labels.reduce((sum, label) => sum + (label - mean) ** 2, 0);
  const own = errorsOf(labels, predicted);
  const metrics: Record<string, number> = { ...own, r2: 1 - (own.rmse ** 2 * labels.length) / spread };
  const errors = labels.map((label, row) => (predicted[row] as number) - label);
  const last = entityOf?.(labels.length - 1);
  const newest = labels
    .map((_, row) => row)
    .filter((row) => entityOf?.(row) === last)
    .slice(-NEWEST_ROWS);
  const lineOf = (name: string, values: ArrayLike<number>) => ({
    name,
    points: newest.map((row, index) => [index, values[row] as number] as const),
  });
  if (naive !== undefined) {
    const { rmse, mae, mape } = errorsOf(labels, naive);
    Object.assign(metrics, {
      ...{ naive_rmse: rmse, naive_mae: mae, naive_mape: mape },
      rmse_to_naive: own.rmse / rmse,
      directional_accuracy: directionalAccuracy(labels, predicted, naive),
    });
  }
  const largest = Math.max(...errors.map(Math.abs));
  return {
    metrics,
    charts: [
      {
        title: `The newest ${newest.length} rows${last === undefined ? '' : ` of ${last}`}`,
        ...{ x: 'row, by time', y: 'value', kind: 'line' },
        series: [lineOf('actual', labels), lineOf('predicted', predicted)],
      },
      {
        title: 'Errors',
        ...{ x: 'predicted less actual', y: 'rows', kind: 'bars' },
        series: [{ name: 'model', points: histogram(errors, -largest, largest, ERROR_BINS) }],
      },
    ],
    tables: [],
  };
}

function errorsOf(labels: readonly number[], predicted: ArrayLike<number>) {
  let [squares, sizes, shares, counted] = [0, 0, 0, 0];
  for (const [row, label] of labels.entries()) {
    const error = (predicted[row] as number) - label;
    squares += error ** 2;
    sizes += Math.abs(error);
    // A share of nothing is not defined.
    if (label === 0) continue;
    shares += Math.abs(error / label);
    counted += 1;
  }
  return { rmse: Math.sqrt(squares / labels.length), mae: sizes / labels.length, mape: shares / counted };
}

/** Share of the rows that go the way that was predicted, of those that go one way or the other. */
function directionalAccuracy(
  labels: readonly number[],
  predicted: ArrayLike<number>,
  naive: readonly number[],
): number {
  let [right, moved] = [0, 0];
  for (const [row, label] of labels.entries()) {
    const before = naive[row] as number;
    if (label === before) continue;
    moved += 1;
    if (Math.sign((predicted[row] as number) - before) === Math.sign(label - before)) right += 1;
  }
  return right / moved;
}
