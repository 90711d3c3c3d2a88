import { UsageError } from './usage_error.ts';

/** A time given on the command line, ms; undefined when none was. @throws {@link UsageError} naming the option */
export function timeOption(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs)) throw new UsageError(`${option} is a time such as 2026-11-21T08:00:00Z, not "${text}"`);
  return timeMs;
}
