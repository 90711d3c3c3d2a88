import { DAY_MS, HOUR_MS, MINUTE_MS, Random, SECOND_MS } from 'headwater/features';
import { MERCHANT_CATEGORIES as CATEGORIES } from './features/merchant_categories.ts';

/** How an event was made to arrive; the pipeline is not told. */
export type Arrival = 'in_order' | 'out_of_order' | 'late' | 'too_late' | 'invalid';

export interface GeneratedEvent {
  readonly eventId: string;
  readonly accountId: string;
  /** Event time, ms since the epoch. */
  readonly timestampMs: number;
  readonly arrival: Arrival;
  /** What the chargeback desk finds out later. */
  readonly isFraud: boolean;
  /** The request body as posted; not JSON for some invalid events. */
  readonly body: string;
}

export interface GeneratorOptions {
  readonly seed: number;
  readonly events: number;
  readonly accounts: number;
  /** The history covers `days` up to `endMs`. */
  readonly days: number;
  readonly endMs: number;
}

export const ARRIVAL_SHARES = { out_of_order: 0.01, late: 0.004, too_late: 0.001, invalid: 0.005 } as const;
/** Share of transactions made by thieves. */
export const FRAUD_SHARE = 0.03;

/**
 * Card transactions as a bank sees them, in order of arrival: each account has a home country, a usual amount, favourite
 * shops and a daily and weekly rhythm; honest people travel, spree and buy a fridge now and then; thieves mostly test a
 * card with small payments and then empty it within the hour, and some take one quiet payment that nothing gives away.
 * The same options give the same events, byte for byte.
 */
export function generateTransactions(options: GeneratorOptions): readonly GeneratedEvent[] {
  const random = new Random(options.seed);
  const accounts = Array.from({ length: options.accounts }, (_, index) => makeAccount(random, index));
  const payments = makePayments(random, accounts, options).sort((a, b) => a.timestampMs - b.timestampMs);
  const arrivals = payments.map((payment, index) => arrive(random, payment, index, options));
  return arrivals.sort((a, b) => a.arrivedMs - b.arrivedMs).map(({ event }) => event);
}

type Category = (typeof CATEGORIES)[number];

/** How often, and at what multiple of the account's usual amount, people buy in each category. */
const HONEST: Readonly<Record<Category, { weight: number; amount: number }>> = {
  grocery: { weight: 30, amount: 0.8 },
  electronics: { weight: 5, amount: 3 },
  travel: { weight: 4, amount: 4 },
  fuel: { weight: 12, amount: 1 },
  restaurant: { weight: 18, amount: 0.7 },
  fashion: { weight: 9, amount: 1.4 },
  online: { weight: 14, amount: 1 },
  cash: { weight: 5, amount: 1.6 },
  gambling: { weight: 2, amount: 0.8 },
  jewelry: { weight: 1, amount: 5 },
};
const HONEST_WEIGHTS = CATEGORIES.map((category) => HONEST[category].weight);
const STOLEN_CATEGORIES: readonly Category[] = [
  'electronics',
  'jewelry',
  'online',
  'cash',
  'gambling',
  'travel',
  'fashion',
];

/** Relative activity by hour of day, UTC. */
const DAY_RHYTHM = [1, 0.6, 0.4, 0.3, 0.3, 0.6, 1.5, 3, 4, 4.5, 5, 6, 7, 6, 5, 5, 6, 7.5, 8, 7, 5.5, 4, 3, 2];
const NIGHT_RHYTHM = [...DAY_RHYTHM.slice(12), ...DAY_RHYTHM.slice(0, 12)];
const COUNTRIES = ['DE', 'FR', 'ES', 'IT', 'NL', 'PL', 'SE', 'AT'];
const DEVICES = ['mobile', 'desktop', 'tablet', 'pos'];

interface Account {
  readonly accountId: string;
  readonly userId: string;
  readonly country: string;
  readonly usualAmount: number;
  readonly activity: number;
  readonly rhythm: readonly number[];
  readonly merchants: ReadonlyMap<Category, readonly string[]>;
  readonly travels: { readonly country: string; readonly day: number; readonly days: number } | undefined;
}

