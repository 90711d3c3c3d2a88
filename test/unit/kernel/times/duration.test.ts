import { expect, test } from '@jest/globals';
import { type Duration, durationMs, tryParseDuration } from '#kernel/times/duration';

test.each([
  ['250ms', 250],
  ['30s', 30_000],
  ['1.5m', 90_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
] as const)('%s is %d ms', (text, want) => {
  expect(durationMs(text)).toBe(want);
});

test.each(['', '5', 'h', '5 m', '-1s', '1w'])('"%s" is not a duration', (text) => {
  expect(tryParseDuration(text)).toBeUndefined();
  expect(() => durationMs(text as Duration)).toThrow(/is not a duration: write/);
});
