import {
  columns,
  count,
  type EventFields,
  featureView,
  field,
  last,
  onDemand,
  onDemandView,
  ratio,
  top,
} from 'headwater/features';
import { isClick, isPurchase, user, userEvents } from './user_events.ts';

const isView = ({ event_type: type }: EventFields): boolean => type === 'view' || type === 'page_view';
const isCart = ({ event_type: type }: EventFields): boolean => type === 'add_to_cart';

/** When, where and with what a user interacts. */
export const recommendationView = featureView({
  name: 'recommendation',
  version: 1,
  entity: user,
  source: userEvents,
  ttl: '30d',
  owner: 'growth',
  description: 'What a user looks at and buys, when and where',
  features: {
    country: field('country', 'string', 'Country of the newest event'),
    ...count({ as: 'view_count', where: isView, what: 'Views' }).over('24h', '7d', '30d'),
    ...count({ as: 'click_count', where: isClick, what: 'Clicks' }).over('30d'),
    ...count({ as: 'cart_count', where: isCart, what: 'Products put into the cart' }).over('7d', '30d'),
    ...count({ as: 'purchase_count', where: isPurchase, what: 'Purchases' }).over('30d'),
    ...ratio('cart_to_purchase', 'purchase_count', 'cart_count', 'Purchases over products put into the cart').over(
      '30d',
    ),
    ...top('category', 'string', 3, { as: 'top_categories' }).over('7d', '30d'),
    ...last('product_id', 'string', 10, { as: 'last_products' }).over('30d'),
  },
});

/** What to assume of a user without events. */
const POPULAR = 'popular';

/** Answers for everybody, also for users who have done nothing yet. */
export const recommendationContext = onDemandView({
  name: 'recommendation_context',
  version: 1,
  entity: user,
  owner: 'growth',
  description: 'What a recommendation begins with; defaults for users without events',
  inputs: [columns(recommendationView, 'view_count_30d', 'purchase_count_30d', 'top_categories_30d')],
  request: {},
  features: {
    is_cold_user: onDemand(
      'boolean',
      'Whether nothing is known of the user',
      ({ view_count_30d: views }) => views === null,
    ),
    favourite_category: onDemand(
      'string',
      `The most frequent category of 30 days; "${POPULAR}" when none is known`,
      (row) =>
        Array.isArray(row.top_categories_30d) && row.top_categories_30d.length > 0
          ? (row.top_categories_30d[0] as string)
          : POPULAR,
      { uses: { POPULAR } },
    ),
    request_hour: onDemand('long', 'Hour of the request, UTC', (_, asOfMs) => new Date(asOfMs).getUTCHours()),
  },
});
