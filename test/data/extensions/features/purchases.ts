import { count, entity, featureView, field, source, sum } from 'headwater/features';
import { z } from 'zod';

export const customer = entity('customer', ['customer_id']);

export const purchases = source('purchases', {
  schema: z.strictObject({
    purchase_id: z.string(),
    customer_id: z.string(),
    amount: z.number().nonnegative(),
    at: z.string(),
  }),
  type: 'purchase',
  id: 'purchase_id',
  timestamp: 'at',
  key: 'customer_id',
});

export const spending = featureView({
  ...{ name: 'spending', version: 1, entity: customer, source: purchases, ttl: '30d', owner: 'growth' },
  description: 'What a customer has spent lately',
  features: {
    last_amount: field('amount', 'double', 'Amount of the newest purchase'),
    ...count({ as: 'purchases' }).over('1h', '24h'),
    ...sum('amount', { as: 'spent' }).over('24h'),
  },
});
