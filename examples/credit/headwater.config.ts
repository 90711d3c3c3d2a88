import { defineConfig } from 'headwater';

/** Credit lines: use, payments and risk. */
export default defineConfig({ schedules: { scores: { workflow: 'score', cron: '30 2 * * *' } } });
