import {
  count,
  entity,
  envelope,
  eventSource,
  expression,
  featureView,
  field,
  id,
  max,
  mean,
  min,
  numberOr0,
  sincePrevious,
  stddev,
} from 'headwater/features';
import { z } from 'zod';

/** One measurement of a machine, a network link, a price feed. */
export const sensorReadingSchema = z.strictObject({
  ...envelope,
  event_type: z.literal('sensor_reading'),
  sensor_id: id,
  metric: z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, 'must be a name such as temperature'),
  value: z.number(),
});

/** A sensor may measure several things. */
export const sensor = entity('sensor', ['sensor_id', 'metric']);

export const sensorReadings = eventSource({
  name: 'sensor_readings',
  eventTypes: ['sensor_reading'],
  schema: sensorReadingSchema,
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

/** With fewer readings than this, nothing can be said of what is normal. */
const FEWEST_READINGS = 12;
const ANOMALOUS_Z = 3;

/** Rolling mean and spread of a sensor, and how far off its newest reading is. */
export const sensorView = featureView({
  name: 'sensor',
  version: 1,
  entity: sensor,
  source: sensorReadings,
  ttl: '7d',
  owner: 'operations',
  description: 'What is normal for a sensor, and how far off its newest reading is',
  features: {
    value: field('value', 'double', 'The reading'),
    change: sincePrevious('double', 'Difference to the previous reading; null for the first', (event, _, previous) =>
      previous === undefined ? null : Number(event.value) - Number(previous.event.value),
    ),
    ...count({ as: 'readings', what: 'Readings' }).over('1h', '24h'),
    ...mean('value').over('1h', '24h'),
    ...stddev('value').over('1h', '24h'),
    ...min('value').over('24h'),
    ...max('value').over('24h'),
    z_score: expression(
      ['value', 'mean_value_24h', 'stddev_value_24h'],
      'double',
      'Standard deviations between the reading and the mean of 24 hours; 0 when all readings are equal',
      (row) => {
        const deviation = numberOr0(row.stddev_value_24h);
        return deviation === 0 ? 0 : (numberOr0(row.value) - numberOr0(row.mean_value_24h)) / deviation;
      },
      { uses: { numberOr0 } },
    ),
    is_anomaly: expression(
      ['z_score', 'readings_24h'],
      'boolean',
      `Whether the reading is more than ${ANOMALOUS_Z} standard deviations off, with ${FEWEST_READINGS} readings or more`,
      (row) => numberOr0(row.readings_24h) >= FEWEST_READINGS && Math.abs(numberOr0(row.z_score)) > ANOMALOUS_Z,
      { uses: { numberOr0, FEWEST_READINGS, ANOMALOUS_Z } },
    ),
  },
});
