import { entity, envelope, eventSource, id } from 'headwater/features';
import { z } from 'zod';
import { generateTransactions } from '../transaction_generator.ts';
import { MERCHANT_CATEGORIES } from './merchant_categories.ts';

/** A card transaction as a client posts it. */
export const transactionSchema = z.strictObject({
  ...envelope,
  user_id: id,
  event_type: z.literal('transaction'),
  account_id: id,
  amount: z.number().positive().max(1_000_000),
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as EUR'),
  merchant_id: id,
  merchant_category: z.enum(MERCHANT_CATEGORIES),
  country: z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166 code such as DE'),
});
export type Transaction = z.infer<typeof transactionSchema>;

export const account = entity('account', ['account_id']);

export const transactions = eventSource({
  name: 'transactions',
  eventTypes: ['transaction'],
  schema: transactionSchema,
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
  testEvents: ({ events, seed, endMs }) =>
    generateTransactions({ seed, events, accounts: 200, days: 2, endMs }).map(({ body }) => body),
  example: {
    event_id: 'e-1',
    user_id: 'u-1',
    event_type: 'transaction',
    timestamp: '2026-11-28T12:00:00Z',
    account_id: 'a-1',
    amount: 12.5,
    currency: 'EUR',
    merchant_id: 'm-1',
    merchant_category: 'grocery',
    country: 'DE',
  },
});
