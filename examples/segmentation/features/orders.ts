import { entity, source } from 'headwater/features';
import { z } from 'zod';

export const customer = entity('customer', ['customer_id']);

/** What a customer has ordered. */
export const orders = source('orders', {
  schema: z.strictObject({
    order_id: z.string(),
    customer_id: z.string(),
    amount: z.number().positive().max(1e6),
    ordered_at: z.string(),
  }),
  type: 'order',
  id: 'order_id',
  timestamp: 'ordered_at',
  key: 'customer_id',
});
