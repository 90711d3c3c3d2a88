import { type EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import { InvalidTimeError } from '../errors.ts';

/** Event time at which nothing is held and nothing may be put out: that of a timer with `noOutputTimestamp`. */
export const NO_OUTPUT_TIMESTAMP = Number.POSITIVE_INFINITY as EventTime;

/** @throws {@link InvalidTimeError} for a timestamp that is no whole millisecond within ±2^53 */
export function checkTimestamp(timestamp: unknown): void {
  if (!Number.isSafeInteger(timestamp)) {
    throw new InvalidTimeError(
      `an output has the timestamp ${shown(timestamp)}: give whole milliseconds since 1970, as a number`,
    );
  }
}

/** @throws {@link InvalidTimeError} for a timestamp that is none, or that is earlier than its input by more than is allowed */
export function checkOutput(timestamp: number, input: number, allowedSkewMs: number): void {
  if (timestamp === NO_OUTPUT_TIMESTAMP) {
    throw new InvalidTimeError(
      'an output of a timer that was set with noOutputTimestamp: set the timer without it, or with an outputTimestamp',
    );
  }
  checkTimestamp(timestamp);
  if (timestamp < input - allowedSkewMs) {
    throw new InvalidTimeError(
      `an output has the timestamp ${timestamp}, which is earlier than that of its input, ${input}, by more than the allowed ${allowedSkewMs} ms: it could be late and be dropped. Output it with a timestamp from ${input - allowedSkewMs} on, or set allowedTimestampSkewMs of the DoFn`,
    );
  }
}

/** Returns a watermark within event time; a source may be ahead of or behind it. @throws {@link InvalidTimeError} for what is no number */
export function checkedWatermark(to: unknown): EventTime {
  if (typeof to !== 'number' || Number.isNaN(to)) {
    throw new InvalidTimeError(`a watermark is ${shown(to)}: give milliseconds since 1970, as a number`);
  }
  return Math.floor(Math.min(Math.max(to, MIN_EVENT_TIME), MAX_EVENT_TIME)) as EventTime;
}

/** @throws {@link InvalidTimeError} for a delay that is no number of milliseconds from 0 on */
export function checkDelay(what: string, delayMs: unknown): void {
  if (typeof delayMs !== 'number' || !(delayMs >= 0 && delayMs < Number.POSITIVE_INFINITY)) {
    throw new InvalidTimeError(`${what} is ${shown(delayMs)}: give milliseconds from 0 on`);
  }
}

/** Returns the wait before a restriction is resumed; at once where that is over. @throws {@link InvalidTimeError} for what is no number */
export function checkedResume(delayMs: unknown): number {
  if (typeof delayMs !== 'number' || Number.isNaN(delayMs) || delayMs === Number.POSITIVE_INFINITY) {
    throw new InvalidTimeError(`resumeAfter is called with ${shown(delayMs)}: give milliseconds`);
  }
  return Math.max(0, delayMs);
}

export const shown = (value: unknown): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));
