import { defineConfig } from 'headwater';
import { feedbackData } from './insights/personal_data.ts';
import { insightsPlugin } from './insights/routes.ts';

/** Customer feedback in three languages: insights by HTTP, and features of customers from a topic. */
export default defineConfig({
  plugins: { serving: [insightsPlugin({ environment: process.env })] },
  personalData: [feedbackData({ environment: process.env })],
  schedules: { evaluation: { workflow: 'evaluate', cron: '0 4 * * *' } },
});
