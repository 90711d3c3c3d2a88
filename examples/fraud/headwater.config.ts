import { defineConfig } from 'headwater';

/** Card payments: features of accounts as they pay, and a fraud detector that uses them. */
export default defineConfig({ schedules: { review: { workflow: 'review', cron: '0 5 * * *' } } });
