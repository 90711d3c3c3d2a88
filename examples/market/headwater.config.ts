import { defineConfig } from 'headwater';
import { forecast } from './forecast_route.ts';

const SYMBOLS = ['AAPL', 'GOOG', 'IBM', 'MSFT'];

/** Daily prices: returns, volatility, and a forecast of the next close with its interval. Both workflows run each trading day of New York. */
export default defineConfig({
  plugins: { serving: [forecast] },
  schedules: {
    prices: { workflow: 'collect', calendar: 'XNYS', at: '30 minutes after close', input: { symbols: SYMBOLS } },
    forecasts: { workflow: 'forecast', calendar: 'XNYS', at: '90 minutes after close', input: { symbols: SYMBOLS } },
    report: { workflow: 'report_forecasts', cron: '0 6 * * MON' },
  },
});
