import { defineModel } from 'headwater';
import { payment } from '../features/payments.ts';

/** Learns from each outcome. The first version, which a test writes, answers 0.5 to everything. */
export const fraud = defineModel({
  name: 'fraud',
  service: payment,
  labels: { feedback: ['honest', 'fraud'] },
  training: { trainer: 'online', params: { alpha: 0.5 }, every: 50, keep: 30 },
  gates: { metric: 'auc', worst: 0.6 },
  initial: new URL('./first/', import.meta.url),
  retraining: {
    window: '1h',
    minLabels: 300,
    freshness: '10m',
    cooldown: '1s',
    maxRunsAWeek: 100,
    approval: false,
    watch: { for: '30s', drop: 0.2, minLabels: 150 },
  },
});
