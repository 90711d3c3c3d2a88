import { parseUtcTime } from '#kernel/times/utc_time';
import { UsageError } from './usage_error.ts';

/** Returns a time given on the command line, ms; without a zone it is UTC; undefined when none was. @throws {@link UsageError} naming the option */
export function timeOption(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timeMs = parseUtcTime(text);
  if (timeMs === undefined) throw new UsageError(`${option} is a time such as 2026-11-21T08:00:00Z, not "${text}"`);
  return timeMs;
}
