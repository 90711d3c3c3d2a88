import { count, entity, featureView, field, inRange, last, source } from 'headwater/features';
import { z } from 'zod';

export const user = entity('user', ['user_id']);

/** A visitor has opened or bought a product. */
export const interactions = source('interactions', {
  schema: z.strictObject({
    interaction_id: z.string(),
    user_id: z.string(),
    item_id: z.string(),
    kind: z.enum(['view', 'purchase']),
    country: z.string().length(2),
    at: z.string(),
  }),
  type: 'interaction',
  id: 'interaction_id',
  timestamp: 'at',
  key: 'user_id',
});

/** What a visitor has seen: not recommended again, and what similar products are looked for by. */
export const visitorHistory = featureView({
  name: 'visitor_history',
  version: 1,
  entity: user,
  source: interactions,
  ttl: '90d',
  owner: 'growth',
  description: 'What a visitor has opened and bought',
  contract: { freshWithin: '7d', mostMissing: { country: 0 }, mostViolations: 0.01, over: '30d' },
  features: {
    interaction_id: field('interaction_id', 'string', 'The newest interaction'),
    item_id: field('item_id', 'string', 'Product of the newest interaction'),
    kind: field('kind', 'string', 'What the newest interaction was: view or purchase'),
    country: field('country', 'string', 'Country of the newest interaction'),
    ...count({ as: 'interactions', what: 'Interactions' }).over('30d'),
    ...last('item_id', 'string', 100, { as: 'items' }).over('30d'),
  },
  // More is a crawler, and would be learned as a taste.
  rules: { is_a_person: inRange('interactions_30d', { min: 0, max: 1_000 }, 'warn') },
});
