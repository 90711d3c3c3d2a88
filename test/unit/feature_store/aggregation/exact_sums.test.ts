import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { emptyEntityState } from '#feature_store/aggregation/entity_state';
import { addValue, emptyMoments, meanOf, mergeMoments, sumOf } from '#feature_store/aggregation/moments';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { last, max, mean, min, sum, top } from '#feature_store/definitions/aggregations';
import { type Feature, field } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { eventSource } from '#feature_store/definitions/sources/source';
import { decimalText, unscaledOf } from '#feature_store/definitions/values/decimal_text';
import { decimal } from '#feature_store/definitions/values/value_type';
import { MINUTE_MS } from '#kernel/time';

/** A double as an integer in units of the smallest double. */
function unitsOf(value: number): bigint {
  const bits = new BigUint64Array(new Float64Array([value]).buffer)[0] as bigint;
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & ((1n << 52n) - 1n);
  const size = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
  return bits >> 63n === 1n ? -size : size;
}

/** The double nearest to so many units, of two the even one. */
function nearest(units: bigint): number {
  const sign = units < 0n ? -1 : 1;
  const size = units < 0n ? -units : units;
  const excess = size.toString(2).length - 53;
  if (excess <= 0) return sign * Number(size) * Number.MIN_VALUE;
  const step = 1n << BigInt(excess);
  const [whole, rest] = [size / step, size % step];
  const isUp = rest * 2n > step || (rest * 2n === step && whole % 2n === 1n);
  return sign * Number(whole + (isUp ? 1n : 0n)) * 2 ** (excess - 1_074);
}

const amounts = fc.oneof(
  fc.constantFrom(0.1, 0.2, -0.1, 19.99, 1e16, -1e16, 1, 2 ** 53, 5e-324, 1e300, -1e300, 2 ** 959),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e12, max: 1e12 }),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 959), max: 2 ** 959 }),
);

test('a sum is the exact one, rounded once, in whatever order values and parts of them are added', () => {
  fc.assert(
    fc.property(fc.array(amounts, { maxLength: 40 }), fc.array(fc.nat(), { maxLength: 6 }), (values, cuts) => {
      const exact = nearest(values.reduce((all, value) => all + unitsOf(value), 0n));
      const together = emptyMoments();
      for (const value of values) addValue(together, value);
      expect(sumOf(together)).toBe(exact + 0);
      const parts = emptyMoments();
      const at = [0, ...cuts.map((cut) => cut % (values.length + 1)).sort((a, b) => a - b), values.length];
      for (let part = at.length - 1; part > 0; part -= 1) {
        const own = emptyMoments();
        for (const value of values.slice(at[part - 1], at[part]).reverse()) addValue(own, value);
        mergeMoments(parts, own);
      }
      expect(sumOf(parts)).toBe(exact + 0);
      expect(meanOf(parts)).toBe(meanOf(together));
    }),
    { numRuns: 3_000 },
  );
});

const money = decimal(20, 2);
const viewOf = (features: Readonly<Record<string, Feature>>): FeatureView =>
  featureView({
    ...{
      name: 'exact',
      version: 1,
      entity: { name: 'user', joinKeys: ['user_id'] },
      ttl: '0s',
      owner: 'o',
      description: 'd',
    },
    source: eventSource({
      ...{ name: 'payments', eventTypes: ['p'], schemaVersion: 1, eventIdField: 'id', timestampField: 'at' },
      schema: z.object({
        ...{ id: z.string(), at: z.string(), user_id: z.string() },
        ...{ amount: z.union([z.string(), z.number()]), points: z.union([z.string(), z.number()]), n: z.number() },
      }),
    }),
    features,
  });

