import { defineModel } from 'headwater';
import { spending } from '../features/purchases.ts';

export const churn = defineModel({
  name: 'churn',
  service: spending,
  training: {
    ...{ trainer: 'extension', use: 'logistic', settings: { classes: ['lost', 'kept'] } },
    columns: ['last_amount', 'purchases_24h', 'spent_24h'],
  },
});

/** Trained by a program of the project. */
export const churnByCommand = defineModel({
  name: 'churn_by_command',
  service: spending,
  serve: false,
  training: { trainer: 'command', command: ['node', 'train.mjs'], columns: ['spent_24h'], params: { steps: 40 } },
});
