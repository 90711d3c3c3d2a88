import { defineModel } from 'headwater';
import { priceForecast } from '../features/price_forecast.ts';

export const priceForecaster = defineModel({
  name: 'price_forecaster',
  service: priceForecast,
  training: { trainer: 'lstm', naive: 'close_0', slices: ['entity_key'] },
  gates: { metric: 'rmse', better: 'lower' },
  serve: false,
});
