import { decimal, embedding, entity, featureView, field, source } from 'headwater/features';
import { z } from 'zod';

const profiles = source('profiles', {
  schema: z.strictObject({
    account_id: z.string(),
    at: z.string(),
    opened: z.string(),
    limit: z.string(),
    points: z.string(),
    taste: z.array(z.number()).length(2),
  }),
  id: { from: ['account_id', 'at'] },
  timestamp: 'at',
  key: 'account_id',
});

/** A value of each type that JSON cannot say by itself. */
export const profile = featureView({
  name: 'profile',
  version: 1,
  mode: 'push',
  ttl: '366d',
  owner: 'tests',
  entity: entity('account', ['account_id']),
  source: profiles,
  description: 'What the account is',
  features: {
    opened: field('opened', 'timestamp', 'When it was opened'),
    limit: field('limit', decimal(10, 2), 'Limit of its payments, EUR'),
    points: field('points', 'int64', 'Points it has collected'),
    taste: field('taste', embedding(2), 'What it buys'),
  },
});
