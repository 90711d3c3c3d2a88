import {
  count,
  DAY_MS,
  entity,
  envelope,
  eventSource,
  expression,
  type FeatureValue,
  featureView,
  field,
  fromEvent,
  id,
  inRange,
  numberOr0,
  parseRfc3339,
  sum,
  time,
} from 'headwater/features';
import { z } from 'zod';

/** A claim on an insurance policy, as it is reported. */
export const insuranceClaimSchema = z.strictObject({
  ...envelope,
  event_type: z.literal('insurance_claim'),
  claim_id: id,
  policy_id: id,
  amount: z.number().positive().max(1e9),
  insured_amount: z.number().positive().max(1e9),
  incident_at: time,
  policy_from: time,
  policy_to: time,
});

export const policy = entity('policy', ['policy_id']);

export const insuranceClaims = eventSource({
  name: 'insurance_claims',
  eventTypes: ['insurance_claim'],
  schema: insuranceClaimSchema,
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

const ms = (value: unknown): number => parseRfc3339(String(value)) ?? Number.NaN;

/** What a claim must fulfil; ids are what reviewers and auditors refer to. */
const CLAIM_RULES: readonly (readonly [
  id: string,
  isBroken: (row: Readonly<Record<string, FeatureValue>>) => boolean,
])[] = [
  ['C1_amount_above_insured', (row) => numberOr0(row.share_of_insured) > 1],
  ['C2_outside_policy_period', (row) => row.is_within_policy === false],
  ['C3_reported_late', (row) => numberOr0(row.days_to_report) > 30],
  ['C4_reported_before_incident', (row) => numberOr0(row.days_to_report) < 0],
  ['C5_more_than_3_claims_in_90_days', (row) => numberOr0(row.claim_count_90d) > 3],
];

/** A policy's claims, and which rules the newest one breaks. */
export const claimView = featureView({
  name: 'claim',
  version: 1,
  entity: policy,
  source: insuranceClaims,
  ttl: '366d',
  owner: 'insurance',
  description: 'Claims on a policy, and which rules the newest one breaks',
  contract: { freshWithin: '2d', mostMissing: 0, mostViolations: 0.01 },
  features: {
    claim_id: field('claim_id', 'string', 'The newest claim'),
    amount: field('amount', 'double', 'Amount of the newest claim'),
    share_of_insured: fromEvent(
      'double',
      'Amount over what is insured',
      ({ amount, insured_amount: insured }) => Number(amount) / Number(insured),
    ),
    days_to_report: fromEvent(
      'double',
      'Days from the incident to the report',
      ({ incident_at: at }, reportedMs) => (reportedMs - ms(at)) / DAY_MS,
      { uses: { ms, parseRfc3339, DAY_MS }, version: 1 },
    ),
    is_within_policy: fromEvent(
      'boolean',
      'Whether the policy was in force at the incident',
      ({ incident_at: at, policy_from: from, policy_to: to }) => ms(at) >= ms(from) && ms(at) < ms(to),
      { uses: { ms, parseRfc3339 }, version: 1 },
    ),
    ...count({ as: 'claim_count', what: 'Claims' }).over('90d', '365d'),
    ...sum('amount').over('365d'),
    broken_rules: expression(
      ['share_of_insured', 'is_within_policy', 'days_to_report', 'claim_count_90d'],
      'string',
      `Ids of the rules that the newest claim breaks, comma-separated, of ${CLAIM_RULES.map(([rule]) => rule).join(', ')}`,
      (row) =>
        CLAIM_RULES.filter(([, isBroken]) => isBroken(row))
          .map(([rule]) => rule)
          .join(','),
      { uses: { CLAIM_RULES, numberOr0 } },
    ),
    is_compliant: expression(
      ['broken_rules'],
      'boolean',
      'Whether no rule is broken',
      (row) => row.broken_rules === '',
    ),
  },
  rules: {
    // Beyond these, a producer has mixed up units or times.
    amount_is_plausible: inRange('share_of_insured', { min: 0, max: 10 }, 'warn'),
    delay_is_plausible: inRange('days_to_report', { min: -30, max: 3_650 }, 'warn'),
  },
});
