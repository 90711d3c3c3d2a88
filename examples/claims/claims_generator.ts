import { DAY_MS, HOUR_MS, Random } from 'headwater/features';

export interface Claim {
  readonly event_id: string;
  readonly user_id: string;
  readonly event_type: 'insurance_claim';
  readonly timestamp: string;
  readonly claim_id: string;
  readonly policy_id: string;
  readonly amount: number;
  readonly insured_amount: number;
  readonly incident_at: string;
  readonly policy_from: string;
  readonly policy_to: string;
}

/** Rules that are broken on purpose, and the share of the policies that break each. */
const BREACHES = {
  C1_amount_above_insured: 0.05,
  C2_outside_policy_period: 0.05,
  C3_reported_late: 0.06,
  C4_reported_before_incident: 0.02,
  C5_more_than_3_claims_in_90_days: 0.03,
} as const;
type Breach = keyof typeof BREACHES;
const NAMES = Object.keys(BREACHES) as Breach[];

/**
 * Makes claims of the last five days, of one policy each one, but for those with too many. Unreal: at most one rule is broken on purpose by a policy, what breaks it is never close to the limit, and no claim is false without breaking a rule.
 *
 * @param nowMs - the end of the five days
 * @returns the claims by time, and by policy the rule that its newest claim breaks; undefined: none
 */
export function makeClaims(
  policies: number,
  nowMs: number,
  seed: number,
): { readonly claims: readonly Claim[]; readonly breaches: ReadonlyMap<string, Breach | undefined> } {
  const random = new Random(seed);
  const claims: Claim[] = [];
  const breaches = new Map<string, Breach | undefined>();
  const iso = (ms: number): string => new Date(ms).toISOString();
  const none = 1 - Object.values(BREACHES).reduce((sum, share) => sum + share, 0);
  for (let at = 0; at < policies; at += 1) {
    const policy = `policy${at}`;
    const breach = NAMES[random.weighted([...Object.values(BREACHES), none])];
    breaches.set(policy, breach);
    const fromMs = nowMs - random.between(100, 300) * DAY_MS;
    const insured = Math.round(random.logNormal(20_000, 0.5));
    const count = breach === 'C5_more_than_3_claims_in_90_days' ? random.integer(4, 7) : 1;
    const firstMs = nowMs - (count === 1 ? random.between(0.3, 4) : 1.75) * DAY_MS;
    for (let each = 0; each < count; each += 1) {
      const reportedMs = firstMs + each * 6 * HOUR_MS + random.between(0, 5) * HOUR_MS;
      const daysBefore =
        breach === 'C3_reported_late'
          ? random.between(40, 90)
          : breach === 'C4_reported_before_incident'
            ? -random.between(1, 3)
            : random.between(0.5, 20);
      const incidentMs = reportedMs - daysBefore * DAY_MS;
      const toMs = breach === 'C2_outside_policy_period' ? incidentMs - 5 * DAY_MS : fromMs + 365 * DAY_MS;
      const share = breach === 'C1_amount_above_insured' ? random.between(1.1, 2) : random.between(0.01, 0.9);
      claims.push({
        ...{ event_id: `${policy}-${each}`, user_id: policy, event_type: 'insurance_claim', policy_id: policy },
        ...{ claim_id: `${policy}-${each}`, timestamp: iso(reportedMs), incident_at: iso(incidentMs) },
        ...{ amount: Math.round(share * insured), insured_amount: insured },
        ...{ policy_from: iso(fromMs), policy_to: iso(toMs) },
      });
    }
  }
  claims.sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  return { claims, breaches };
}
