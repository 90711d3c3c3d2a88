import { defineModel } from 'headwater';
import { marketView } from '../features/market.ts';

/** The next day's return by boosted trees: what the network is compared with, beside the naive forecast. Labels are returns: trees cannot forecast a price that they have not seen. */
export const nextReturn = defineModel({
  name: 'next_return',
  service: marketView,
  training: {
    trainer: 'xgboost',
    task: 'regression',
    columns: [
      'daily_return',
      'mean_daily_return_7d',
      'mean_daily_return_30d',
      'volatility_7d',
      'volatility_30d',
      'cumulative_return_30d',
      'price_to_mean_30d',
      'range_position_30d',
    ],
    params: { n_estimators: 60, max_depth: 3, learning_rate: 0.03 },
  },
  gates: { metric: 'rmse', better: 'lower' },
  serve: false,
});
