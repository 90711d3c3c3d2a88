import { checkContracts, commandTask, type ScheduledInput, workflow } from 'headwater/workflows';
import { customerValueView } from '../features/customer_value.ts';
import { userActivityV2 } from '../features/user_activity.ts';

/** Computes the batch view of what customers are worth, from the files of events below the variable `history`. */
const materialize = commandTask('materialize-value', (_: ScheduledInput, context) => [
  ...['features', 'materialize', '--view', `${customerValueView.name}@${customerValueView.version}`],
  ...['--in', `${context.variable('history')}/**/*`],
]);

/** Each night: whether events are as they should be, then what customers are worth. */
export const valueNightly = workflow<ScheduledInput>('value', (w) =>
  w.task('Check', checkContracts(userActivityV2)).task('Materialize', materialize),
);
