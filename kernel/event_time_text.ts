import { parseRfc3339 } from './rfc3339.ts';
import { DAY_MS, MINUTE_MS } from './time.ts';

/** Clocks of honest producers differ by less. */
export const LARGEST_CLOCK_SKEW_MS = 5 * MINUTE_MS;
const EXAMPLE = '2026-01-31T12:00:00Z';
/** Older events belong to a back-fill, not to the stream. */
export const OLDEST_EVENT_MS = 365 * DAY_MS;

/**
 * The event time written in `text`, or what is wrong with it.
 *
 * @param isHistory - it may be as old as it likes
 */
export function readEventTime(
  text: string,
  nowMs: number,
  isHistory = false,
): { readonly timeMs: number } | { readonly problem: string } {
  const timeMs = parseRfc3339(text);
  if (timeMs === undefined) return { problem: `"${text.slice(0, 100)}" is not a time of RFC 3339 such as ${EXAMPLE}` };
  if (timeMs > nowMs + LARGEST_CLOCK_SKEW_MS)
    return { problem: `${text} is in the future: an event may be 5 minutes ahead of the server's clock at most` };
  if (!isHistory && timeMs < nowMs - OLDEST_EVENT_MS)
    return { problem: `${text} is more than a year ago: load history with a back-fill` };
  return { timeMs };
}
