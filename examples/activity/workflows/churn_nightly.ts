import { checkContracts, predictEntities, type ScheduledInput, workflow } from 'headwater/workflows';
import { userActivityV2 } from '../features/user_activity.ts';
import { churn } from '../models/churn.ts';

/** Each night: whether events are as they should be, then who is about to leave. The model is trained again by `retrain_churn`. */
export const churnNightly = workflow<ScheduledInput>('churn', (w) =>
  w.task('Check', checkContracts(userActivityV2)).task('Predict', predictEntities(churn, { format: 'jsonl' })),
);
