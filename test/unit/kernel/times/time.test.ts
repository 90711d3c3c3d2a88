import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isoTime } from '#kernel/time';

test('times are written as toISOString writes them', () => {
  fc.assert(
    fc.property(fc.integer({ min: -1e13, max: 4e13 }), fc.integer({ min: -9e7, max: 9e7 }), (time, apart) => {
      expect(isoTime(time)).toBe(new Date(time).toISOString());
      expect(isoTime(time + apart)).toBe(new Date(time + apart).toISOString());
    }),
    { numRuns: 2_000 },
  );
});