test('sums and extremes of decimals and 64-bit integers are exact; one beyond its type is a failure that leaves no trace', () => {
  const view = viewOf({
    ...sum('amount', { type: money }).over('1h'),
    ...min('amount', { type: money }).over('1h'),
    ...max('amount', { type: money }).over('1h'),
    ...sum('points', { type: 'int64' }).over('1h'),
    ...max('points', { type: 'int64' }).over('1h'),
  });
  const computation = new ViewComputation(view, 0);
  const most = 10n ** 20n - 1n;
  const limit = 2n ** 63n;
  const cents = fc.oneof(fc.bigInt({ min: -most, max: most }), fc.bigInt({ min: -1_000n, max: 1_000n }));
  const points = fc.oneof(fc.bigInt({ min: -limit, max: limit - 1n }), fc.bigInt({ min: -9n, max: 9n }));
  fc.assert(
    fc.property(fc.array(fc.tuple(cents, points), { minLength: 1, maxLength: 30 }), (events) => {
      const state = emptyEntityState();
      const counted: (readonly [bigint, bigint])[] = [];
      for (const [at, [amount, integer]] of events.entries()) {
        const next = [...counted, [amount, integer] as const];
        const [total, all] = [next.reduce((t, [a]) => t + a, 0n), next.reduce((t, [, p]) => t + p, 0n)];
        const event = { amount: decimalText(amount, 2), points: String(integer) };
        const fits = total <= most && total >= -most && all < limit && all >= -limit;
        const before = structuredClone(state);
        const apply = () => computation.apply(state, event, 1e12 + at * MINUTE_MS);
        if (!fits) {
          expect(apply).toThrow(/feature "sum_(amount|points)_1h" of view exact@1: it is declared/);
          expect(state).toEqual(before);
          continue;
        }
        counted.push([amount, integer]);
        expect(apply()).toEqual({
          sum_amount_1h: decimalText(total, 2),
          min_amount_1h: decimalText(
            counted.map(([a]) => a).reduce((a, b) => (b < a ? b : a)),
            2,
          ),
          max_amount_1h: decimalText(
            counted.map(([a]) => a).reduce((a, b) => (b > a ? b : a)),
            2,
          ),
          sum_points_1h: all,
          max_points_1h: counted.map(([, p]) => p).reduce((a, b) => (b > a ? b : a)),
        });
      }
    }),
    { numRuns: 300 },
  );
});

test('a declared type is enforced in every window: a long never holds 1.5, and lists keep the type of their values', () => {
  const computation = new ViewComputation(
    viewOf({
      ...top('n', 'long', 2).over('1h'),
      ...last('n', 'long', 3).over('1h'),
      ...sum('n', { type: 'long' }).over('1h'),
    }),
    0,
  );
  const state = emptyEntityState();
  for (const [at, n] of [5, 7, 5].entries()) computation.apply(state, { n }, 1e12 + at);
  expect(computation.apply(state, { n: 7 }, 1e12 + 4)).toEqual({
    top_2_n_1h: [5, 7],
    last_3_n_1h: [7, 5, 7],
    sum_n_1h: 24,
  });
  const before = structuredClone(state);
  for (const n of [1.5, '5', 2 ** 53]) {
    expect(() => computation.apply(state, { n }, 1e12 + 5)).toThrow(/it is declared long, and the value is/);
  }
  expect(state).toEqual(before);
});

test('the same amount in another form is one value, and a mean of decimals is a double', () => {
  const view = viewOf({
    amount: field('amount', money, 'Amount'),
    ...top('amount', money).over('1h'),
    ...mean('amount').over('1h'),
    ...sum('amount', { type: money }).over('1h'),
  });
  const computation = new ViewComputation(view, 0);
  const state = emptyEntityState();
  for (const [at, amount] of ['3.3', 4, '3.30'].entries()) computation.apply(state, { amount }, 1e12 + at);
  expect(computation.apply(state, { amount: 3.3 }, 1e12 + 4)).toEqual({
    ...{ amount: '3.30', top_amount_1h: '3.30', mean_amount_1h: expect.closeTo(3.475, 12), sum_amount_1h: '13.90' },
  });
  expect(() => computation.apply(state, { amount: 3.305 }, 1e12 + 5)).toThrow(/more than 2 digits after the point/);
});

test.each([
  [
    'sum as a double would round a decimal',
    { amount: field('amount', money, ''), ...sum('amount').over('1h') },
    /would round it/,
  ],
  ['a mean is a double', { m: { ...mean('n').over('1h').mean_n_1h, type: money } }, /mean is a double, not decimal/],
  [
    'several values are a list',
    { t: { ...top('n', 'long', 2).over('1h').top_2_n_1h, type: 'long' } },
    /it is array<long>/,
  ],
  ['no such type', { t: { ...field('n', 'long', ''), type: 'decimal(39,2)' } }, /precision is 1 to 38/],
  ['nothing is called so', { t: { ...field('n', 'long', ''), type: 'float' } }, /"float" is no type/],
])('a view is refused: %s', (_, features, message) => {
  expect(() => viewOf(features as unknown as Record<string, Feature>)).toThrow(message);
});

test('decimals are read as they are written', () => {
  expect(
    ['3.30', 3.3, '1e2', '-0', '.5', '1_0', '', '0.001', '1e999'].map((text) => unscaledOf(String(text), 2)),
  ).toEqual([
    ...[330n, 330n, 10_000n, 0n, 50n, 'is no decimal number', 'is no decimal number'],
    ...['has more than 2 digits after the point', 'has an exponent that is too large'],
  ]);
});
