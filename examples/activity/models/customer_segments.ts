import { defineModel } from 'headwater';
import { customerValueView } from '../features/customer_value.ts';

export const customerSegments = defineModel({
  name: 'customer_segments',
  service: customerValueView,
  labels: { each: 'entity' },
  training: { trainer: 'kmeans', columns: ['recency_days', 'frequency_365d', 'monetary_365d', 'basket_365d'] },
  serve: false,
});
