import { asOf, count, DAY_MS, featureView, fromEvent, max, mean, numberOr0, sum } from 'headwater/features';
import { isPurchase, user, userEvents } from './user_events.ts';

/** Recency, frequency, monetary value: what customers are segmented by. Computed in batch: it changes slowly and reaches back a year. */
export const customerValueView = featureView({
  name: 'customer_value',
  version: 1,
  mode: 'batch',
  entity: user,
  source: userEvents,
  ttl: '366d',
  owner: 'growth',
  description: 'How recently, how often and for how much a customer buys',
  features: {
    purchase_ms: fromEvent(
      'long',
      'Time of the newest event if it is a purchase, ms since 1970',
      (event, at) => (isPurchase(event) ? at : null),
      { uses: { isPurchase } },
    ),
    ...max('purchase_ms', { as: 'last_purchase_ms', what: 'Time of the newest purchase, ms since 1970,' }).over('365d'),
    recency_days: asOf(
      ['last_purchase_ms_365d'],
      'double',
      'Days from the newest purchase to the time of reading; null when there was none in 365 days',
      ({ last_purchase_ms_365d: at }, nowMs) => (at === null ? null : Math.max(0, nowMs - numberOr0(at)) / DAY_MS),
      { uses: { numberOr0, DAY_MS } },
    ),
    ...count({ as: 'frequency', where: isPurchase, what: 'Purchases' }).over('90d', '365d'),
    ...sum('amount', { as: 'monetary', where: isPurchase, what: 'Money spent' }).over('90d', '365d'),
    ...mean('amount', { as: 'basket', where: isPurchase, what: 'Mean purchase' }).over('365d'),
  },
});
