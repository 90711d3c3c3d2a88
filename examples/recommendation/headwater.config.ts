import { defineConfig } from 'headwater';
import { recommend } from './recommend_route.ts';

/** A shop's products for each visitor: near to the visitor's taste, in the order of the hour and place. */
export default defineConfig({
  plugins: { features: [recommend] },
  schedules: { tastes: { workflow: 'learn', cron: '0 3 * * *' } },
});
