import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseUtcTime } from '#kernel/times/utc_time';

const NOON = Date.UTC(2026, 6, 1, 12);
const TEXTS = [
  ...[
    '2026-07-01T12:00:00',
    '2026-07-01 12:00:00',
    '2026-07-01T12:00',
    '2026-07-01 12:00:00+00',
    '2026-07-01T14:00:00+02:00',
  ],
  ...['2026-07-01 14:00:00+02', '2026-07-01 07:00:00-0500', '2026-07-01T12:00:00.000999', '2026-07-01t12:00:00z'],
];

test.each(TEXTS)('"%s" is noon of UTC', (text) => {
  expect(parseUtcTime(text)).toBe(NOON);
});

test('a time is never rounded into the future', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999 }), (micros) => {
      const text = `2026-07-01T12:00:00.${String(micros).padStart(6, '0')}`;
      expect(parseUtcTime(text)).toBe(NOON + Math.floor(micros / 1_000));
    }),
  );
});

test.each(['yesterday', '', '2026-07', '2026-13-01', '2026-02-30', '12:00', '2026-07-01T25:00:00'])(
  '"%s" is no time',
  (text) => {
    expect(parseUtcTime(text)).toBeUndefined();
  },
);
