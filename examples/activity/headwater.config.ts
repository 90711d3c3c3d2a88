import { defineConfig } from 'headwater';

/** A shop: what users do, what they are worth, what to recommend them, and who is about to leave. */
export default defineConfig({
  schedules: { value: { workflow: 'value', cron: '0 2 * * *' }, churn: { workflow: 'churn', cron: '30 2 * * *' } },
});
