// A user's project, as TypeScript sees it: what is right compiles, what is wrong does not.
import {
  columns,
  count,
  entity,
  eventSource,
  featureService,
  featureView,
  field,
  type RowOf,
  sum,
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
