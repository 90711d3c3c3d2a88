import {
  count,
  entity,
  envelope,
  eventSource,
  expression,
  type FeatureValue,
  featureView,
  field,
  id,
  numberOr0,
  sum,
} from 'headwater/features';
import { z } from 'zod';

/** Money that comes to or leaves an account of a customer. */
export const transferSchema = z.strictObject({
  ...envelope,
  event_type: z.literal('transfer'),
  transfer_id: id,
  customer_id: id,
  kind: z.enum(['cash_deposit', 'payment']),
  amount: z.number().positive().max(1e9),
  /** Where the other side is, ISO 3166. */
  country: z.string().length(2),
});

export const customer = entity('customer', ['customer_id']);

export const transfers = eventSource({
  name: 'transfers',
  eventTypes: ['transfer'],
  schema: transferSchema,
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

/** Cash from this amount on is reported to the authority; deposits a little below it are counted. */
const REPORTED_FROM = 10_000;
const NEAR_FROM = 8_000;
/** Made up for this example: no list of any authority. */
const SANCTIONED: readonly string[] = ['XA', 'XB'];

/** A rule of compliance: its id, the feature that it looks at, and the value from which it raises an alert. */
export interface ComplianceRule {
  readonly id: string;
  readonly feature: string;
  readonly from: number;
  readonly description: string;
}

export const RULES: readonly ComplianceRule[] = [
  {
    ...{ id: 'A1_structuring', feature: 'near_threshold_count_24h', from: 3 },
    description: `Three cash deposits of ${NEAR_FROM} to below ${REPORTED_FROM} within 24 hours`,
  },
  {
    ...{ id: 'A2_velocity', feature: 'transfer_count_1h', from: 10 },
    description: 'Ten transfers within an hour',
  },
  {
    ...{ id: 'A3_sanctioned_country', feature: 'sanctioned_count_24h', from: 1 },
    description: `A transfer from or to ${SANCTIONED.join(' or ')} within 24 hours`,
  },
];

/** What a customer's transfers of the last day say to the rules. */
export const transferView = featureView({
  name: 'transfer',
  version: 1,
  entity: customer,
  source: transfers,
  ttl: '90d',
  owner: 'compliance',
  description: 'Transfers of a customer, and the rules that they break',
  features: {
    transfer_id: field('transfer_id', 'string', 'The newest transfer'),
    ...count({ as: 'transfer_count', what: 'Transfers' }).over('1h'),
    ...count({
      ...{ as: 'near_threshold_count', what: 'Cash deposits a little below the reported amount' },
      where: ({ kind, amount }) =>
        kind === 'cash_deposit' && Number(amount) >= NEAR_FROM && Number(amount) < REPORTED_FROM,
      uses: { NEAR_FROM, REPORTED_FROM },
    }).over('24h'),
    ...count({
      ...{ as: 'sanctioned_count', what: 'Transfers from or to sanctioned countries' },
      where: ({ country }) => SANCTIONED.includes(String(country)),
      uses: { SANCTIONED },
    }).over('24h'),
    ...sum('amount').over('24h'),
    broken_rules: expression(
      ['near_threshold_count_24h', 'transfer_count_1h', 'sanctioned_count_24h'],
      'string',
      `Ids of the rules that are broken, comma-separated, of ${RULES.map((rule) => rule.id).join(', ')}`,
      (row: Readonly<Record<string, FeatureValue>>) =>
        RULES.filter(({ feature, from }) => numberOr0(row[feature]) >= from)
          .map((rule) => rule.id)
          .join(','),
      { uses: { RULES, numberOr0 } },
    ),
  },
});
