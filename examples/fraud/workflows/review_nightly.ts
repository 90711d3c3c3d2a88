import { createFileSystems } from 'headwater/connectors';
import {
  checkContracts,
  type EntityPredictions,
  predictEntities,
  readPredictions,
  type ScheduledInput,
  task,
  workflow,
} from 'headwater/workflows';
import { fraudView } from '../features/fraud.ts';
import { fraudDetector } from '../models/fraud_detector.ts';

/** As many accounts as an analyst looks at in a day. */
const REVIEWED = 50;

export interface Review {
  readonly path: string;
  readonly accounts: number;
  /** Of the account that is looked at first. */
  readonly highest: number;
}

/** Writes the accounts with the highest risk, the highest first. */
export const listRiskiest = task('list-riskiest', async ({ path }: EntityPredictions, context): Promise<Review> => {
  const risks = (await readPredictions(path))
    .map(({ entity, probability_fraud: risk, amount, merchant_category: category }) => ({
      ...{ account: entity, risk: Number(risk), amount, category },
    }))
    .sort((a, b) => b.risk - a.risk)
    .slice(0, REVIEWED);
  const file = `${path}/review.json`;
  await createFileSystems()(file).write(file, Buffer.from(`${JSON.stringify(risks, null, 1)}\n`));
  context.writes('review', file);
  return { path: file, accounts: risks.length, highest: risks[0]?.risk ?? 0 };
});

/** Each night: whether payments are as they should be, the risk of every account, and whom to look at. */
export const reviewNightly = workflow<ScheduledInput>('review', (w) =>
  w
    .task('Check', checkContracts(fraudView))
    .task('Predict', predictEntities(fraudDetector, { format: 'jsonl', keep: ['amount', 'merchant_category'] }))
    .task('List', listRiskiest),
);