interface Payment {
  readonly account: Account;
  readonly timestampMs: number;
  readonly amount: number;
  readonly category: Category;
  readonly merchant: string;
  readonly country: string;
  readonly device: string;
  readonly isFraud: boolean;
}

const merchantOf = (random: Random, category: Category): string =>
  `m_${category}_${String(random.integer(0, 60)).padStart(3, '0')}`;

function makeAccount(random: Random, index: number): Account {
  const number = String(index + 1).padStart(5, '0');
  const country = random.pick(COUNTRIES);
  return {
    accountId: `acct_${number}`,
    userId: `user_${number}`,
    country,
    usualAmount: random.logNormal(28, 0.6),
    activity: random.logNormal(1, 0.7),
    rhythm: random.chance(0.12) ? NIGHT_RHYTHM : DAY_RHYTHM,
    merchants: new Map(
      CATEGORIES.map((category) => [category, [0, 1, 2].map(() => merchantOf(random, category))] as const),
    ),
    travels: random.chance(0.15)
      ? { country: random.pick(COUNTRIES), day: random.next(), days: random.between(2, 6) }
      : undefined,
  };
}

function makePayments(random: Random, accounts: readonly Account[], options: GeneratorOptions): Payment[] {
  const startMs = options.endMs - options.days * DAY_MS;
  const stolen = Math.round(options.events * FRAUD_SHARE);
  const payments: Payment[] = [];
  while (payments.length < stolen) {
    payments.push(...theft(random, random.pick(accounts), startMs, options).slice(0, stolen - payments.length));
  }
  const activity = accounts.map((account) => account.activity);
  while (payments.length < options.events) {
    const account = accounts[random.weighted(activity)] as Account;
    const first = honestPayment(random, account, honestTime(random, account, startMs, options.days), startMs);
    payments.push(first);
    // A shopping trip: several shops within the hour, so that velocity alone does not give thieves away.
    if (random.chance(0.03)) {
      const shops = Math.min(random.integer(2, 6), options.events - payments.length);
      for (let shop = 0, at = first.timestampMs; shop < shops; shop += 1) {
        at = Math.min(at + random.between(3, 25) * MINUTE_MS, options.endMs - 1);
        payments.push(honestPayment(random, account, at, startMs));
      }
    }
  }
  return payments;
}

function honestTime(random: Random, account: Account, startMs: number, days: number): number {
  const day = random.integer(0, days);
  const dayMs = startMs + day * DAY_MS;
  const midnightMs = dayMs - (dayMs % DAY_MS);
  const at = midnightMs + (random.weighted(account.rhythm) + random.next()) * HOUR_MS;
  return Math.floor(at < startMs ? at + DAY_MS : at >= startMs + days * DAY_MS ? at - DAY_MS : at);
}

function honestPayment(random: Random, account: Account, timestampMs: number, startMs: number): Payment {
  const category = CATEGORIES[random.weighted(HONEST_WEIGHTS)] as Category;
  const favourites = account.merchants.get(category) as readonly string[];
  const elapsedDays = (timestampMs - startMs) / DAY_MS;
  const trip = account.travels;
  const away = trip !== undefined && elapsedDays >= trip.day * 10 && elapsedDays < trip.day * 10 + trip.days;
  return {
    account,
    timestampMs: Math.floor(timestampMs),
    amount: account.usualAmount * HONEST[category].amount * random.logNormal(1, 0.55),
    category,
    merchant: random.chance(0.8) && !away ? random.pick(favourites) : merchantOf(random, category),
    country: away ? trip.country : random.chance(0.02) ? random.pick(COUNTRIES) : account.country,
    device: random.pick(DEVICES),
    isFraud: false,
  };
}

