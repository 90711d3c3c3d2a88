import { defineModel } from 'headwater';
import { fraudView } from '../features/fraud.ts';

export const fraudDetector = defineModel({
  name: 'fraud_detector',
  service: fraudView,
  labels: { feedback: ['legitimate', 'fraud'] },
  training: {
    trainer: 'xgboost',
    classes: ['legitimate', 'fraud'],
    slices: ['merchant_category', 'is_weekend'],
    costs: { falsePositive: 5, falseNegative: 100 },
  },
  gates: { metric: 'auc', worst: 0.8, tolerance: 0.02 },
  initial: new URL('./fraud_detector/', import.meta.url),
});
