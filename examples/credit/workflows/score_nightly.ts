import { checkContracts, predictEntities, type ScheduledInput, workflow } from 'headwater/workflows';
import { creditView } from '../features/credit.ts';
import { creditDefault } from '../models/credit_default.ts';

/** Each night: whether the updates are as they should be, then the risk of every line. The model is trained again by `retrain_credit_default`. */
export const scoreNightly = workflow<ScheduledInput>('score', (w) =>
  w.task('Check', checkContracts(creditView)).task('Predict', predictEntities(creditDefault, { format: 'jsonl' })),
);
