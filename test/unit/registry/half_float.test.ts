import { expect, test } from '@jest/globals';
import { halfBits, halfValue } from '#registry/graphs/half_float';

// Jest looks up a global such as Math slowly: not a hundred million times.
const { abs } = Math;

test('every FP16 value comes back with its bits', () => {
  const wrong: number[] = [];
  for (let bits = 0; bits < 2 ** 16; bits += 1) {
    const value = halfValue(bits);
    const isSame = Number.isNaN(value) ? Number.isNaN(halfValue(halfBits(value))) : halfBits(value) === bits;
    if (!isSame) wrong.push(bits);
  }
  expect(wrong).toEqual([]);
});

test('numbers become the nearest value, ties to even', () => {
  // Oracle: of all values the nearest, and of two the one whose last bit is 0.
  const finite = Float64Array.from({ length: 0x7c00 }, (_, bits) => halfValue(bits));
  const nearest = (value: number): number => {
    let best = 0;
    let was = abs(value - (finite[0] as number));
    for (let bits = 1; bits < finite.length; bits += 1) {
      const is = abs(value - (finite[bits] as number));
      if (is > was || (is === was && bits % 2 === 1)) continue;
      best = bits;
      was = is;
    }
    return best;
  };
  let seed = 1;
  for (let run = 0; run < 300; run += 1) {
    seed = (seed * 48_271) % 2_147_483_647;
    const bits = seed % 0x7bff;
    const [low, high] = [finite[bits] as number, finite[bits + 1] as number];
    for (const share of [0.1, 0.5, 0.9]) {
      const value = Math.fround(low + (high - low) * share);
      const expected = nearest(value);
      expect([halfBits(value), halfBits(-value)]).toEqual([expected, expected | 0x8000]);
    }
  }
  expect([65_519, 65_520, -65_520, Number.POSITIVE_INFINITY].map(halfBits)).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00]);
  expect(Object.is(halfValue(halfBits(-0)), -0)).toBe(true);
});
