import {
  count,
  distinct,
  entity,
  envelope,
  eventSource,
  expression,
  type FeatureValue,
  featureView,
  field,
  id,
  max,
  numberOr0,
  sum,
} from 'headwater/features';
import { z } from 'zod';

/** A connection of a host to a peer, as a switch reports it when it ends. */
export const flows = eventSource({
  name: 'flows',
  eventTypes: ['flow'],
  schema: z.strictObject({
    ...envelope,
    event_type: z.literal('flow'),
    host: id,
    peer: id,
    port: z.int().min(1).max(65_535),
    bytes: z.number().nonnegative(),
  }),
  schemaVersion: 1,
  eventIdField: 'event_id',
  timestampField: 'timestamp',
});

/** Sizes are of all magnitudes: a forest that divides them evenly would call each large one an anomaly. Without a flow there is no size: 0 would be one, far from all others. */
const logOf = (column: string, description: string) =>
  expression(
    [column],
    'double',
    description,
    (row: Readonly<Record<string, FeatureValue>>) => {
      const bytes = numberOr0(row[column]);
      return bytes > 0 ? Math.log10(bytes) : null;
    },
    { uses: { numberOr0, column } },
  );

/** What a host has sent in the last ten minutes, and to how many. */
export const hostTraffic = featureView({
  name: 'host_traffic',
  version: 1,
  entity: entity('host', ['host']),
  source: flows,
  ttl: '7d',
  owner: 'security',
  description: 'Flows of a host: how many, to whom, and of what size',
  contract: { freshWithin: '1h', mostMissing: { port: 0 } },
  features: {
    port: field('port', 'long', 'Port of the newest flow'),
    ...count({ as: 'flows', what: 'Flows' }).over('10m'),
    ...sum('bytes').over('10m'),
    ...max('bytes').over('10m'),
    ...distinct('port').over('10m'),
    ...distinct('peer').over('10m'),
    log_bytes: logOf('sum_bytes_10m', 'Bytes of ten minutes, their decimal logarithm'),
    log_largest: logOf('max_bytes_10m', 'Bytes of the largest flow of ten minutes, their decimal logarithm'),
  },
});
