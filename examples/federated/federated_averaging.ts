/** A row of a client. */
export interface Row {
  readonly features: readonly number[];
  readonly label: 0 | 1;
}

/** A logistic regression: a weight for each feature, then the bias. */
export type Weights = readonly number[];

/** What leaves a client: its weights, and how many rows they were trained on. */
export interface Update {
  readonly client: string;
  readonly rows: number;
  readonly weights: Weights;
}

/** How updates become one model: the mean by rows, or the median of each weight, which one client cannot move far. */
export type Aggregation = 'mean' | 'median';

/** Returns the probability of label 1. */
export function probabilityOf(weights: Weights, { features }: Pick<Row, 'features'>): number {
  let sum = weights.at(-1) as number;
  for (const [at, value] of features.entries()) sum += value * (weights[at] as number);
  return 1 / (1 + Math.exp(-sum));
}

/**
 * Continues the training of a model by gradient descent over all rows.
 *
 * @param steps - of descent
 * @param rate - learning rate
 */
export function trainOn(start: Weights, rows: readonly Row[], steps: number, rate: number): Weights {
  const weights = [...start];
  for (let step = 0; step < steps; step += 1) {
    const gradient = weights.map(() => 0);
    for (const row of rows) {
      const error = probabilityOf(weights, row) - row.label;
      for (const [at, value] of [...row.features, 1].entries()) gradient[at] = (gradient[at] as number) + error * value;
    }
    for (const at of weights.keys())
      weights[at] = (weights[at] as number) - (rate * (gradient[at] as number)) / rows.length;
  }
  return weights;
}

/** Returns one model of the updates of a round (McMahan and others, AISTATS 2017; the median: Yin and others, ICML 2018). @throws {RangeError} without updates */
export function aggregated(updates: readonly Update[], aggregation: Aggregation): Weights {
  const [first] = updates;
  if (first === undefined) throw new RangeError('a round has no updates: name one client at least');
  const rows = updates.reduce((sum, update) => sum + update.rows, 0);
  return first.weights.map((_, at) => {
    if (aggregation === 'mean')
      return updates.reduce((sum, each) => sum + (each.rows / rows) * (each.weights[at] as number), 0);
    const sorted = updates.map(({ weights }) => weights[at] as number).sort((a, b) => a - b);
    const middle = (sorted.length - 1) / 2;
    return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2;
  });
}

/** Returns the share of rows whose label a model predicts. */
export const accuracyOf = (weights: Weights, rows: readonly Row[]): number =>
  rows.filter((row) => probabilityOf(weights, row) >= 0.5 === (row.label === 1)).length / rows.length;
