import { entity, featureView, field, source } from 'headwater/features';
import { z } from 'zod';

export const card = entity('card', ['card_id']);

export const payments = source('payments', {
  schema: z.strictObject({
    payment_id: z.string(),
    card_id: z.string(),
    amount: z.number(),
    distance: z.number(),
    at: z.string(),
  }),
  type: 'payment',
  id: 'payment_id',
  timestamp: 'at',
  key: 'card_id',
});

export const payment = featureView({
  ...{ name: 'payment', version: 1, entity: card, source: payments, ttl: '1d', owner: 'risk' },
  description: 'The newest payment of a card',
  features: {
    amount: field('amount', 'double', 'Amount'),
    distance: field('distance', 'double', 'Kilometres from home'),
  },
});
