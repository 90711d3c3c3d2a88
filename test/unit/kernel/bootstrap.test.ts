import { expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { bootstrapInterval, quantile } from '#kernel/statistics/bootstrap';

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

test.each([
  [0, 1],
  [0.25, 1],
  [0.5, 2],
  [0.95, 4],
  [1, 4],
])('quantile %p of four values is %p', (share, want) => {
  expect(quantile([4, 1, 3, 2], share)).toBe(want);
});

test('no values have no quantile', () => {
  expect(() => quantile([], 0.5)).toThrow(RangeError);
});

test('an interval of 95 % holds the mean in about 95 of 100 samples', () => {
  const random = new Random(7);
  let held = 0;
  for (let round = 0; round < 200; round += 1) {
    const sample = Array.from({ length: 60 }, () => 3 + random.normal());
    const { low, estimate, high } = bootstrapInterval(sample, mean, { rounds: 300, seed: round });
    expect(low).toBeLessThanOrEqual(estimate);
    expect(high).toBeGreaterThanOrEqual(estimate);
    if (low <= 3 && high >= 3) held += 1;
  }
  expect(held / 200).toBeGreaterThan(0.88);
  expect(held / 200).toBeLessThan(0.99);
});

test('the same seed gives the same interval', () => {
  const sample = [1, 5, 2, 8, 3];
  expect(bootstrapInterval(sample, mean, { seed: 3 })).toEqual(bootstrapInterval(sample, mean, { seed: 3 }));
});
