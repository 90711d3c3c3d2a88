import { parseRfc3339 } from '#kernel/times/rfc3339';

// Exact timestamps as text: a canonical one is in UTC and has six digits of a second, so that they sort as strings.

const FRACTION = /\.(\d+)/;
const MICROS = 1_000n;
/** 0001-01-01T00:00:00.000000Z and 9999-12-31T23:59:59.999999Z. */
const FIRST_MS = -62_135_596_800_000;
const LAST_MS = 253_402_300_799_999;

/** Returns the canonical text of a time of RFC 3339; what is wrong with it where it is none, or is finer than a microsecond. */
export function timestampText(text: string): { readonly timestamp: string } | { readonly problem: string } {
  const ms = text.length <= 64 ? parseRfc3339(text) : undefined;
  if (ms === undefined) return { problem: 'is no time of RFC 3339, such as 2026-11-28T12:00:00.000001Z' };
  const digits = FRACTION.exec(text)?.[1] ?? '';
  if (/[1-9]/.test(digits.slice(6))) return { problem: 'is finer than a microsecond' };
  // Within a leap second the parts of a second are those of its last millisecond.
  const isLeap = text.slice(17, 19) === '60';
  return fromParts(ms, isLeap ? '999' : digits.slice(3, 6).padEnd(3, '0'));
}

/** Returns the canonical text of milliseconds since 1970. */
export const timestampOfMs = (ms: number): ReturnType<typeof timestampText> =>
  Number.isInteger(ms) ? fromParts(ms, '000') : { problem: 'is no time' };

function fromParts(ms: number, micros: string): ReturnType<typeof timestampText> {
  if (ms < FIRST_MS || ms > LAST_MS) return { problem: 'is not within the years 1 to 9999' };
  return { timestamp: `${new Date(ms).toISOString().slice(0, -1)}${micros}Z` };
}

/** Returns microseconds since 1970 of a canonical text. */
export const microsOf = (timestamp: string): bigint =>
  BigInt(Date.parse(`${timestamp.slice(0, 23)}Z`)) * MICROS + BigInt(timestamp.slice(23, 26));

/** Returns the canonical text of microseconds since 1970. */
export function timestampOfMicros(micros: bigint): ReturnType<typeof timestampText> {
  const rest = ((micros % MICROS) + MICROS) % MICROS;
  return fromParts(Number((micros - rest) / MICROS), String(rest).padStart(3, '0'));
}
