import { entity, featureView, field, source } from 'headwater/features';
import { z } from 'zod';
import { customer } from './orders.ts';

const pushed = { version: 1, mode: 'push', ttl: '366d', owner: 'growth' } as const;

/** The batch job's result for a customer. */
const assignments = source('segment_assignments', {
  schema: z.strictObject({ customer_id: z.string(), segment_id: z.string(), distance: z.number(), at: z.string() }),
  id: { from: ['customer_id', 'at'] },
  timestamp: 'at',
  key: 'customer_id',
});

/** The segment of a customer, as a feature of other models. */
export const customerSegment = featureView({
  name: 'customer_segment',
  ...pushed,
  entity: customer,
  source: assignments,
  description: 'The segment that a customer was assigned to, by the batch job',
  features: {
    segment_id: field('segment_id', 'string', 'Name of the segment'),
    distance: field('distance', 'double', 'Distance to the centre of the segment, in standard deviations'),
  },
});

const profiles = source('segment_profiles', {
  schema: z.strictObject({
    segment_id: z.string(),
    size: z.int().nonnegative(),
    share: z.number(),
    recency_days: z.number(),
    frequency: z.number(),
    monetary: z.number(),
    basket: z.number(),
    at: z.string(),
  }),
  id: { from: ['segment_id', 'at'] },
  timestamp: 'at',
  key: 'segment_id',
});

/** What customers of a segment are like: means in the units of the data. */
export const segmentProfile = featureView({
  name: 'segment_profile',
  ...pushed,
  entity: entity('segment', ['segment_id']),
  source: profiles,
  description: 'What customers of a segment are like',
  features: {
    size: field('size', 'long', 'Customers'),
    share: field('share', 'double', 'Share of all customers'),
    recency_days: field('recency_days', 'double', 'Mean of days since the newest order'),
    frequency: field('frequency', 'double', 'Mean of orders in 365 days'),
    monetary: field('monetary', 'double', 'Mean of money spent in 365 days'),
    basket: field('basket', 'double', 'Mean of the mean order'),
  },
});
