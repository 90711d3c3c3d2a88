import { expect, test } from '@jest/globals';
import { stableHash32 } from '#kernel/hashes/hash';

test('values are fixed for ever: partitions and experiment variants depend on them', () => {
  expect(['', 'a', 'acct_0001', 'é'].map((text) => stableHash32(text))).toMatchInlineSnapshot(`
[
  2872998923,
  444641715,
  3580645965,
  3136788073,
]
`);
});

test('low bits spread evenly over a power of two', () => {
  const counts = new Array<number>(8).fill(0);
  for (let index = 0; index < 80_000; index += 1) {
    const bucket = stableHash32(`acct_${index}`) % 8;
    counts[bucket] = (counts[bucket] as number) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
});
