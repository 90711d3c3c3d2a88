import { DAY_MS, MINUTE_MS } from './time.ts';

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const GREGORIAN_CYCLE_YEARS = 400;
const GREGORIAN_CYCLE_MS = 146_097 * DAY_MS;
const FORM = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/**
 * Reads a time as RFC 3339 writes it: lower-case `t` and `z`, any offset, `-00:00`, any number of digits of a second. Digits after the third are cut off:
 * a time is never rounded into the next millisecond. The leap second 23:59:60 UTC reads as the last millisecond before it ends, 23:59:59.999,
 * so that it stays within its day.
 *
 * @returns milliseconds since the epoch; undefined for what is not a time of RFC 3339
 */
export function parseRfc3339(text: string): number | undefined {
  const parts = FORM.exec(text);
  if (parts === null) return undefined;
  const [, , , , , , , fraction, sign, offsetHour, offsetMinute] = parts;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as unknown as Six;
  if (month < 1 || month > 12 || day < 1 || day > daysOf(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  let offsetMinutes = 0;
  if (sign !== undefined) {
    if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined;
    offsetMinutes = (Number(offsetHour) * 60 + Number(offsetMinute)) * (sign === '-' ? -1 : 1);
  }
  const isLeap = second === 60;
  const millis = isLeap ? 999 : fraction === undefined ? 0 : Number(fraction.slice(0, 3).padEnd(3, '0'));
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  const shifted = Date.UTC(year + GREGORIAN_CYCLE_YEARS, month - 1, day, hour, minute, isLeap ? 59 : second, millis);
  const timeMs = shifted - GREGORIAN_CYCLE_MS - offsetMinutes * MINUTE_MS;
  // Leap seconds are inserted at the end of a UTC day only.
  return isLeap && (timeMs + 1) % DAY_MS !== 0 ? undefined : timeMs;
}

type Six = readonly [number, number, number, number, number, number];

const daysOf = (year: number, month: number): number =>
  month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : (DAYS[month - 1] as number);
