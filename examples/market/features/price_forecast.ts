import { columns, featureService } from 'headwater/features';
import { closesOldestFirst, priceHistoryView } from './market.ts';

export const priceForecast = featureService({
  name: 'price_forecast',
  version: 1,
  owner: 'research',
  description: 'The last closing prices of a symbol, oldest first',
  features: [columns(priceHistoryView, ...closesOldestFirst)],
});
