import {
  clamp01,
  count,
  distinct,
  type EventFields,
  expression,
  featureView,
  field,
  hourOfDay,
  inRange,
  isWeekend,
  max,
  mean,
  numberOr0,
  sincePrevious,
  stddev,
  sum,
} from 'headwater/features';
import { account, transactions } from './transactions.ts';

/** How often a category is where stolen cards go, relative to its honest use: a prior, not learned. */
const CATEGORY_RISK: Readonly<Record<string, number>> = {
  jewelry: 1,
  gambling: 0.9,
  electronics: 0.8,
  cash: 0.7,
  travel: 0.6,
  online: 0.5,
  fashion: 0.4,
};

/** What a fraud model reads about an account at the moment of a card transaction. */
export const fraudView = featureView({
  name: 'fraud',
  version: 1,
  entity: account,
  source: transactions,
  ttl: '30d',
  owner: 'risk',
  description: 'Spending behaviour of a card account as of its newest transaction',
  contract: { freshWithin: '1d', mostMissing: { amount: 0, merchant_category: 0 }, mostViolations: 0.02 },
  features: {
    amount: field('amount', 'double', 'Amount of the transaction, in its currency'),
    merchant_category: field('merchant_category', 'string', 'Category of the merchant'),
    hour_of_day: hourOfDay(),
    is_weekend: isWeekend(),
    ...count().over('1h', '6h', '24h', '7d'),
    ...sum('amount').over('1h', '6h', '24h', '7d'),
    ...mean('amount').over('1h', '6h', '24h', '7d'),
    ...max('amount').over('1h', '6h', '24h', '7d'),
    ...stddev('amount').over('1h', '6h', '24h', '7d'),
    ...distinct('merchant_id').over('1h', '24h'),
    seconds_since_last: sincePrevious(
      'double',
      'Seconds since the previous transaction; null for the first',
      (_, at, previous) => (previous === undefined ? null : (at - previous.eventTimeMs) / 1_000),
    ),
    country_changed: sincePrevious(
      'boolean',
      'Whether the previous transaction was in another country',
      (event: EventFields, _, previous) => previous !== undefined && previous.event.country !== event.country,
    ),
    amount_deviation: expression(
      ['amount', 'mean_amount_7d', 'stddev_amount_7d'],
      'double',
      'Standard deviations between the amount and the 7 day mean; 0 when all amounts are equal',
      (row) => {
        const deviation = numberOr0(row.stddev_amount_7d);
        return deviation === 0 ? 0 : (numberOr0(row.amount) - numberOr0(row.mean_amount_7d)) / deviation;
      },
      { uses: { numberOr0 } },
    ),
    velocity: expression(
      ['count_1h', 'count_24h'],
      'double',
      'Transactions of the last hour over the hourly mean of the last 24 hours',
      (row) => numberOr0(row.count_1h) / Math.max(1 / 24, numberOr0(row.count_24h) / 24),
      { uses: { numberOr0 } },
    ),
    risk_score: expression(
      [
        'amount_deviation',
        'count_1h',
        'distinct_merchant_id_1h',
        'merchant_category',
        'country_changed',
        'hour_of_day',
      ],
      'double',
      'Rule-based risk in [0, 1]: 0.25 deviation/3 + 0.25 (count_1h - 1)/5 + 0.15 (merchants_1h - 1)/4 + 0.2 category prior + 0.1 country change + 0.05 night (0 to 4 h)',
      (row) =>
        0.25 * clamp01(numberOr0(row.amount_deviation) / 3) +
        0.25 * clamp01((numberOr0(row.count_1h) - 1) / 5) +
        0.15 * clamp01((numberOr0(row.distinct_merchant_id_1h) - 1) / 4) +
        0.2 * (CATEGORY_RISK[String(row.merchant_category)] ?? 0) +
        0.1 * (row.country_changed === true ? 1 : 0) +
        0.05 * (numberOr0(row.hour_of_day) < 5 ? 1 : 0),
      { uses: { clamp01, numberOr0, CATEGORY_RISK } },
    ),
  },
  // Beyond it, an acquirer sends cents for euros.
  rules: { amount_is_plausible: inRange('amount', { min: 0, max: 50_000 }, 'warn') },
});
