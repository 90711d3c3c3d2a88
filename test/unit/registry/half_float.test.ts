import { expect, test } from '@jest/globals';
import { halfBits, halfValue } from '#registry/graphs/half_float';

test('every FP16 value comes back with its bits', () => {
  for (let bits = 0; bits < 2 ** 16; bits += 1) {
    const value = halfValue(bits);
    if (Number.isNaN(value)) expect(Number.isNaN(halfValue(halfBits(value)))).toBe(true);
    else expect(halfBits(value)).toBe(bits);
  }
});

test('numbers become the nearest value, ties to even', () => {
  // Oracle: of all values the nearest, and of two the one whose last bit is 0.
  const finite = Array.from({ length: 0x7c00 }, (_, bits) => halfValue(bits));
  const nearest = (value: number): number => {
    let best = 0;
    for (let bits = 1; bits < finite.length; bits += 1) {
      const [was, is] = [Math.abs(value - (finite[best] as number)), Math.abs(value - (finite[bits] as number))];
      if (is < was || (is === was && bits % 2 === 0)) best = bits;
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
      expect(halfBits(value)).toBe(nearest(value));
      expect(halfBits(-value)).toBe(nearest(value) | 0x8000);
    }
  }
  expect([65_519, 65_520, -65_520, Number.POSITIVE_INFINITY].map(halfBits)).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00]);
  expect(Object.is(halfValue(halfBits(-0)), -0)).toBe(true);
});
