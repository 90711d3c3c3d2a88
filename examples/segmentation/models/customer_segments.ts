import { defineModel } from 'headwater';
import { customerValue } from '../features/customer_value.ts';

/** Distances to the centres of K-means; the nearest is the prediction. As many clusters as have the best silhouette. */
export const customerSegments = defineModel({
  name: 'customer_segments',
  service: customerValue,
  labels: { each: 'entity' },
  training: { trainer: 'kmeans', columns: ['recency_days', 'frequency_365d', 'monetary_365d', 'basket_365d'] },
});
