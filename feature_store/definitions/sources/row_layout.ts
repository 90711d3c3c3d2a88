import { TIME_UNITS, type TimeUnit } from '#kernel/times/time_forms';
import { timePattern } from '#kernel/times/time_pattern';
import { isTimeZone } from '#kernel/times/time_zone';

/** How files and tables of a history are laid out, where they are not as events are posted. */
export interface RowLayout {
  /**
   * Fields of the event with the columns they are read from, where these have other names: `{ user_id: 'customer', amount: 'payment.total' }`, with points for columns inside of others. Columns that are
   * no field of the schema are left out then.
   */
  readonly columns?: Readonly<Record<string, string>>;
  /** Columns that identify an event together: its id is made of their values, where rows have none. */
  readonly id?: readonly [string, ...string[]];
  readonly time?: TimeLayout;
}

export interface TimeLayout {
  /** A number since 1970 in a unit, or a pattern of strptime such as `%d.%m.%Y %H:%M`; by default RFC 3339 and what is like it, dates and timestamps. */
  readonly format?: TimeUnit | (string & {});
  /** Of times that have none, such as `Europe/Berlin`; default: UTC. */
  readonly zone?: string;
}

/** The unit of a format; undefined for patterns. */
export const unitOf = (format: string | undefined): TimeUnit | undefined => TIME_UNITS.find((unit) => unit === format);

/** Returns what is wrong with a layout. @param fields - of the source's schema */
export function layoutProblems({ columns, time = {} }: RowLayout, fields: readonly string[]): string[] {
  const { format, zone } = time;
  const problems: string[] = [];
  for (const field of Object.keys(columns ?? {})) {
    if (!fields.includes(field))
      problems.push(`history.columns names "${field}", which is no field of the schema; it has ${fields.join(', ')}`);
  }
  if (zone !== undefined && !isTimeZone(zone))
    problems.push(`history.time.zone "${zone}" is no time zone such as Europe/Berlin or UTC`);
  if (format === undefined || unitOf(format) !== undefined) return problems;
  const pattern = timePattern(format);
  if (typeof pattern === 'string') {
    problems.push(`history.time.format "${format}" is none of ${TIME_UNITS.join(', ')} and no pattern: ${pattern}`);
  }
  return problems;
}
