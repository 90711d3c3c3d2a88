import {
  count,
  envelope,
  eventSource,
  expression,
  featureView,
  field,
  fromEvent,
  inRange,
  mean,
  numberOr0,
  percentile,
} from 'headwater/features';
import { z } from 'zod';
import { symbol } from './market.ts';

const price = z.number().positive();

/** A forecast beside the close that it was about, once that is known. */
export const forecastOutcomes = eventSource({
  name: 'forecast_outcomes',
  eventTypes: ['forecast_outcome'],
  schema: z.strictObject({
    ...envelope,
    event_type: z.literal('forecast_outcome'),
    symbol: z.string().regex(/^[A-Z0-9.^-]{1,12}$/, 'must be a ticker such as AMZN'),
    /** The close that the forecast was made of: the naive forecast. */
    previous: price,
    forecast: price,
    actual: price,
  }),
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

/** Share of the outcomes that an interval is to contain. */
export const INTERVAL = 0.9;
/** Outcomes without which nothing is said about how far off a forecast is. */
export const FEWEST_OUTCOMES = 60;

/** How far forecasts of a symbol were off, beside the naive forecast. The quantile is the half width of conformal intervals. */
export const forecastQuality = featureView({
  name: 'forecast_quality',
  version: 1,
  entity: symbol,
  source: forecastOutcomes,
  ttl: '30d',
  owner: 'research',
  description: 'How far forecasts of the next close were off, by what the closes came to',
  contract: { freshWithin: '5d', mostMissing: { error: 0 }, mostViolations: 0.01, over: '30d' },
  // Beyond it, a forecast and a close are of different splits.
  rules: { is_of_one_split: inRange('error', { min: 0, max: 0.4 }, 'warn') },
  features: {
    previous: field('previous', 'double', 'The close that the forecast was made of'),
    forecast: field('forecast', 'double', 'The forecast'),
    actual: field('actual', 'double', 'What the close came to'),
    outcome_ms: fromEvent('long', 'Time of the close, ms since 1970', (_, at) => at),
    error: fromEvent('double', 'Size of the logarithm of actual over forecast', ({ actual, forecast }) =>
      Math.abs(Math.log(Number(actual) / Number(forecast))),
    ),
    naive_error: fromEvent('double', 'The same of the close before', ({ actual, previous }) =>
      Math.abs(Math.log(Number(actual) / Number(previous))),
    ),
    ...count({ as: 'outcomes', what: 'Forecasts whose close is known' }).over('365d'),
    ...mean('error').over('30d', '365d'),
    ...mean('naive_error').over('30d', '365d'),
    ...percentile('error', INTERVAL, { as: 'half_width', what: 'Quantile 0.9 of the error' }).over('365d'),
    error_to_naive: expression(
      ['mean_error_365d', 'mean_naive_error_365d'],
      'double',
      'Mean error over that of the naive forecast: below 1 where forecasts are better',
      (row) => numberOr0(row.mean_error_365d) / numberOr0(row.mean_naive_error_365d),
      { uses: { numberOr0 } },
    ),
  },
});
