import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseRfc3339 } from '#kernel/times/rfc3339';

const at = (text: string): string | undefined => {
  const timeMs = parseRfc3339(text);
  return timeMs === undefined ? undefined : new Date(timeMs).toISOString();
};

test.each([
  // The examples of RFC 3339, section 5.8.
  ['1985-04-12T23:20:50.52Z', '1985-04-12T23:20:50.520Z'],
  ['1996-12-19T16:39:57-08:00', '1996-12-20T00:39:57.000Z'],
  ['1990-12-31T23:59:60Z', '1990-12-31T23:59:59.999Z'],
  ['1990-12-31T15:59:60-08:00', '1990-12-31T23:59:59.999Z'],
  ['1937-01-01T12:00:27.87+00:20', '1937-01-01T11:40:27.870Z'],
  ['2026-01-31t12:00:00z', '2026-01-31T12:00:00.000Z'],
  ['2026-01-31T12:00:00-00:00', '2026-01-31T12:00:00.000Z'],
  ['2026-01-31T12:00:00.123999999Z', '2026-01-31T12:00:00.123Z'],
  ['2026-01-31T12:00:00.9999999Z', '2026-01-31T12:00:00.999Z'],
  ['2026-01-31T23:59:59+23:59', '2026-01-31T00:00:59.000Z'],
  ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
  ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
  ['0000-03-01T00:00:00Z', '0000-03-01T00:00:00.000Z'],
])('%s is %s', (text, expected) => expect(at(text)).toBe(expected));

test.each([
  ...['', 'yesterday', '2026', '2026-01-31', '2026-01-31T12:00:00', '2026-01-31 12:00:00Z', '2026-01-31T12:00Z'],
  ...['2026-02-29T00:00:00Z', '2026-13-01T00:00:00Z', '2026-00-01T00:00:00Z', '2026-01-00T00:00:00Z'],
  ...['2026-01-31T24:00:00Z', '2026-01-31T12:60:00Z', '2026-01-31T12:00:61Z', '2026-01-31T12:00:60Z'],
  ...['2026-01-31T12:00:00.Z', '2026-01-31T12:00:00+24:00', '2026-01-31T12:00:00+0100', '2026-01-31T12:00:00+01'],
  ...['2026-1-31T12:00:00Z', '+002026-01-31T12:00:00Z', ' 2026-01-31T12:00:00Z', '2026-01-31T12:00:00Z\n'],
  ...['２０26-01-31T12:00:00Z'],
])('%j is no time of RFC 3339', (text) => expect(parseRfc3339(text)).toBeUndefined());

test('any time, offset and number of digits: the same as by arithmetic on whole minutes', () => {
  const form = fc.record({
    timeMs: fc.integer({ min: Date.UTC(1000, 0, 2), max: Date.UTC(9998, 11, 30) }),
    offset: fc.integer({ min: -1_439, max: 1_439 }),
    more: fc.stringMatching(/^[0-9]{0,9}$/),
    letters: fc.constantFrom('TZ', 'tz', 'Tz', 'tZ'),
  });
  fc.assert(
    fc.property(form, ({ timeMs, offset, more, letters }) => {
      const local = new Date(timeMs + offset * 60_000).toISOString().slice(0, -1) + more;
      const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0');
      const zone =
        offset === 0
          ? (letters[1] as string)
          : `${offset < 0 ? '-' : '+'}${hours}:${String(Math.abs(offset) % 60).padStart(2, '0')}`;
      expect(parseRfc3339(local.replace('T', letters[0] as string) + zone)).toBe(timeMs);
    }),
    { numRuns: 3_000 },
  );
});
