import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { RowValues } from '#registry/packages/model_package';
import { kernelShap } from '#serving/explain/kernel_shap';

const COLUMNS = 5;
const number = fc.double({ min: -3, max: 3, noNaN: true }).map(Math.fround);
const vector = fc.array(number, { minLength: COLUMNS, maxLength: COLUMNS });
const background = fc.array(vector, { minLength: 1, maxLength: 4 });

/** Two outputs, with products of columns. */
const model = (row: ArrayLike<number>): readonly [number, number] => {
  const [a, b, c, d, e] = Array.from(row) as [number, number, number, number, number];
  return [2 * a - b + c * d, Math.tanh(a * b) + e];
};
const run = async (input: RowValues, rows: number): Promise<RowValues> =>
  Float32Array.from(
    Array.from({ length: rows }, (_, row) => model(input.subarray(row * COLUMNS, (row + 1) * COLUMNS))).flat(),
  );

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

/** As they are defined: over all subsets. */
function shapley(row: readonly number[], known: readonly (readonly number[])[], output: 0 | 1): number[] {
  const of = (members: number): number =>
    known.reduce(
      (sum, other) =>
        sum + model(row.map((value, column) => ((members >> column) & 1 ? value : (other[column] as number))))[output],
      0,
    ) / known.length;
  return row.map((_, column) => {
    let value = 0;
    for (let members = 0; members < 2 ** COLUMNS; members += 1) {
      if ((members >> column) & 1) continue;
      const size = members.toString(2).replaceAll('0', '').length;
      value +=
        ((factorial(size) * factorial(COLUMNS - size - 1)) / factorial(COLUMNS)) *
        (of(members | (1 << column)) - of(members));
    }
    return value;
  });
}

test('with all coalitions these are Shapley values', async () => {
  await fc.assert(
    fc.asyncProperty(vector, background, async (row, known) => {
      const { contributions, base } = await kernelShap(run, {
        row: Float32Array.from(row),
        background: Float32Array.from(known.flat()),
        width: 2,
        evaluations: 10_000,
      });
      for (const output of [0, 1] as const) {
        const expected = shapley(row, known, output);
        for (const [column, value] of expected.entries()) {
          expect(Math.abs((contributions[output * COLUMNS + column] as number) - value)).toBeLessThan(1e-4);
        }
        const sum = expected.reduce((total, value) => total + value, base[output] as number);
        expect(Math.abs(sum - model(row)[output])).toBeLessThan(1e-4);
      }
    }),
    { numRuns: 60 },
  );
}, 30_000);

test('with a budget they are estimates: near, the same each time, and they add up', async () => {
  const width = 24;
  const weights = Array.from({ length: width }, (_, column) => Math.sin(column));
  const linear = async (input: RowValues, rows: number): Promise<RowValues> =>
    Float32Array.from({ length: rows }, (_, row) =>
      weights.reduce((sum, weight, column) => sum + weight * (input[row * width + column] as number), 0),
    );
  const row = Float32Array.from({ length: width }, (_, column) => column / 10);
  const options = { row, background: new Float32Array(2 * width).fill(0.5), width: 1, evaluations: 1_000 };
  const { contributions, base } = await kernelShap(linear, options);
  for (const [column, weight] of weights.entries()) {
    // Of a linear model any coalitions give the whole truth.
    expect(contributions[column]).toBeCloseTo(weight * ((row[column] as number) - 0.5), 4);
  }
  const [actual] = await linear(row, 1);
  expect(contributions.reduce((sum, part) => sum + part, base[0] as number)).toBeCloseTo(actual as number, 4);
  expect((await kernelShap(linear, options)).contributions).toEqual(contributions);
});
