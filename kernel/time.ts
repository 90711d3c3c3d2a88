/** Milliseconds since the Unix epoch, as stamped on an element. */
export type EventTime = number & { readonly __brand: 'EventTime' };
/** Milliseconds since the Unix epoch, as read from a {@link Clock}. */
export type ProcessingTime = number & { readonly __brand: 'ProcessingTime' };

/** Brands a number of milliseconds since the Unix epoch as event time. */
export const eventTime = (millis: number): EventTime => millis as EventTime;
export const processingTime = (millis: number): ProcessingTime => millis as ProcessingTime;

/** Beam's infinities are ±9223372036854775 ms, past 2^53: the timestamp coder maps them by hand. */
export const MAX_EVENT_TIME = eventTime(Number.MAX_SAFE_INTEGER);
export const MIN_EVENT_TIME = eventTime(Number.MIN_SAFE_INTEGER);

/** Where the current time comes from, so that tests decide it. */
export interface Clock {
  now(): ProcessingTime;
}

/** Reads the machine's clock. */
export const systemClock: Clock = { now: () => Date.now() as ProcessingTime };

/** Milliseconds of a second. */
export const SECOND_MS = 1_000;
/** Milliseconds of a minute. */
export const MINUTE_MS = 60_000;
/** Milliseconds of an hour. */
export const HOUR_MS = 3_600_000;
/** Milliseconds of a day of 24 hours. */
export const DAY_MS = 86_400_000;

const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));
let lastDay = Number.NaN;
let lastDate = '';

/** What `toISOString` gives, ten times as fast for times of one day. @param timeMs - whole milliseconds */
export function isoTime(timeMs: number): string {
  const day = Math.floor(timeMs / DAY_MS);
  if (day !== lastDay) {
    lastDate = new Date(day * DAY_MS).toISOString().slice(0, -'00:00:00.000Z'.length);
    lastDay = day;
  }
  const ofDay = timeMs - day * DAY_MS;
  const hours = TWO_DIGITS[Math.floor(ofDay / HOUR_MS)];
  const minutes = TWO_DIGITS[Math.floor(ofDay / MINUTE_MS) % 60];
  const seconds = TWO_DIGITS[Math.floor(ofDay / SECOND_MS) % 60];
  const millis = ofDay % SECOND_MS;
  return `${lastDate}${hours}:${minutes}:${seconds}.${millis < 100 ? '0' : ''}${TWO_DIGITS[millis] ?? millis}Z`;
}
