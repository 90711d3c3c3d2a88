import { DAY_MS, Random } from 'headwater/features';
import type { UserEvent } from './features/user_events.ts';

export type MadeEvent = UserEvent & { readonly timestamp: string };

/** Whether a user who was active before a time is silent after it. */
export interface Silence {
  readonly user_id: string;
  readonly event_time: string;
  readonly label: 0 | 1;
}

/** A user without an event for so long has left. */
export const SILENCE_MS = 14 * DAY_MS;

const DEVICES = ['mobile', 'desktop', 'tablet'] as const;
const CATEGORIES = ['shoes', 'books', 'garden', 'toys', 'music'] as const;
const PRODUCTS = 300;

/** What a user does on a visit, while content and while about to leave: who leaves looks, and does not buy. */
const CONTENT = { view: 0.5, click: 0.27, add_to_cart: 0.12, purchase: 0.07, search: 0.04 } as const;
const LEAVING = { view: 0.66, click: 0.14, add_to_cart: 0.07, purchase: 0.01, search: 0.12 } as const;
const DECLINE_A_DAY = 0.88;
const LEAVING_A_DAY = 0.012;
const COMING_BACK_A_DAY = 0.02;

/**
 * Makes the events of users. Each has a rhythm of its own, from several visits a day to one a week. On some days a user begins to leave: visits become rarer from day to day, and are to look, not to buy; a few change their minds.
 *
 * @param nowMs - the end of the last day
 * @returns events by time
 */
export function makeEvents(users: number, days: number, nowMs: number, seed: number): readonly MadeEvent[] {
  const random = new Random(seed);
  const events: MadeEvent[] = [];
  for (let user = 0; user < users; user += 1) {
    const id = `u${user}`;
    const usual = Math.min(3, random.logNormal(0.4, 0.8));
    const device = random.pick(DEVICES);
    const favourite = random.pick(CATEGORIES);
    let decline = 1;
    let leaves = false;
    for (let day = 0; day < days; day += 1) {
      if (!leaves) leaves = random.chance(LEAVING_A_DAY);
      else if (random.chance(COMING_BACK_A_DAY)) leaves = false;
      decline = leaves ? decline * DECLINE_A_DAY : 1;
      const startMs = nowMs - (days - day) * DAY_MS;
      for (let visit = visitsOf(usual * decline, random); visit > 0; visit -= 1) {
        const kinds = leaves ? LEAVING : CONTENT;
        let atMs = startMs + random.between(0.3, 0.95) * DAY_MS;
        for (let step = random.integer(1, 5); step > 0; step -= 1) {
          const type = Object.keys(kinds)[random.weighted(Object.values(kinds))] as keyof typeof kinds;
          const amount = type === 'purchase' ? { amount: Math.round(random.logNormal(30, 0.6)), currency: 'EUR' } : {};
          events.push({
            ...{ event_id: `${id}-${events.length}`, user_id: id, event_type: type, country: 'DE', ...amount },
            device_type: random.chance(0.8) ? device : random.pick(DEVICES),
            ...{ product_id: `p${random.integer(0, PRODUCTS)}` },
            category: random.chance(0.6) ? favourite : random.pick(CATEGORIES),
            timestamp: new Date(atMs).toISOString(),
          });
          atMs += random.between(5, 120) * 1_000;
        }
      }
    }
  }
  return events.sort((a, b) => (a.timestamp < b.timestamp ? -1 : a.timestamp > b.timestamp ? 1 : 0));
}

/** Draws the visits of a day (Poisson, by Knuth's product of uniform numbers). */
function visitsOf(mean: number, random: Random): number {
  const least = Math.exp(-mean);
  let visits = 0;
  for (let product = random.next(); product > least; product *= random.next()) visits += 1;
  return visits;
}

/**
 * Labels users by later silence: at a time, each user with an event in the 14 days up to it; 1 where none follows within 14 days.
 *
 * @param atMs - a time whose 14 days are over; what comes later than those is not looked at
 */
export function silencesAt(events: readonly MadeEvent[], atMs: number): readonly Silence[] {
  const active = new Set<string>();
  const returned = new Set<string>();
  for (const { user_id: user, timestamp } of events) {
    const ms = Date.parse(timestamp);
    if (ms > atMs - SILENCE_MS && ms <= atMs) active.add(user);
    else if (ms > atMs && ms <= atMs + SILENCE_MS) returned.add(user);
  }
  const time = new Date(atMs).toISOString();
  return [...active].sort().map((user) => ({ user_id: user, event_time: time, label: returned.has(user) ? 0 : 1 }));
}
