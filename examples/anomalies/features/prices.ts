import {
  count,
  entity,
  envelope,
  eventSource,
  expression,
  featureView,
  field,
  mean,
  numberOr0,
  sincePrevious,
  variance,
} from 'headwater/features';
import { z } from 'zod';
import { deviationOfNewest } from './without_newest.ts';

/** Closing prices, one a trading day. */
export const closes = eventSource({
  name: 'closes',
  eventTypes: ['close'],
  schema: z.strictObject({
    ...envelope,
    event_type: z.literal('close'),
    instrument: z.string().regex(/^[A-Z0-9.^-]{1,12}$/, 'must be a ticker such as AMZN'),
    close: z.number().positive(),
  }),
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

const ALARM_Z = 5;
const FEWEST = 20;

/** A day's return beside those of the 60 days before. */
export const priceMove = featureView({
  name: 'price_move',
  version: 1,
  entity: entity('instrument', ['instrument']),
  source: closes,
  ttl: '90d',
  owner: 'research',
  description: 'How unusual the newest return of an instrument is',
  features: {
    close: field('close', 'double', 'Closing price'),
    daily_return: sincePrevious(
      'double',
      'Close over the previous close, less 1; null for the first',
      (event, _, previous) => (previous === undefined ? null : Number(event.close) / Number(previous.event.close) - 1),
    ),
    ...count({ as: 'days', what: 'Trading days' }).over('60d'),
    ...mean('daily_return').over('60d'),
    ...variance('daily_return').over('60d'),
    z_score: expression(
      ['daily_return', 'days_60d', 'mean_daily_return_60d', 'variance_daily_return_60d'],
      'double',
      'Standard deviations from the mean of the returns before; 0 while there are few',
      ({ daily_return: newest, days_60d: days, mean_daily_return_60d: m, variance_daily_return_60d: v }) =>
        deviationOfNewest(newest, days, m, v, FEWEST)?.z ?? 0,
      { uses: { deviationOfNewest, numberOr0, FEWEST } },
    ),
    cause: expression(
      ['z_score', 'daily_return'],
      'string',
      `What an alarm is about; empty where the return is less than ${ALARM_Z} standard deviations off`,
      (row) => {
        const z = numberOr0(row.z_score);
        if (Math.abs(z) < ALARM_Z) return '';
        const move = numberOr0(row.daily_return);
        return `${move > 0 ? 'rose' : 'fell'} by ${(100 * Math.abs(move)).toFixed(1)} %: ${Math.abs(z).toFixed(1)} deviations of 60 days`;
      },
      { uses: { numberOr0, ALARM_Z } },
    ),
  },
});
