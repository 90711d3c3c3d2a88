// A user's project, as TypeScript sees it: what is right compiles, what is wrong does not.
import { defineConfig, defineModel } from 'headwater';
import {
  columns,
  count,
  entity,
  eventSource,
  featureService,
  featureView,
  field,
  type RowOf,
  source,
  sum,
  top,
} from 'headwater/features';
import { z } from 'zod';

const rider = entity('rider', ['rider_id']);
const rides = eventSource({
  name: 'rides',
  eventTypes: ['ride'],
  schema: z.strictObject({
    event_id: z.string(),
    user_id: z.string(),
    event_type: z.literal('ride'),
    timestamp: z.string(),
    rider_id: z.string(),
    fare: z.number(),
  }),
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

export const rideView = featureView({
  name: 'rides',
  version: 1,
  entity: rider,
  source: rides,
  ttl: '30d',
  owner: 'mobility',
  description: 'Rides of a rider',
  features: {
    fare: field('fare', 'double', 'Fare of the newest ride'),
    ...count().over('1h', '24h'),
    ...sum('fare').over('24h'),
  },
});

export type Row = RowOf<typeof rideView>;

export const service = featureService({
  name: 'surge',
  version: 1,
  owner: 'mobility',
  description: 'What a surge model reads',
  features: [columns(rideView, 'count_1h', 'sum_fare_24h')],
});

// @ts-expect-error: the view has no such feature
columns(rideView, 'count_2h');
// @ts-expect-error: there is no such type
field('fare', 'money', 'Fare of the newest ride');
// @ts-expect-error: a view needs an entity
featureView({ name: 'x', version: 1, source: rides, ttl: '1d', owner: 'o', description: 'd', features: {} });

// Rows are exact: each value has the type that its feature declares.
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exact = <T extends true>(holds: T): T => holds;
exact<Equal<Row['count_1h'], number>>(true);
exact<Equal<Row['fare'], number | null>>(true);
exact<Equal<keyof Row, 'fare' | 'count_1h' | 'count_24h' | 'sum_fare_24h'>>(true);

// Names of the project's own, mapped to those of the envelope.
const tips = source('tips', {
  schema: z.strictObject({ tip_id: z.string(), driver_id: z.string(), amount: z.number(), given_at: z.string() }),
  id: 'tip_id',
  timestamp: 'given_at',
  key: 'driver_id',
});
export const tipView = featureView({
  name: 'tips',
  version: 1,
  entity: entity('driver', ['driver_id']),
  source: tips,
  ttl: '30d',
  owner: 'mobility',
  description: 'Tips of a driver',
  features: { ...sum('amount', { as: 'tips' }).over('7d'), ...top('tip_id', 'string', 3).over('7d') },
});
exact<Equal<RowOf<typeof tipView>['tips_7d'], number>>(true);
exact<Equal<RowOf<typeof tipView>['top_3_tip_id_7d'], readonly string[]>>(true);
// @ts-expect-error: the schema has no such field
source('tips', { schema: z.strictObject({ tip_id: z.string() }), id: 'tipp_id' });

// Models name columns of their service only.
export const surge = defineModel({
  name: 'surge',
  service,
  training: { trainer: 'xgboost', task: 'regression', columns: ['count_1h'], naive: 'sum_fare_24h' },
});
// @ts-expect-error: the service has no such column
defineModel({ name: 'surge', service, training: { trainer: 'xgboost', columns: ['count_2h'] } });
// @ts-expect-error: there is no such trainer
defineModel({ name: 'surge', service, training: { trainer: 'oracle' } });
// @ts-expect-error: features are folders
defineConfig({ features: 7 });
