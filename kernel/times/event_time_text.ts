import { DAY_MS, HOUR_MS, MINUTE_MS } from '../time.ts';
import { parseRfc3339 } from './rfc3339.ts';

/** Clocks of honest producers differ by less. */
export const LARGEST_CLOCK_SKEW_MS = 5 * MINUTE_MS;
/** Stands for the present in examples of documents; API documents show the present instead. */
export const EXAMPLE_TIME = '2026-01-31T12:00:00Z';

/**
 * Returns the event time written in `text`, or what is wrong with it.
 *
 * @param nowMs - when the event is received
 * @param allowedLatenessMs - how old it may be then
 */
export function readEventTime(
  text: string,
  nowMs: number,
  allowedLatenessMs = Number.POSITIVE_INFINITY,
): { readonly timeMs: number } | { readonly problem: string } {
  const timeMs = parseRfc3339(text);
  if (timeMs === undefined)
    return { problem: `"${text.slice(0, 100)}" is not a time of RFC 3339 such as ${EXAMPLE_TIME}` };
  if (timeMs > nowMs + LARGEST_CLOCK_SKEW_MS)
    return { problem: `${text} is in the future: an event may be 5 minutes ahead of the server's clock at most` };
  if (isLate(timeMs, nowMs, allowedLatenessMs))
    return { problem: latenessProblem(text, timeMs, nowMs, allowedLatenessMs) };
  return { timeMs };
}

/** Whether an event arrived too late to count: the one rule of gateway, stream and back-fill (docs/adr/0020). */
export const isLate = (timeMs: number, arrivedAtMs: number, allowedLatenessMs: number): boolean =>
  arrivedAtMs - timeMs > allowedLatenessMs;

/** Says how much too old an event was when it arrived, and what to do. @param text - its time */
export const latenessProblem = (text: string, timeMs: number, arrivedAtMs: number, allowedLatenessMs: number): string =>
  `${text} was ${ageText(arrivedAtMs - timeMs)} old when the event was received, and events may be ${ageText(allowedLatenessMs)} old (pipeline.allowedLatenessMs): load older ones with a back-fill`;

function ageText(ms: number): string {
  if (ms >= DAY_MS) return `${Number((ms / DAY_MS).toFixed(2))} days`;
  return ms >= HOUR_MS ? `${Number((ms / HOUR_MS).toFixed(2))} hours` : `${ms / 1_000} seconds`;
}
