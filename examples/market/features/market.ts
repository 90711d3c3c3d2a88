import {
  count,
  DAY_MS,
  entity,
  envelope,
  eventSource,
  expression,
  featureView,
  field,
  fromEvent,
  last,
  max,
  mean,
  min,
  sincePrevious,
  stddev,
  sum,
} from 'headwater/features';
import { z } from 'zod';

const price = z.number().positive();

/** A trading day of a symbol. */
export const dailyBarSchema = z.strictObject({
  ...envelope,
  event_type: z.literal('daily_bar'),
  symbol: z.string().regex(/^[A-Z0-9.^-]{1,12}$/, 'must be a ticker such as AMZN'),
  open: price,
  high: price,
  low: price,
  close: price,
  volume: z.number().nonnegative(),
});

export const symbol = entity('symbol', ['symbol']);

export const dailyBars = eventSource({
  name: 'daily_bars',
  eventTypes: ['daily_bar'],
  schema: dailyBarSchema,
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

const number = (value: unknown): number => (typeof value === 'number' ? value : Number.NaN);

/** Prices, returns and volatility of a symbol, from daily bars. Windows are calendar days. */
export const marketView = featureView({
  name: 'market',
  version: 1,
  entity: symbol,
  source: dailyBars,
  ttl: '30d',
  owner: 'research',
  description: 'Prices, returns and volatility of a symbol as of its newest trading day',
  features: {
    open: field('open', 'double', 'Opening price'),
    high: field('high', 'double', 'Highest price'),
    low: field('low', 'double', 'Lowest price'),
    close: field('close', 'double', 'Closing price'),
    volume: field('volume', 'double', 'Shares traded'),
    avg_price: fromEvent(
      'double',
      '(open + high + low + close) / 4',
      ({ open, high, low, close }) => (number(open) + number(high) + number(low) + number(close)) / 4,
      { uses: { number } },
    ),
    daily_return: sincePrevious(
      'double',
      'Close over the previous close, less 1; null for the first',
      (event, _, previous) => (previous === undefined ? null : number(event.close) / number(previous.event.close) - 1),
      { uses: { number } },
    ),
    days_since_previous: sincePrevious(
      'double',
      'Days since the previous bar; null for the first',
      (_, at, previous) => (previous === undefined ? null : (at - previous.eventTimeMs) / DAY_MS),
      { uses: { DAY_MS } },
    ),
    ...count({ as: 'trading_days', what: 'Trading days' }).over('7d', '30d'),
    ...mean('avg_price').over('7d', '30d'),
    ...min('low').over('30d'),
    ...max('high').over('30d'),
    ...mean('volume').over('7d', '30d'),
    ...mean('daily_return').over('7d', '30d'),
    ...stddev('daily_return', { as: 'volatility', what: 'Standard deviation of daily returns' }).over('7d', '30d'),
    ...sum('daily_return', { as: 'cumulative_return', what: 'Sum of daily returns' }).over('7d', '30d'),
    price_to_mean_30d: expression(
      ['close', 'mean_avg_price_30d'],
      'double',
      'Close over the mean price of 30 days',
      (row) => number(row.close) / number(row.mean_avg_price_30d),
      { uses: { number } },
    ),
    range_position_30d: expression(
      ['close', 'min_low_30d', 'max_high_30d'],
      'double',
      'Where the close lies between the lowest and highest price of 30 days, 0 to 1',
      (row) => {
        const [low, high] = [number(row.min_low_30d), number(row.max_high_30d)];
        return high === low ? 0.5 : (number(row.close) - low) / (high - low);
      },
      { uses: { number } },
    ),
  },
});

/** Closing prices that a forecast looks back on. */
const SESSIONS = 30;

const closeBefore = (sessions: number) =>
  expression(
    ['closes_60d'],
    'double',
    `Closing price ${sessions} trading days before; null when there was none in 60 days`,
    (row) => (Array.isArray(row.closes_60d) ? row.closes_60d[sessions] : null),
    { uses: { sessions } },
  );

const earlierCloses = Object.fromEntries(
  Array.from({ length: SESSIONS - 1 }, (_, index) => [`close_${index + 1}`, closeBefore(index + 1)]),
);

/** The last closing prices of a symbol, each a column: what sequences are forecast from. */
export const priceHistoryView = featureView({
  name: 'price_history',
  version: 1,
  entity: symbol,
  source: dailyBars,
  ttl: '30d',
  owner: 'research',
  description: `The last ${SESSIONS} closing prices of a symbol, adjusted as its bars are`,
  features: {
    close_0: field('close', 'double', 'Closing price'),
    ...last('close', 'double', SESSIONS, { as: 'closes', what: `Last ${SESSIONS} closing prices` }).over('60d'),
    ...earlierCloses,
  },
});

/** Its columns, oldest first. */
export const closesOldestFirst = [...Object.keys(earlierCloses).reverse(), 'close_0'];
