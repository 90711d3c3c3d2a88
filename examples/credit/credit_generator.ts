import { DAY_MS, Random } from 'headwater/features';

export interface CreditUpdate {
  readonly event_id: string;
  readonly user_id: string;
  readonly event_type: 'credit_update';
  readonly timestamp: string;
  readonly credit_line_id: string;
  readonly kind: 'payment' | 'draw' | 'statement';
  readonly balance: number;
  readonly credit_limit: number;
  readonly days_past_due: number;
}

/** Whether a line has defaulted in the 90 days after a time. */
export interface Outcome {
  readonly credit_line_id: string;
  readonly event_time: string;
  readonly label: 0 | 1;
}

export interface Portfolio {
  /** By time. */
  readonly updates: readonly CreditUpdate[];
  /** Of the months from the sixth to the last. */
  readonly outcomes: readonly Outcome[];
}

const MONTHS = 12;
const FIRST_OUTCOME = 5;
const MONTH_MS = 30 * DAY_MS;

/**
 * Makes a year of credit lines. A line's strain moves from month to month; with it the balance grows, and payments come late. A line defaults in the 90 days after a month with a probability that depends on the strain then, and on the
 * balance where it is close to the limit. Unreal: lines that default stay in the portfolio, there is no economy that moves them together, limits do not change, and no line is closed.
 *
 * @param nowMs - the end of the last month
 */
export function makePortfolio(lines: number, nowMs: number, seed: number): Portfolio {
  const random = new Random(seed);
  const updates: CreditUpdate[] = [];
  const outcomes: Outcome[] = [];
  for (let line = 0; line < lines; line += 1) {
    const id = `line${line}`;
    const limit = Math.round(random.logNormal(5_000, 0.5));
    let strain = 0.7 * random.normal();
    let share = random.between(0.05, 0.5);
    for (let month = 0; month < MONTHS; month += 1) {
      const startMs = nowMs - (MONTHS - month) * MONTH_MS;
      strain = 0.8 * strain + 0.6 * random.normal();
      const add = (kind: CreditUpdate['kind'], day: number, daysPastDue: number): void => {
        updates.push({
          ...{ event_id: `${id}-${month}-${day}`, user_id: id, event_type: 'credit_update', kind, credit_line_id: id },
          timestamp: new Date(startMs + day * DAY_MS).toISOString(),
          ...{ balance: Math.round(share * limit), credit_limit: limit, days_past_due: daysPastDue },
        });
      };
      add('statement', 1, 0);
      share = Math.min(1.1, Math.max(0, share + random.between(0, 0.15) + 0.06 * strain));
      add('draw', 8, 0);
      const isLate = random.chance(1 / (1 + Math.exp(2.2 - 1.3 * strain)));
      const delay = isLate ? Math.min(60, Math.ceil(random.logNormal(6 + 6 * Math.max(0, strain), 0.5))) : 0;
      share = Math.max(0, share - random.between(0, 0.2) + (isLate ? 0.05 : 0));
      add('payment', 20, delay);
      if (month < FIRST_OUTCOME) continue;
      const isStretched = share > 0.75 && strain > 0 ? 1.6 : 0;
      const probability = 1 / (1 + Math.exp(3.6 - 1.5 * strain - isStretched));
      outcomes.push({
        ...{ credit_line_id: id, event_time: new Date(startMs + MONTH_MS).toISOString() },
        label: random.chance(probability) ? 1 : 0,
      });
    }
  }
  updates.sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  return { updates, outcomes };
}
