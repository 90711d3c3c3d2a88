import type { RowOf } from 'headwater/features';
import type { claimView } from './features/claims.ts';

/** `reject`: not insured; `review`: a person decides; `pay`: no rule is broken. */
export type Decision = 'reject' | 'review' | 'pay';

/** What was decided of a policy's newest claim, and what of it a reviewer or an auditor needs. */
export interface Triage {
  readonly claim_id: string;
  readonly decision: Decision;
  /** Ids of the broken rules. */
  readonly rules: readonly string[];
  /** The values that the rules have looked at. */
  readonly evidence: Readonly<Record<string, number | boolean | null>>;
}

/** A claim that breaks one of these is not insured, whatever else holds. */
const REJECTING: ReadonlySet<string> = new Set(['C2_outside_policy_period', 'C4_reported_before_incident']);

/** Returns the decision on a policy's newest claim, with its evidence. */
export function triageOf(row: RowOf<typeof claimView>): Triage {
  const rules = (row.broken_rules ?? '').split(',').filter((rule) => rule !== '');
  const decision = rules.some((rule) => REJECTING.has(rule)) ? 'reject' : rules.length > 0 ? 'review' : 'pay';
  return {
    ...{ claim_id: row.claim_id ?? '', decision, rules },
    evidence: {
      ...{ amount: row.amount, share_of_insured: row.share_of_insured, is_within_policy: row.is_within_policy },
      ...{ days_to_report: row.days_to_report, claim_count_90d: row.claim_count_90d },
    },
  };
}
