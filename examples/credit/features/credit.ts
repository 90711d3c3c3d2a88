import {
  clamp01,
  count,
  type EventFields,
  entity,
  envelope,
  eventSource,
  expression,
  featureView,
  field,
  fromEvent,
  id,
  inRange,
  max,
  mean,
  numberOr0,
} from 'headwater/features';
import { z } from 'zod';

const money = z.number().nonnegative().max(1e9);

/** Something that happened to a credit line. */
export const creditUpdateSchema = z.strictObject({
  ...envelope,
  event_type: z.literal('credit_update'),
  credit_line_id: id,
  kind: z.enum(['payment', 'draw', 'limit_change', 'statement']),
  balance: money,
  credit_limit: z.number().positive().max(1e9),
  /** How late a payment is. */
  days_past_due: z.int().min(0).max(3_650),
});

export const creditLine = entity('credit_line', ['credit_line_id']);

export const creditUpdates = eventSource({
  name: 'credit_updates',
  eventTypes: ['credit_update'],
  schema: creditUpdateSchema,
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

const isPayment = ({ kind }: EventFields): boolean => kind === 'payment';
const isLate = ({ kind, days_past_due: days }: EventFields): boolean => kind === 'payment' && Number(days) > 0;

/** What a credit score is made of. */
export const creditView = featureView({
  name: 'credit',
  version: 1,
  entity: creditLine,
  source: creditUpdates,
  ttl: '366d',
  owner: 'risk',
  description: 'How a credit line is used and paid',
  contract: { freshWithin: '15d', mostMissing: { utilisation: 0, days_past_due: 0 }, mostViolations: 0.2 },
  features: {
    balance: field('balance', 'double', 'Balance after the newest update'),
    credit_limit: field('credit_limit', 'double', 'Limit after the newest update'),
    utilisation: fromEvent(
      'double',
      'Balance over limit',
      ({ balance, credit_limit: limit }) => Number(balance) / Number(limit),
    ),
    days_past_due: field('days_past_due', 'long', 'Days that the newest payment is late'),
    ...mean('utilisation').over('30d', '90d'),
    ...count({ as: 'payment_count', where: isPayment, what: 'Payments' }).over('90d', '365d'),
    ...count({ as: 'late_payment_count', where: isLate, what: 'Late payments' }).over('90d', '365d'),
    ...max('days_past_due').over('365d'),
    credit_score_input: expression(
      ['utilisation', 'late_payment_count_365d', 'payment_count_365d', 'max_days_past_due_365d'],
      'double',
      '300 to 850: 300 + 550 (0.4 (1 - min(1, utilisation)) + 0.4 (1 - late/payments of 365 d) + 0.2 (1 - min(1, worst delay/90)))',
      (row) =>
        300 +
        550 *
          (0.4 * (1 - clamp01(numberOr0(row.utilisation))) +
            0.4 * (1 - numberOr0(row.late_payment_count_365d) / Math.max(1, numberOr0(row.payment_count_365d))) +
            0.2 * (1 - clamp01(numberOr0(row.max_days_past_due_365d) / 90))),
      { uses: { clamp01, numberOr0 } },
    ),
  },
  rules: {
    utilisation_is_plausible: inRange('utilisation', { min: 0, max: 10 }, 'dead_letter'),
    over_limit: inRange('utilisation', { max: 1 }, 'warn'),
  },
});
