import {
  count,
  entity,
  envelope,
  eventSource,
  expression,
  type FeatureValue,
  featureView,
  field,
  id,
  mean,
  numberOr0,
  oneOf,
  variance,
} from 'headwater/features';
import { z } from 'zod';
import { deviationOfNewest } from './without_newest.ts';

export const readings = eventSource({
  name: 'readings',
  eventTypes: ['reading'],
  schema: z.strictObject({
    ...envelope,
    event_type: z.literal('reading'),
    machine: id,
    metric: z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, 'must be a name such as temperature'),
    hour: z.string().regex(/^[01]\d$|^2[0-3]$/, 'must be an hour of the day such as 07'),
    value: z.number(),
  }),
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

type Row = Readonly<Record<string, FeatureValue>>;

/** So far off a reading is an alarm, standard deviations. */
export const ALARM_Z = 4.5;
/** Readings of the same hour on earlier days, before anything is said. */
const FEWEST = 20;

const ofHour = (row: Row) =>
  deviationOfNewest(row.value, row.readings_14d, row.mean_value_14d, row.variance_value_14d, FEWEST);
/** A reading beside those of the same machine, metric and hour of the day. */
export const seasonalReading = featureView({
  name: 'seasonal_reading',
  version: 1,
  entity: entity('machine_hour', ['machine', 'metric', 'hour']),
  source: readings,
  ttl: '30d',
  owner: 'operations',
  description: 'How far a reading is from what the machine shows at this hour of the day',
  contract: { freshWithin: '2h', mostMissing: { value: 0 }, mostViolations: 0.05 },
  // A day on which one reading in twenty is an alarm says more of sensors, or of their units, than of machines.
  rules: { is_usual: oneOf('is_alarm', [false], 'warn') },
  features: {
    value: field('value', 'double', 'The reading'),
    ...count({ as: 'readings', what: 'Readings of this hour' }).over('14d'),
    ...mean('value').over('14d'),
    ...variance('value').over('14d'),
    z_score: expression(
      ['value', 'readings_14d', 'mean_value_14d', 'variance_value_14d'],
      'double',
      'Standard deviations from the mean of earlier readings of this hour; 0 while there are few',
      (row) => ofHour(row)?.z ?? 0,
      { uses: { ofHour, deviationOfNewest, numberOr0, FEWEST } },
    ),
    is_alarm: expression(
      ['z_score'],
      'boolean',
      `Whether the reading is ${ALARM_Z} standard deviations off or more`,
      (row) => Math.abs(numberOr0(row.z_score)) >= ALARM_Z,
      { uses: { numberOr0, ALARM_Z } },
    ),
    cause: expression(
      ['value', 'readings_14d', 'mean_value_14d', 'variance_value_14d', 'is_alarm'],
      'string',
      'What an alarm is about; empty without one',
      (row) => {
        const off = ofHour(row);
        if (row.is_alarm !== true || off === undefined) return '';
        const side = off.z > 0 ? 'above' : 'below';
        return `${numberOr0(row.value).toFixed(1)} is ${Math.abs(off.z).toFixed(1)} deviations ${side} ${off.usual.toFixed(1)}: usual at this hour`;
      },
      { uses: { ofHour, deviationOfNewest, numberOr0, FEWEST } },
    ),
  },
});
