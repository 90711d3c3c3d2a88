import { asOf, count, DAY_MS, featureView, fromEvent, inRange, max, mean, numberOr0, sum } from 'headwater/features';
import { customer, orders } from './orders.ts';

/** Recency, frequency, monetary value: what customers are segmented by, renewed by each order. */
export const customerValue = featureView({
  name: 'customer_value',
  version: 1,
  entity: customer,
  source: orders,
  ttl: '366d',
  owner: 'growth',
  description: 'How recently, how often and for how much a customer buys',
  contract: { freshWithin: '7d', mostMissing: { last_order_ms_365d: 0.01 }, mostViolations: 0.01, over: '30d' },
  features: {
    order_ms: fromEvent('long', 'Time of the order, ms since 1970', (_, at) => at),
    ...max('order_ms', { as: 'last_order_ms', what: 'Time of the newest order, ms since 1970,' }).over('365d'),
    recency_days: asOf(
      ['last_order_ms_365d'],
      'double',
      'Days from the newest order to the time of reading; null when there was none in 365 days',
      ({ last_order_ms_365d: at }, nowMs) => (at === null ? null : Math.max(0, nowMs - numberOr0(at)) / DAY_MS),
      { uses: { numberOr0, DAY_MS } },
    ),
    ...count({ as: 'frequency', what: 'Orders' }).over('365d'),
    ...sum('amount', { as: 'monetary', what: 'Money spent' }).over('365d'),
    ...mean('amount', { as: 'basket', what: 'Mean order' }).over('365d'),
  },
  rules: { basket_is_plausible: inRange('basket_365d', { min: 0, max: 10_000 }, 'warn') },
});
