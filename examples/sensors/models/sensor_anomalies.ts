import { defineModel } from 'headwater';
import { sensorView } from '../features/sensors.ts';

export const sensorAnomalies = defineModel({
  name: 'sensor_anomalies',
  service: sensorView,
  labels: { each: 'row' },
  training: {
    trainer: 'isolation_forest',
    columns: ['value', 'change', 'mean_value_1h', 'stddev_value_1h', 'z_score'],
    slices: ['entity_key'],
  },
  serve: false,
});
