import { defineConfig } from 'headwater';
import { triageRoute } from './triage_route.ts';

/** Insurance claims, by the rules that they must fulfil. */
export default defineConfig({
  plugins: { features: [triageRoute] },
  schedules: { decisions: { workflow: 'decide', cron: '0 2 * * *' } },
});
