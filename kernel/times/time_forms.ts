import { UnreadableValue } from '../text/unstorable_text.ts';

/** How times are written as numbers: seconds, milli-, micro- or nanoseconds since 1970. */
export const TIME_UNITS = ['s', 'ms', 'us', 'ns'] as const;
export type TimeUnit = (typeof TIME_UNITS)[number];

/** Digits of a second that a unit's integers have. */
const DIGITS: Readonly<Record<TimeUnit, number>> = { s: 0, ms: 3, us: 6, ns: 9 };
const NUMBER = /^([+-]?)(\d+)(?:\.(\d*))?$/;
const EXPONENT = /^([+-]?)(\d)(?:\.(\d*))?[eE]\+?(\d{1,3})$/;
const UNIT_NAMES: Readonly<Record<TimeUnit, string>> = {
  ...{ s: 'seconds', ms: 'milliseconds', us: 'microseconds', ns: 'nanoseconds' },
};
const FIRST_MS = -62_135_596_800_000n;
const END_MS = 253_402_300_800_000n;
const NANO_DIGITS = 9;

/**
 * Returns milliseconds since 1970 of a number in a unit. What is finer than a millisecond is cut off, also before 1970: a time never moves into the future.
 *
 * @param value - a number, a bigint, or a string of digits
 * @returns why it is none, to follow the value in a message
 */
export function millisOfNumber(value: number | bigint | string, unit: TimeUnit): number | string {
  const nanos = nanosOf(String(value).trim(), unit);
  if (nanos === undefined) return `is no number of ${UNIT_NAMES[unit]} since 1970`;
  const rest = ((nanos % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const millis = (nanos - rest) / 1_000_000n;
  if (millis < FIRST_MS || millis >= END_MS)
    return `is not within the years 1 to 9999 in ${UNIT_NAMES[unit]} since 1970: is it in ${likelyUnit(String(value))}?`;
  return Number(millis);
}

function nanosOf(text: string, unit: TimeUnit): bigint | undefined {
  const parts = NUMBER.exec(text) ?? NUMBER.exec(plainOf(text));
  if (parts === null) return undefined;
  const [, sign, integer = '', fraction = ''] = parts;
  const digits = NANO_DIGITS - DIGITS[unit];
  const kept = fraction.slice(0, digits).padEnd(digits, '0');
  const beyond = /[1-9]/.test(fraction.slice(digits));
  const size = BigInt(`${integer}${kept}`);
  if (sign !== '-') return size;
  return beyond ? -size - 1n : -size;
}

/** 1.7e12 as digits. */
function plainOf(text: string): string {
  const [, sign, first, fraction = '', exponent = ''] = EXPONENT.exec(text) ?? [];
  if (first === undefined) return '';
  const size = Number(exponent);
  const digits = `${first}${fraction}`;
  if (digits.length <= size + 1) return `${sign}${digits.padEnd(size + 1, '0')}`;
  return `${sign}${digits.slice(0, size + 1)}.${digits.slice(size + 1)}`;
}

/** Returns milliseconds since 1970 as digits in a unit; seconds are cut. */
export function numberOfMillis(millis: number, unit: TimeUnit): string {
  if (unit === 's') return String(Math.floor(millis / 1_000));
  return String(BigInt(Math.floor(millis)) * 10n ** BigInt(DIGITS[unit] - DIGITS.ms));
}

/** The unit in which so many digits are a time of about now. */
function likelyUnit(text: string): string {
  const digits = (/^[+-]?(\d+)/.exec(text)?.[1] ?? '').length;
  if (digits <= 11) return UNIT_NAMES.s;
  if (digits <= 14) return UNIT_NAMES.ms;
  return digits <= 17 ? UNIT_NAMES.us : UNIT_NAMES.ns;
}

/** Returns a time in a unit as text of RFC 3339; what it is instead where it is none. */
export function timeOfNumber(value: unknown, unit: TimeUnit): string | UnreadableValue {
  const isNumber = typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string';
  const millis = isNumber ? millisOfNumber(value, unit) : `is no number of ${UNIT_NAMES[unit]} since 1970`;
  if (typeof millis === 'number') return new Date(millis).toISOString();
  const shown = String(value).slice(0, 100);
  return new UnreadableValue(`holds ${shown}, which ${millis}`, shown);
}
