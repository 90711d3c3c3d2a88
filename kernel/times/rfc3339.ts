import { DAY_MS, MINUTE_MS } from '../time.ts';

const USUAL = '0000-00-00T00:00:00.000Z';
const USUAL_LENGTH = USUAL.length;
const ZERO = 0x30;
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
  return text.length === USUAL_LENGTH ? (parseUsual(text) ?? parseAny(text)) : parseAny(text);
}

/** The form that most clients send, without an expression. @returns undefined for others */
function parseUsual(text: string): number | undefined {
  for (let at = 0; at < USUAL_LENGTH; at += 1) {
    const code = text.charCodeAt(at);
    const wanted = USUAL.charCodeAt(at);
    if (wanted === ZERO ? code < ZERO || code > ZERO + 9 : code !== wanted) return undefined;
  }
  const [year, month, day] = [100 * two(text, 0) + two(text, 2), two(text, 5), two(text, 8)];
  const [hour, minute, second] = [two(text, 11), two(text, 14), two(text, 17)];
  const isOther = year < 100 || month < 1 || month > 12 || day < 1 || day > daysOf(year, month) || second > 59;
  if (isOther || hour > 23 || minute > 59) return undefined;
  return Date.UTC(year, month - 1, day, hour, minute, second, 10 * two(text, 20) + text.charCodeAt(22) - ZERO);
}

const two = (text: string, at: number): number => 10 * text.charCodeAt(at) + text.charCodeAt(at + 1) - 11 * ZERO;

function parseAny(text: string): number | undefined {
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
