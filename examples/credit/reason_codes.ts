/** What may lower a score, by column of the model; ids are what letters to customers and auditors refer to. */
export const REASONS: Readonly<Record<string, string>> = {
  utilisation: 'R1_balance_near_limit',
  mean_utilisation_30d: 'R2_balance_near_limit_for_a_month',
  mean_utilisation_90d: 'R3_balance_near_limit_for_a_quarter',
  payment_count_90d: 'R4_few_payments_in_90_days',
  late_payment_count_90d: 'R5_late_payments_in_90_days',
  late_payment_count_365d: 'R6_late_payments_in_a_year',
  max_days_past_due_365d: 'R7_long_delay_in_a_year',
};

const MOST_REASONS = 4;

/**
 * Returns the codes of what raises the risk of a line most, the strongest first: at most four, as notices of adverse action have.
 *
 * @param contributions - of `POST /explain`, of the output `defaults`, by column
 */
export const reasonsOf = (contributions: Readonly<Record<string, number>>): readonly string[] =>
  Object.entries(contributions)
    .filter(([column, value]) => value > 0 && REASONS[column] !== undefined)
    .sort(([, a], [, b]) => b - a)
    .slice(0, MOST_REASONS)
    .map(([column]) => REASONS[column] as string);

const LOWEST = 300;
const HIGHEST = 850;

/** Returns the score from 300 to 850 of a probability of default; 20 points halve the odds, and even odds are 450. */
export const scoreOf = (probability: number): number => {
  const bounded = Math.min(1 - 1e-9, Math.max(1e-9, probability));
  const points = 450 - 20 * Math.log2(bounded / (1 - bounded));
  return Math.round(Math.min(HIGHEST, Math.max(LOWEST, points)));
};

/** Returns how often a defaulting line has a higher risk than a repaying one: the area under the ROC curve, with ties as a half; NaN for one kind alone. */
export function areaUnderCurve(rows: readonly { readonly risk: number; readonly isDefault: boolean }[]): number {
  const sorted = [...rows].sort((a, b) => a.risk - b.risk);
  let rankSum = 0;
  let defaults = 0;
  for (let from = 0; from < sorted.length; ) {
    let to = from;
    while (to < sorted.length && sorted[to]?.risk === sorted[from]?.risk) to += 1;
    const rank = (from + 1 + to) / 2;
    const tied = sorted.slice(from, to).filter(({ isDefault }) => isDefault).length;
    rankSum += rank * tied;
    defaults += tied;
    from = to;
  }
  const repaid = sorted.length - defaults;
  return (rankSum - (defaults * (defaults + 1)) / 2) / (defaults * repaid);
}
