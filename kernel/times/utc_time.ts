import { parseRfc3339 } from './rfc3339.ts';

const DATE = /^\d{4}-\d\d-\d\d$/;
const WITHOUT_ZONE = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?$/;
const WITH_ZONE = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*([Zz]|[+-]\d\d:?\d\d|[+-]\d\d)$/;

/**
 * Reads a time as people, files and databases write it: RFC 3339, with a space for the `T`, an offset without its colon or its minutes, or without a zone, which means UTC whatever zone the machine is in; a date
 * alone is its first moment. Digits after milliseconds are cut off, so that a time never moves into the future.
 *
 * @returns milliseconds since the epoch; undefined for what is no time
 */
export function parseUtcTime(text: string): number | undefined {
  const known = parseRfc3339(text);
  if (known !== undefined) return known;
  if (DATE.test(text)) return parseRfc3339(`${text}T00:00:00Z`);
  const bare = WITHOUT_ZONE.exec(text);
  if (bare !== null) return parseRfc3339(`${bare[1]}T${bare[2]}${bare[3] ?? ':00'}Z`);
  const [, date, time = '', zone = ''] = WITH_ZONE.exec(text) ?? [];
  if (date === undefined) return undefined;
  return parseRfc3339(`${date}T${time.length === 'hh:mm'.length ? `${time}:00` : time}${zoneOf(zone)}`);
}

/** Returns what a time or date without a zone shows, as milliseconds since 1970 of the same time in UTC; undefined for others. */
export function utcOfLocalText(text: string): number | undefined {
  return DATE.test(text) || WITHOUT_ZONE.test(text) ? parseUtcTime(text) : undefined;
}

/** As PostgreSQL and polars write it: `+00`, `+0000`. */
function zoneOf(text: string): string {
  if (text.length === 3) return `${text}:00`;
  return text.length === 5 ? `${text.slice(0, 3)}:${text.slice(3)}` : text;
}
