import {
  checkContracts,
  commandTask,
  type EntityPredictions,
  predictEntities,
  pushRows,
  readPredictions,
  type ScheduledInput,
  task,
  workflow,
} from 'headwater/workflows';
import { customerValue } from '../features/customer_value.ts';
import { customerSegment, segmentProfile } from '../features/segments.ts';
import { customerSegments } from '../models/customer_segments.ts';
import { type Assigned, type Profile, profilesOf } from '../segment_profiles.ts';

export interface Segmented {
  readonly customers: number;
  readonly profiles: readonly Profile[];
}

/** Makes the night's segments features of the customers, and what each segment is like. */
export const pushSegments = task('push-segments', async ({ path }: EntityPredictions, context): Promise<Segmented> => {
  const predicted = await readPredictions(path);
  const customers = predicted.map(
    (row): Assigned => ({
      ...{ customer_id: row.entity, segment_id: String(row.prediction) },
      ...{ recency_days: Number(row.recency_days), frequency: Number(row.frequency_365d) },
      ...{ monetary: Number(row.monetary_365d), basket: Number(row.basket_365d) },
    }),
  );
  const at = new Date().toISOString();
  const assignments = customers.map(({ customer_id, segment_id }, index) => ({
    ...{ customer_id, segment_id, distance: Number(predicted[index]?.[`distance_${segment_id}`]), at },
  }));
  await pushRows(context, customerSegment, assignments);
  const profiles = profilesOf(customers);
  await pushRows(
    context,
    segmentProfile,
    profiles.map((profile) => ({ ...profile, at })),
  );
  return { customers: customers.length, profiles };
});

const predict = predictEntities<ScheduledInput>(customerSegments, {
  ...{ format: 'jsonl', keep: ['recency_days', 'frequency_365d', 'monetary_365d', 'basket_365d'] },
});
const check = checkContracts<ScheduledInput>(customerValue);

/** Each night: whether orders are as they should be, then the segment of every customer as a feature, and the profiles. */
export const segmentNightly = workflow<ScheduledInput>('segment', (w) =>
  w
    .task('Check', check)
    .task('Predict', predict)
    .task('Push', pushSegments, {
      retry: [{ ErrorEquals: ['States.TaskFailed'], IntervalSeconds: 5, BackoffRate: 2, MaxAttempts: 4 }],
    }),
);

/** Each quarter: K-means of the customers as they are now, as a new version. A person looks at its clusters and promotes it: names of segments change with it. */
export const retrainSegments = workflow<ScheduledInput>('retrain_segments', (w) =>
  w.task('Check', check).task(
    'Train',
    commandTask('train-segments', () => ['models', 'train', 'customer_segments', '--register']),
  ),
);
