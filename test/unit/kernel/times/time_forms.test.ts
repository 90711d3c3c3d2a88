import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { UnreadableValue } from '#kernel/text/unstorable_text';
import { millisOfNumber, TIME_UNITS, timeOfNumber } from '#kernel/times/time_forms';
import { timePattern } from '#kernel/times/time_pattern';
import { instantOf, zoneOffsetMs } from '#kernel/times/time_zone';

// Times as files have them: numbers in units, forms of their own, clocks of zones.

const NANOS_OF = { s: 1_000_000_000n, ms: 1_000_000n, us: 1_000n, ns: 1n } as const;
const FIRST = Date.UTC(1900, 0, 1);
const LAST = Date.UTC(2200, 0, 1);

test('numbers of a unit are cut to the millisecond they lie in, also before 1970, as numbers, bigints and digits', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...TIME_UNITS),
      fc.bigInt({ min: BigInt(FIRST) * 1_000_000n, max: BigInt(LAST) * 1_000_000n }),
      (unit, nanos) => {
        const value = nanos / NANOS_OF[unit];
        const exact = value * NANOS_OF[unit];
        // The oracle: the largest millisecond that is not after it.
        let expected = exact / 1_000_000n;
        if (expected * 1_000_000n > exact) expected -= 1n;
        expect(millisOfNumber(value, unit)).toBe(Number(expected));
        expect(millisOfNumber(String(value), unit)).toBe(Number(expected));
        if (Number.isSafeInteger(Number(value))) expect(millisOfNumber(Number(value), unit)).toBe(Number(expected));
      },
    ),
    { numRuns: 1_000 },
  );
});

test.each([
  ['1700000000.123456', 's', 1_700_000_000_123],
  ['-0.0005', 's', -1],
  ['1.7e9', 's', 1_700_000_000_000],
  ['1.700000000123e+12', 'ms', 1_700_000_000_123],
  ['1700000000123.9999', 'ms', 1_700_000_000_123],
  [' 5 ', 's', 5_000],
] as const)('%s in %s', (text, unit, expected) => {
  expect(millisOfNumber(text, unit)).toBe(expected);
});

test.each([
  ['1700000000123', 's', /not within the years.*is it in milliseconds/],
  ['1700000000123456789', 'us', /is it in nanoseconds/],
  ['soon', 'ms', /is no number of milliseconds since 1970/],
  ['', 'ms', /is no number/],
  ['NaN', 's', /is no number of seconds/],
] as const)('%s in %s is refused', (text, unit, problem) => {
  const read = timeOfNumber(text, unit);
  expect(read).toBeInstanceOf(UnreadableValue);
  expect((read as UnreadableValue).problem).toMatch(problem);
});

const ZONES = [
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'America/St_Johns',
];

test('an instant is found again from what the clocks of its zone show: the first of two', () => {
  fc.assert(
    fc.property(fc.constantFrom(...ZONES), fc.integer({ min: FIRST / 1_000, max: LAST / 1_000 }), (zone, second) => {
      const instant = second * 1_000;
      const shown = instant + zoneOffsetMs(instant, zone);
      const found = instantOf(shown, zone);
      expect(typeof found).toBe('number');
      expect((found as number) + zoneOffsetMs(found as number, zone)).toBe(shown);
      expect(found as number).toBeLessThanOrEqual(instant);
    }),
    { numRuns: 2_000 },
  );
});

test('clocks set back show a time twice, the first counts; clocks set forward never show some, which are refused', () => {
  expect(instantOf(Date.UTC(2026, 9, 25, 2, 30), 'Europe/Berlin')).toBe(Date.UTC(2026, 9, 25, 0, 30));
  expect(instantOf(Date.UTC(2026, 2, 29, 2, 30), 'Europe/Berlin')).toMatch(/never show/);
  expect(instantOf(Date.UTC(2026, 2, 29, 3, 0), 'Europe/Berlin')).toBe(Date.UTC(2026, 2, 29, 1, 0));
});

const read = (pattern: string, text: string, zone = 'UTC') => {
  const reader = timePattern(pattern);
  return typeof reader === 'string' ? reader : reader(text, zone);
};

test('a time written in a form is read back, in every zone', () => {
  const two = (value: number): string => String(value).padStart(2, '0');
  fc.assert(
    fc.property(fc.integer({ min: FIRST, max: LAST }), fc.constantFrom('UTC', ...ZONES), (instant, zone) => {
      const shown = new Date(instant + zoneOffsetMs(instant, zone));
      const clock = `${two(shown.getUTCHours())}:${two(shown.getUTCMinutes())}:${two(shown.getUTCSeconds())}`;
      const day = `${two(shown.getUTCDate())}.${two(shown.getUTCMonth() + 1)}.${shown.getUTCFullYear()}`;
      const text = `${day} ${clock}.${String(shown.getUTCMilliseconds()).padStart(3, '0')}`;
      const found = read('%d.%m.%Y %H:%M:%S.%f', text, zone);
      expect((found as number) + zoneOffsetMs(found as number, zone)).toBe(shown.getTime());
    }),
    { numRuns: 1_000 },
  );
});

test.each([
  ['%m/%d/%y %I:%M %p', '1/2/26 12:05 AM', Date.UTC(2026, 0, 2, 0, 5)],
  ['%m/%d/%y %I:%M %p', '1/2/69 12:05 pm', Date.UTC(1969, 0, 2, 12, 5)],
  ['%d %B %Y', '3 February 2026', Date.UTC(2026, 1, 3)],
  ['%d-%b-%Y', '03-feb-2026', Date.UTC(2026, 1, 3)],
  ['%Y%m%dT%H%M%S%z', '20260203T040506+0530', Date.UTC(2026, 1, 2, 22, 35, 6)],
  ['%Y-%m-%d %H:%M:%S.%f', '2026-02-03 00:00:00.1', Date.UTC(2026, 1, 3, 0, 0, 0, 100)],
  ['%Y-%m-%d at 100%%', '2026-02-03 at 100%', Date.UTC(2026, 1, 3)],
])('%s reads %s', (pattern, text, expected) => {
  expect(read(pattern, text)).toBe(expected);
});

test.each([
  ['%d.%m.%Y', '31.02.2026', /is no time of the form/],
  ['%d.%m.%Y', '2026-02-03', /is no time of the form/],
  ['%d.%m.%Y %I %p', '01.02.2026 13 PM', /is no time of the form/],
  ['%d.%m', '01.02', /needs a year, a month and a day/],
  ['%Y-%m-%d %Q', '', /"%Q" is no directive/],
  ['%Y-%m-%d %I', '', /belong together/],
  ['%Y %y-%m-%d %Y', '', /repeats/],
])('%s with %s is refused', (pattern, text, problem) => {
  expect(read(pattern, text)).toMatch(problem);
});
