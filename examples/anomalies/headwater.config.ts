import { defineConfig } from 'headwater';
import { machines } from './machines.ts';

/** Anomalies, each with its cause: readings of machines over MQTT, flows of a network, prices of a market. */
export default defineConfig({
  plugins: { gateway: [machines(process.env.MQTT_URL ?? 'mqtt://localhost:1883')] },
  schedules: {
    alarms: { workflow: 'alarms', cron: '0 6 * * *' },
    forest: { workflow: 'retrain_forest', cron: '0 4 * * SUN' },
  },
});
