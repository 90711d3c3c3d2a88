/** Milliseconds since the Unix epoch, as stamped on an element. */
export type EventTime = number & { readonly __brand: 'EventTime' };
/** Milliseconds since the Unix epoch, as read from a {@link Clock}. */
export type ProcessingTime = number & { readonly __brand: 'ProcessingTime' };

export const eventTime = (millis: number): EventTime => millis as EventTime;
export const processingTime = (millis: number): ProcessingTime => millis as ProcessingTime;

/** Beam's infinities are ±9223372036854775 ms, past 2^53: the timestamp coder maps them by hand. */
export const MAX_EVENT_TIME = eventTime(Number.MAX_SAFE_INTEGER);
export const MIN_EVENT_TIME = eventTime(Number.MIN_SAFE_INTEGER);

export interface Clock {
  now(): ProcessingTime;
}

export const systemClock: Clock = { now: () => Date.now() as ProcessingTime };

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
