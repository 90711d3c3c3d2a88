import {
  approxDistinct,
  asOf,
  count,
  dayOfWeek,
  distinct,
  expression,
  type FeatureValue,
  featureView,
  field,
  fromEvent,
  hourOfDay,
  inRange,
  isWeekend,
  last,
  numberOr0,
  ratio,
  SECOND_MS,
  session,
  stableHash32,
  sum,
  top,
} from 'headwater/features';
import { isClick, isMobile, isPurchase, user, userEvents } from './user_events.ts';

type Values = Readonly<Record<string, FeatureValue>>;

/** 0 to 1: how much of `enough` there is. */
const share = (value: FeatureValue | undefined, enough: number): number => Math.min(1, numberOr0(value) / enough);

/** The experiment that every user is in from the first event on; another salt deals anew. */
const AB_EXPERIMENT = 'headwater-ab-1';

const timeFeatures = {
  hour_of_day: hourOfDay(),
  day_of_week: dayOfWeek(),
  is_weekend: isWeekend(),
};

const newestEvent = {
  last_event_type: field('event_type', 'string', 'Type of the newest event'),
  last_device_type: field('device_type', 'string', 'Device of the newest event'),
  last_event_ms: fromEvent('long', 'Time of the newest event, ms since 1970', (_, at) => at),
  seconds_since_last_event: asOf(
    ['last_event_ms'],
    'double',
    'Seconds from the newest event to the time of reading',
    ({ last_event_ms: at }, nowMs) => Math.max(0, nowMs - numberOr0(at)) / SECOND_MS,
    { uses: { numberOr0, SECOND_MS } },
  ),
  ab_variant: fromEvent(
    'string',
    'Variant of the user, A or B, half each; the same for ever',
    ({ user_id: id }) => (stableHash32(`${AB_EXPERIMENT}:${String(id)}`) % 2 === 0 ? 'A' : 'B'),
    { uses: { AB_EXPERIMENT, stableHash32 }, version: 1 },
  ),
};

const common = {
  ...count({ as: 'activity_count', what: 'Events' }).over('1h', '6h', '24h', '7d'),
  ...count({ as: 'purchase_count', where: isPurchase, what: 'Purchases' }).over('1h', '6h', '24h', '7d'),
  ...ratio('purchase_ratio', 'purchase_count', 'activity_count', 'Purchases over all events').over(
    '1h',
    '6h',
    '24h',
    '7d',
  ),
  ...session('30m'),
  ...timeFeatures,
  ...newestEvent,
};

/** What a user has done lately. */
export const userActivityV1 = featureView({
  name: 'user_activity',
  version: 1,
  entity: user,
  source: userEvents,
  ttl: '30d',
  owner: 'growth',
  description: 'What a user has done lately',
  features: {
    ...common,
    engagement_score: expression(
      ['activity_count_24h', 'activity_count_7d', 'purchase_count_7d'],
      'double',
      '0 to 100: 100 (0.4 min(1, activity_7d/50) + 0.3 min(1, activity_24h/20) + 0.3 min(1, purchases_7d/5))',
      (row: Values) =>
        100 *
        (0.4 * share(row.activity_count_7d, 50) +
          0.3 * share(row.activity_count_24h, 20) +
          0.3 * share(row.purchase_count_7d, 5)),
      { uses: { share, numberOr0 } },
    ),
  },
});

/** The first version's features, the score changed; devices, products and money added. */
export const userActivityV2 = featureView({
  name: 'user_activity',
  version: 2,
  entity: user,
  source: userEvents,
  ttl: '30d',
  owner: 'growth',
  description: 'What a user has done lately, with what and on what',
  contract: { freshWithin: '1d', mostMissing: { last_event_type: 0, last_device_type: 0.5 }, mostViolations: 0.01 },
  // More is a robot: it would be the most engaged user.
  rules: { is_a_person: inRange('activity_count_1h', { min: 0, max: 2_000 }, 'warn') },
  features: {
    ...common,
    ...count({ as: 'click_count', where: isClick, what: 'Clicks' }).over('24h', '7d'),
    ...ratio('purchase_to_click_ratio', 'purchase_count', 'click_count', 'Purchases over clicks').over('24h', '7d'),
    ...sum('amount', { as: 'purchase_amount', where: isPurchase, what: 'Money spent' }).over('24h', '7d'),
    ...count({ as: 'mobile_count', where: isMobile, what: 'Events on mobile devices' }).over('7d'),
    ...ratio('mobile_ratio', 'mobile_count', 'activity_count', 'Events on mobile devices over all').over('7d'),
    ...top('device_type', 'string', 1, { as: 'top_device_type' }).over('7d'),
    ...distinct('device_type', { as: 'distinct_devices' }).over('24h', '7d'),
    ...distinct('event_type', { as: 'distinct_event_types' }).over('24h'),
    ...approxDistinct('product_id', { as: 'distinct_products' }).over('7d'),
    ...last('product_id', 'string', 5, { as: 'last_products' }).over('7d'),
    engagement_score: expression(
      ['activity_count_24h', 'activity_count_7d', 'purchase_count_7d', 'is_active_session'],
      'double',
      '0 to 100: 100 (0.35 ln(1 + min(activity_7d, 200))/ln 201 + 0.2 min(1, activity_24h/20) + 0.3 min(1, purchases_7d/5) + 0.15 active now)',
      (row: Values) =>
        100 *
        (0.35 * (Math.log1p(Math.min(numberOr0(row.activity_count_7d), 200)) / Math.log(201)) +
          0.2 * share(row.activity_count_24h, 20) +
          0.3 * share(row.purchase_count_7d, 5) +
          0.15 * (row.is_active_session === true ? 1 : 0)),
      { uses: { share, numberOr0 } },
    ),
  },
});
