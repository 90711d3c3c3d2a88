import { defineModel } from 'headwater';
import { creditView } from '../features/credit.ts';

/** Whether a credit line defaults within 90 days. */
export const creditDefault = defineModel({
  name: 'credit_default',
  service: creditView,
  labels: { source: 'defaults' },
  training: {
    trainer: 'xgboost',
    classes: ['repays', 'defaults'],
    columns: [
      'utilisation',
      'mean_utilisation_30d',
      'mean_utilisation_90d',
      'payment_count_90d',
      'late_payment_count_90d',
      'late_payment_count_365d',
      'max_days_past_due_365d',
    ],
    params: { n_estimators: 80, max_depth: 3, learning_rate: 0.06 },
  },
  serve: true,
});
