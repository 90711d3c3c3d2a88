import { defineConfig } from 'headwater';

/** A shop: what users do, what they are worth and what to recommend them. */
export default defineConfig({ schedules: { value: { workflow: 'value', cron: '0 2 * * *' } } });
