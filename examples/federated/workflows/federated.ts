import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { task } from 'headwater/workflows';
import { type Aggregation, aggregated, type Row, trainOn, type Update, type Weights } from '../federated_averaging.ts';

interface Settings {
  readonly clients: readonly string[];
  readonly features: number;
  readonly rounds: number;
  readonly aggregation: Aggregation;
}

interface Round extends Settings {
  readonly round: number;
  readonly weights: Weights;
}

const STEPS = 5;
const RATE = 0.5;

/** Returns the first model: every weight is 0. */
export const begin = task(
  'begin',
  (settings: Settings): Round => ({
    ...settings,
    round: 0,
    weights: Array.from({ length: settings.features + 1 }, () => 0),
  }),
);

/** Continues the training on the rows of one client, where they are: `CLIENT/rows.jsonl` below the variable `clients`. Only weights and the number of rows leave it. */
export const trainClient = task(
  'train-client',
  async ({ client, weights }: { readonly client: string; readonly weights: Weights }, context): Promise<Update> => {
    const file = join(String(context.variable('clients')), client, 'rows.jsonl');
    const rows = (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Row);
    return { client, rows: rows.length, weights: trainOn(weights, rows, STEPS, RATE) };
  },
);

/** Combines a round's updates into one model. */
export const aggregate = task(
  'aggregate',
  ({ updates, ...round }: Round & { readonly updates: readonly Update[] }): Round => ({
    ...round,
    round: round.round + 1,
    weights: aggregated(updates, round.aggregation),
  }),
);