/** One theft: a burst within the hour, or (a quarter of them) a single payment that looks almost honest. */
function theft(random: Random, account: Account, startMs: number, options: GeneratorOptions): Payment[] {
  const quiet = random.chance(0.25);
  const count = quiet ? 1 : random.integer(4, 13);
  // Bursts end before the history does; nights are a little more popular than among the honest.
  let at = startMs + random.next() * (options.days * DAY_MS - 2 * HOUR_MS);
  if (!quiet && random.chance(0.4)) at = at - (at % DAY_MS) + random.between(0, 5) * HOUR_MS;
  at = Math.max(at, startMs);
  const abroad = random.chance(quiet ? 0.1 : 0.55) ? random.pick(COUNTRIES) : account.country;
  return Array.from({ length: count }, (_, index) => {
    const testing = !quiet && index < 2 && random.chance(0.6);
    const category = quiet ? random.pick(CATEGORIES) : random.pick(STOLEN_CATEGORIES);
    at += random.between(0.3, 6) * MINUTE_MS;
    const usual = account.usualAmount * HONEST[category].amount;
    return {
      account,
      timestampMs: Math.floor(at),
      amount: testing ? random.between(0.5, 4) : usual * random.logNormal(quiet ? 1.3 : 1.8, 0.6),
      category,
      merchant: merchantOf(random, category),
      country: abroad,
      device: random.pick(['mobile', 'desktop', 'pos']),
      isFraud: true,
    };
  });
}

interface ArrivedEvent {
  readonly arrivedMs: number;
  readonly event: GeneratedEvent;
}

function arrive(random: Random, payment: Payment, index: number, options: GeneratorOptions): ArrivedEvent {
  const arrival = drawArrival(random);
  const fields = {
    event_id: `evt_${options.seed}_${String(index).padStart(7, '0')}`,
    user_id: payment.account.userId,
    event_type: 'transaction',
    device_type: payment.device,
    timestamp: new Date(payment.timestampMs).toISOString(),
    account_id: payment.account.accountId,
    amount: Math.max(0.01, Math.round(payment.amount * 100) / 100),
    currency: 'EUR',
    merchant_id: payment.merchant,
    merchant_category: payment.category,
    country: payment.country,
  };
  return {
    arrivedMs: payment.timestampMs + delayMs(random, arrival),
    event: {
      eventId: fields.event_id,
      accountId: fields.account_id,
      timestampMs: payment.timestampMs,
      arrival,
      isFraud: payment.isFraud,
      body: arrival === 'invalid' ? breakEvent(random, fields) : JSON.stringify(fields),
    },
  };
}

function drawArrival(random: Random): Arrival {
  let left = random.next();
  for (const arrival of ['out_of_order', 'late', 'too_late', 'invalid'] as const) {
    left -= ARRIVAL_SHARES[arrival];
    if (left < 0) return arrival;
  }
  return 'in_order';
}

/** So late that the day's windows have moved past them. */
const TOO_LATE_MS = 26 * HOUR_MS;

function delayMs(random: Random, arrival: Arrival): number {
  switch (arrival) {
    case 'out_of_order':
      return random.between(5, 45) * SECOND_MS;
    case 'late':
      return random.between(10, 240) * MINUTE_MS;
    case 'too_late':
      return TOO_LATE_MS + random.between(0, 12) * HOUR_MS;
    default:
      return 0;
  }
}

/** One thing wrong with each: what real producers get wrong. */
const BREAKS: readonly ((fields: Record<string, unknown>) => string)[] = [
  (fields) => JSON.stringify(fields).slice(0, -20),
  ({ amount: _, ...fields }) => JSON.stringify(fields),
  (fields) => JSON.stringify({ ...fields, amount: -1 }),
  (fields) => JSON.stringify({ ...fields, amount: String(fields.amount) }),
  (fields) => JSON.stringify({ ...fields, timestamp: '9999-12-31T23:59:59.000Z' }),
  (fields) => JSON.stringify({ ...fields, timestamp: 'yesterday' }),
  (fields) => JSON.stringify({ ...fields, account_id: '' }),
  (fields) => JSON.stringify({ ...fields, event_type: 'transfer' }),
  (fields) => JSON.stringify({ ...fields, ammount: 12 }),
  (fields) => JSON.stringify({ ...fields, merchant_category: 'weapons' }),
];

const breakEvent = (random: Random, fields: Record<string, unknown>): string => random.pick(BREAKS)(fields);
