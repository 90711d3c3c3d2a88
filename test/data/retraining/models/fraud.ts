import { defineModel } from 'headwater';
import { payment } from '../features/payments.ts';

/** Times of a test: a day in a second. */
export const fraud = defineModel({
  name: 'fraud',
  service: payment,
  labels: { feedback: ['honest', 'fraud'] },
  training: { trainer: 'extension', use: 'logistic', settings: { classes: ['honest', 'fraud'] } },
  gates: { metric: 'auc', worst: 0.6, approval: true },
  canary: {
    steps: [25, 100],
    rowsAStep: 200,
    // The world has changed: the new version is to give other scores.
    guardrails: { judgeAfterRows: 100, scoreShift: 100, latencyRatio: 100 },
  },
  monitoring: { minLabels: 300 },
  retraining: {
    // By the time the loss shows in the longer window, these labels are of the new pattern.
    window: '8s',
    minLabels: 300,
    freshness: '1m',
    rules: { amount: { required: true } },
    triggers: { performance: { drop: 0.2, window: '16s' } },
    check: '2s',
    cooldown: '10m',
    approval: { role: 'risk', expires: '10m' },
    canaryWithin: '5m',
    watch: { for: '8s', drop: 0.25, minLabels: 300 },
  },
});
