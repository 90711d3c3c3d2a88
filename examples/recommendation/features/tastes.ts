import { array, embedding, entity, featureView, field, source } from 'headwater/features';
import { z } from 'zod';
import { FACTORS } from '../matrix_factorisation.ts';
import { user } from './interactions.ts';

// What training writes: pushed, not computed by the stream.

const pushed = { version: 1, mode: 'push', ttl: '30d', owner: 'growth' } as const;
const vector = z.array(z.number()).length(FACTORS);

const userFactors = source('user_factors', {
  schema: z.strictObject({ user_id: z.string(), taste: vector, at: z.string() }),
  id: { from: ['user_id', 'at'] },
  timestamp: 'at',
  key: 'user_id',
});

export const userTaste = featureView({
  name: 'user_taste',
  ...pushed,
  entity: user,
  source: userFactors,
  description: "A visitor's factors",
  features: { taste: field('taste', embedding(FACTORS), 'Factors of the visitor') },
});

const itemFactors = source('item_factors', {
  schema: z.strictObject({ item_id: z.string(), taste: vector, category: z.string(), at: z.string() }),
  id: { from: ['item_id', 'at'] },
  timestamp: 'at',
  key: 'item_id',
});

export const itemTaste = featureView({
  name: 'item_taste',
  ...pushed,
  entity: entity('item', ['item_id']),
  source: itemFactors,
  description: "A product's factors",
  features: {
    taste: field('taste', embedding(FACTORS), 'Factors of the product'),
    category: field('category', 'string', 'Category of the product'),
  },
});

const contexts = source('contexts', {
  schema: z.strictObject({
    context: z.string(),
    popular: z.array(z.string()),
    categories: z.array(z.string()),
    lifts: z.array(z.number()),
    at: z.string(),
  }),
  id: { from: ['context', 'at'] },
  timestamp: 'at',
  key: 'context',
});

/** What is popular in a part of the day and in a country, and which categories are more than elsewhere. */
export const contextStatistics = featureView({
  name: 'context_statistics',
  ...pushed,
  entity: entity('context', ['context']),
  source: contexts,
  description: 'What is popular in a part of the day or in a country',
  features: {
    popular: field('popular', array('string'), 'The most popular products, the first first'),
    categories: field('categories', array('string'), 'Categories'),
    lifts: field('lifts', array('double'), 'Share of each category here over its share in all'),
  },
});
