import { defineConfig } from 'headwater';
import { segments } from './segments_route.ts';

/** A shop's customers by value: who buys how recently, how often and for how much. */
export default defineConfig({
  plugins: { features: [segments] },
  schedules: {
    segments: { workflow: 'segment', cron: '0 3 * * *' },
    segmentation: { workflow: 'retrain_segments', cron: '0 4 1 1,4,7,10 *' },
  },
});
