import { defineConfig } from 'headwater';

/** Daily prices: returns, volatility, and a forecast of the next close. */
export default defineConfig();
