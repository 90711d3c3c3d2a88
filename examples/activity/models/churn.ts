import { defineModel } from 'headwater';
import { churnRisk } from '../features/services.ts';

/** Whether a user who was active in the last 14 days is silent for the next 14. Served as an experiment: configs/default.yaml. */
export const churn = defineModel({
  name: 'churn',
  service: churnRisk,
  labels: { source: 'silence' },
  training: {
    trainer: 'xgboost',
    classes: ['stays', 'leaves'],
    params: { n_estimators: 80, max_depth: 3, learning_rate: 0.06 },
  },
  gates: { metric: 'auc', worst: 0.7, tolerance: 0.02 },
  serve: false,
  monitoring: { minRows: 100, minLabels: 100 },
  // Silence is known after 14 days.
  retraining: {
    window: '90d',
    minLabels: 500,
    freshness: '30d',
    triggers: { schedule: { cron: '0 4 * * 1' }, drift: { columns: 3, windows: 3 }, performance: { drop: 0.05 } },
    cooldown: '3d',
  },
});
