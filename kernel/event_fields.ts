import { derivedId } from './hashes/derived_id.ts';
import { textOf } from './text/text_of.ts';
import { EXAMPLE_TIME, readEventTime } from './times/event_time_text.ts';
import { millisOfNumber, numberOfMillis, type TimeUnit } from './times/time_forms.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Where an event has its id and its time, and how they are written. */
export interface EventFieldNames {
  readonly eventIdField: string;
  /** Fields that an id is made of, where an event has none. */
  readonly idFields?: readonly string[] | undefined;
  readonly timestampField: string;
  /** Of times that are numbers since 1970; undefined: they are strings of RFC 3339. */
  readonly timestampUnit?: TimeUnit | undefined;
}

/** Returns an event with its id: the one it has, or one made of its fields. The same fields give the same id, in the stream and in history. */
export function withEventId<T extends Fields>(event: T, { eventIdField, idFields }: EventFieldNames): T {
  if (idFields === undefined || event[eventIdField] !== undefined) return event;
  return { ...event, [eventIdField]: derivedId(idFields.map((name) => event[name])) };
}

/** Returns what an event lacks that it cannot be counted without: its id, or its time. A schema may have them optional. */
export function missingFieldsOf(
  event: Fields,
  { eventIdField, timestampField }: EventFieldNames,
): readonly { readonly field: string; readonly problem: string }[] {
  const missing = [eventIdField, timestampField].filter((field) => event[field] === undefined || event[field] === null);
  if (event[eventIdField] === '') missing.push(eventIdField);
  return missing.length === 0 ? NOTHING : missing.map((field) => ({ field, problem: 'is required' }));
}

const NOTHING: readonly never[] = [];

/** Returns the time of an event, or what is wrong with it, as {@link readEventTime} does. */
export function eventTimeOf(
  event: Fields,
  { timestampField, timestampUnit: unit }: EventFieldNames,
  nowMs: number,
  allowedLatenessMs = Number.POSITIVE_INFINITY,
): ReturnType<typeof readEventTime> {
  const value = event[timestampField];
  if (unit === undefined) return readEventTime(timeText(value), nowMs, allowedLatenessMs);
  const millis = millisOfNumber(textOf(value), unit);
  if (typeof millis === 'string') return { problem: `${textOf(value).slice(0, 100)} ${millis}` };
  return readEventTime(new Date(millis).toISOString(), nowMs, allowedLatenessMs);
}

/** A schema may have made a Date of the time. */
const timeText = (value: unknown): string =>
  value instanceof Date && Number.isFinite(value.getTime()) ? value.toISOString() : textOf(value);

/** Returns a time as the field of an event has it. @param like - a value of the field, which may be a string of digits */
export function timeFieldValue(
  timeMs: number,
  { timestampUnit: unit }: EventFieldNames,
  like?: unknown,
): number | string {
  if (unit === undefined) return new Date(timeMs).toISOString();
  const digits = numberOfMillis(timeMs, unit);
  return typeof like === 'string' ? digits : Number(digits);
}

/** A time for examples of documents. */
export const exampleTime = (names: EventFieldNames, like: unknown): number | string =>
  names.timestampUnit === undefined ? EXAMPLE_TIME : timeFieldValue(Date.parse(EXAMPLE_TIME), names, like);
