import { checkServices, type FeatureService, featureService } from '#feature_store/definitions/feature_service';
import { checkViews, type FeatureView } from '#feature_store/definitions/feature_view';
import { columns, type OnDemandView } from '#feature_store/definitions/on_demand';
import type { EventSource } from '#feature_store/definitions/source';
import { viewId } from '../definitions/feature_row.ts';
import { claimView } from './claims.ts';
import { creditView } from './credit.ts';
import { customerValueView } from './customer_value.ts';
import { fraudView } from './fraud.ts';
import { closesOldestFirst, marketView, priceHistoryView } from './market.ts';
import { recommendationContext, recommendationView } from './recommendation.ts';
import { sensorView } from './sensors.ts';
import { transactionRisk } from './transaction_risk.ts';
import { userActivityV1, userActivityV2 } from './user_activity.ts';

/** Every view the platform runs: add yours here. */
export const VIEWS: readonly FeatureView[] = [
  fraudView,
  userActivityV1,
  userActivityV2,
  marketView,
  priceHistoryView,
  recommendationView,
  sensorView,
  creditView,
  claimView,
  customerValueView,
];

/** Views that are computed when they are asked for. */
export const ON_DEMAND_VIEWS: readonly OnDemandView[] = [transactionRisk, recommendationContext];

/** What models use: add yours here. Each stored view, whole, is a service too, under its own name. */
export const SERVICES: readonly FeatureService[] = [
  featureService({
    name: 'payment_authorisation',
    version: 1,
    owner: 'risk',
    description: 'A payment that is being authorised, with the history of its account',
    features: [
      columns(fraudView, 'count_1h', 'count_24h', 'sum_amount_24h', 'distinct_merchant_id_24h'),
      transactionRisk,
    ],
  }),
  featureService({
    name: 'customer_segmentation',
    version: 1,
    owner: 'growth',
    description: 'What customers are segmented by',
    features: [
      columns(customerValueView, 'recency_days', 'frequency_365d', 'monetary_365d'),
      columns(userActivityV2, 'activity_count_7d', 'engagement_score', 'mobile_ratio_7d'),
    ],
  }),
  featureService({
    name: 'price_forecast',
    version: 1,
    owner: 'research',
    description: 'The last closing prices of a symbol, oldest first',
    features: [columns(priceHistoryView, ...closesOldestFirst)],
  }),
  featureService({
    name: 'product_recommendation',
    version: 1,
    owner: 'growth',
    description: 'What products are recommended by; defaults for users nobody has seen',
    unknownEntities: 'defaults',
    features: [
      columns(
        recommendationView,
        'view_count_7d',
        'cart_count_7d',
        'purchase_count_30d',
        'last_products_30d',
        'country',
      ),
      recommendationContext,
    ],
  }),
];

checkViews([...VIEWS, ...ON_DEMAND_VIEWS]);
checkServices(SERVICES, [...VIEWS, ...ON_DEMAND_VIEWS].map(viewId));

/** The event types the gateway takes: those some view is computed from as they come. */
export const SOURCES: readonly EventSource[] = [
  ...new Set(VIEWS.filter(({ mode }) => mode === 'streaming').map((view) => view.source)),
];
