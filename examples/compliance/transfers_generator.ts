import { Random } from 'headwater/features';
import { RULES } from './features/transfers.ts';

export interface Transfer {
  readonly event_id: string;
  readonly user_id: string;
  readonly event_type: 'transfer';
  readonly timestamp: string;
  readonly transfer_id: string;
  readonly customer_id: string;
  readonly kind: 'cash_deposit' | 'payment';
  readonly amount: number;
  readonly country: string;
}

const SHARE_OF_EACH = 0.06;
const MINUTE_MS = 60_000;

/**
 * Makes transfers of the last twelve hours. Unreal: a customer breaks one rule at most, on purpose and with the newest transfers; others are far from
 * each limit; countries with sanctions are made up.
 *
 * @returns the transfers by time, and by customer the rule that is broken; undefined: none
 */
export function makeTransfers(
  customers: number,
  nowMs: number,
  seed: number,
): { readonly transfers: readonly Transfer[]; readonly breaches: ReadonlyMap<string, string | undefined> } {
  const random = new Random(seed);
  const transfers: Transfer[] = [];
  const breaches = new Map<string, string | undefined>();
  for (let at = 0; at < customers; at += 1) {
    const customer = `customer${at}`;
    const breach = RULES[random.weighted([...RULES.map(() => SHARE_OF_EACH), 1 - RULES.length * SHARE_OF_EACH])]?.id;
    breaches.set(customer, breach);
    let made = 0;
    const add = (minutesAgo: number, changes: Partial<Transfer> = {}): void => {
      const name = `${customer}-${made}`;
      made += 1;
      transfers.push({
        ...{ event_id: name, transfer_id: name, user_id: customer, customer_id: customer, event_type: 'transfer' },
        ...{ timestamp: new Date(nowMs - minutesAgo * MINUTE_MS).toISOString(), kind: 'payment', country: 'DE' },
        ...{ amount: Math.round(random.logNormal(300, 0.8) * 100) / 100, ...changes },
      });
    };
    for (let usual = random.integer(1, 5); usual > 0; usual -= 1) add(random.between(120, 720));
    if (breach === 'A1_structuring') {
      for (const minutesAgo of [300, 180, 61])
        add(minutesAgo, { kind: 'cash_deposit', amount: random.integer(8_100, 9_900) });
    } else if (breach === 'A2_velocity') {
      for (let one = 12; one > 0; one -= 1) add(one * 2);
    } else if (breach === 'A3_sanctioned_country') add(30, { country: random.chance(0.5) ? 'XA' : 'XB' });
  }
  transfers.sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  return { transfers, breaches };
}
