import { columns, featureService } from 'headwater/features';
import { customerValueView } from './customer_value.ts';
import { recommendationContext, recommendationView } from './recommendation.ts';
import { userActivityV2 } from './user_activity.ts';

export const customerSegmentation = featureService({
  name: 'customer_segmentation',
  version: 1,
  owner: 'growth',
  description: 'What customers are segmented by',
  features: [
    columns(customerValueView, 'recency_days', 'frequency_365d', 'monetary_365d'),
    columns(userActivityV2, 'activity_count_7d', 'engagement_score', 'mobile_ratio_7d'),
  ],
});

export const productRecommendation = featureService({
  name: 'product_recommendation',
  version: 1,
  owner: 'growth',
  description: 'What products are recommended by; defaults for users without events',
  unknownEntities: 'defaults',
  features: [
    columns(recommendationView, 'view_count_7d', 'cart_count_7d', 'purchase_count_30d', 'last_products_30d', 'country'),
    recommendationContext,
  ],
});

export const churnRisk = featureService({
  name: 'churn_risk',
  version: 1,
  owner: 'growth',
  description:
    'What shows that a user is about to leave: how much of a month lies in its last week, and the time since the newest event',
  features: [
    columns(
      userActivityV2,
      'seconds_since_last_event',
      'activity_count_24h',
      'activity_count_7d',
      'purchase_count_7d',
      'click_count_7d',
      'mobile_ratio_7d',
      'distinct_products_7d',
      'engagement_score',
    ),
    columns(
      recommendationView,
      'view_count_7d',
      'view_count_30d',
      'click_count_30d',
      'cart_count_7d',
      'cart_count_30d',
      'purchase_count_30d',
    ),
  ],
});
