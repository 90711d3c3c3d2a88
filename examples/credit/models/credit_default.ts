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
  monitoring: { minRows: 100, minLabels: 100 },
  // Whether a line has defaulted is known after 90 days: the labels of a month are of three months ago.
  retraining: {
    window: '365d',
    minLabels: 1_000,
    freshness: '120d',
    triggers: { schedule: { cron: '0 4 1 * *' }, drift: { columns: 2, windows: 3 }, performance: { drop: 0.05 } },
    cooldown: '7d',
  },
});
