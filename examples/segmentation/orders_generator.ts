import { DAY_MS, Random } from 'headwater/features';

export interface Order {
  readonly event_type: 'order';
  readonly order_id: string;
  readonly customer_id: string;
  readonly amount: number;
  /** RFC 3339 */
  readonly ordered_at: string;
}

/** How customers of a kind buy: orders a year, the median order, and how many days ago they stopped. */
const KINDS = {
  loyal: { yearly: 40, order: 90, quietDays: 5 },
  bargain: { yearly: 40, order: 10, quietDays: 8 },
  occasional: { yearly: 10, order: 120, quietDays: 50 },
  lapsed: { yearly: 22, order: 20, quietDays: 220 },
} as const;
export type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];
/** Of a customer whose orders are all older than a year nothing is known. */
const LONGEST_QUIET_DAYS = 340;
const SHARES = [0.2, 0.3, 0.3, 0.2];

/**
 * Makes a year of orders. Unreal: customers have one of four kinds and stay with it, there are no seasons, and kinds differ more than a real shop's customers do.
 *
 * @param nowMs - the end of the year; a customer's newest order is about its kind's `quietDays` before that
 */
export function makeOrders(
  customers: number,
  nowMs: number,
  seed: number,
): { readonly orders: readonly Order[]; readonly kinds: ReadonlyMap<string, Kind> } {
  const random = new Random(seed);
  const orders: Order[] = [];
  const kinds = new Map<string, Kind>();
  for (let at = 0; at < customers; at += 1) {
    const customer = `c${at}`;
    const kind = NAMES[random.weighted(SHARES)] as Kind;
    kinds.set(customer, kind);
    const { yearly, order, quietDays } = KINDS[kind];
    const newest = Math.min(LONGEST_QUIET_DAYS, random.logNormal(quietDays, 0.25));
    const count = Math.max(1, Math.round(random.logNormal(yearly, 0.2) * (1 - newest / 365)));
    const typical = random.logNormal(order, 0.15);
    for (let each = 0; each < count; each += 1) {
      const daysAgo = each === 0 ? newest : random.between(newest, 360);
      orders.push({
        ...{ event_type: 'order', order_id: `${customer}-${each}`, customer_id: customer },
        amount: Math.max(1, Math.round(random.logNormal(typical, 0.3) * 100) / 100),
        ordered_at: new Date(nowMs - daysAgo * DAY_MS).toISOString(),
      });
    }
  }
  orders.sort((a, b) => (a.ordered_at < b.ordered_at ? -1 : 1));
  return { orders, kinds };
}
