import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Correlation } from '#kernel/statistics/correlation';

const correlationOf = (pairs: readonly (readonly [number, number])[]): number => {
  const correlation = new Correlation();
  for (const [x, y] of pairs) correlation.add(x, y);
  return correlation.value;
};

/** Pearson's formula in two passes. */
function plain(pairs: readonly (readonly [number, number])[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(pairs.map(([x]) => x)), mean(pairs.map(([, y]) => y))];
  const sum = (of: (x: number, y: number) => number): number =>
    pairs.reduce((total, [x, y]) => total + of(x - meanX, y - meanY), 0);
  return sum((x, y) => x * y) / Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y));
}

test('pairs that come one after the other have the correlation of the formula, far from zero as well', () => {
  const pairs = fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: 0, max: 1 })), {
    minLength: 2,
    maxLength: 100,
  });
  fc.assert(
    fc.property(pairs, fc.constantFrom(0, 1e9), (list, far) => {
      const moved = list.map(([x, y]) => [x + far, y] as const);
      const expected = plain(list);
      if (Number.isNaN(expected)) expect(correlationOf(moved)).toBeNaN();
      else expect(correlationOf(moved)).toBeCloseTo(expected, 6);
    }),
  );
});

test('the value that numpy.corrcoef gives', () => {
  expect(
    correlationOf([
      [1, 0],
      [2, 0],
      [4, 1],
      [7, 1],
      [5, 0],
    ]),
  ).toBeCloseTo(0.6500112459665918, 12);
});

test('what does not vary has no correlation', () => {
  expect(correlationOf([])).toBeNaN();
  expect(
    correlationOf([
      [1, 0],
      [1, 1],
    ]),
  ).toBeNaN();
});
