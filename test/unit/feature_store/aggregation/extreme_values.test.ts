import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { emptyEntityState } from '#feature_store/aggregation/entity_state';
import { addValue, emptyMoments, mergeMoments, stddevOf, sumOf, varianceOf } from '#feature_store/aggregation/moments';
import { StatisticsOf } from '#feature_store/aggregation/statistics';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import {
  approxDistinct,
  count,
  distinct,
  first,
  last,
  max,
  mean,
  min,
  percentile,
  stddev,
  sum,
  top,
  variance,
} from '#feature_store/definitions/aggregations';
import type { Feature } from '#feature_store/definitions/feature';
import { expression, fromEvent, sincePrevious } from '#feature_store/definitions/feature';
import { featureService } from '#feature_store/definitions/feature_service';
import { featureView } from '#feature_store/definitions/feature_view';
import { columns, onDemand, onDemandView } from '#feature_store/definitions/on_demand';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import { FeatureComputationError } from '#feature_store/errors';
import { vectorOf } from '#feature_store/retrieval/feature_vector';
import { DAY_MS, eventTime, MINUTE_MS } from '#kernel/time';

// Doubles of every size against exact integers: a double is an integer of units of 2^-1074.

const source = eventSource({
  name: 'readings',
  eventTypes: ['reading'],
  schema: z.strictObject({ user_id: z.string(), v: z.number(), w: z.number() }),
  schemaVersion: 1,
  eventIdField: 'user_id',
  timestampField: 'user_id',
});
const user = entity('user', ['user_id']);
const viewOf = (features: Readonly<Record<string, Feature>>) =>
  featureView({
    ...{ name: 'extremes', version: 1, entity: user, source, ttl: '30d', owner: 'test', description: 'Any doubles' },
    features,
  });

const UNIT_BITS = 1074;
const MAX = Number.MAX_VALUE;
const DENORMAL = Number.MIN_VALUE;

function exact(value: number): bigint {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const raw = bits.getBigUint64(0);
  const exponent = Number((raw >> 52n) & 0x7ffn);
  const fraction = raw & 0xfffffffffffffn;
  const size = exponent === 0 ? fraction : (fraction | 0x10000000000000n) << BigInt(exponent - 1);
  return raw >> 63n === 1n ? -size : size;
}

/** `numerator / denominator` units of 2^-`bits`, to some 60 bits; Infinity beyond all doubles. */
function toDouble(numerator: bigint, denominator: bigint, bits: number): number {
  if (numerator < 0n) return -toDouble(-numerator, denominator, bits);
  if (numerator === 0n) return 0;
  const shift = Math.max(0, 64 - (numerator.toString(2).length - denominator.toString(2).length));
  const quotient = (numerator << BigInt(shift)) / denominator;
  const drop = Math.max(0, quotient.toString(2).length - 64);
  let value = Number(quotient >> BigInt(drop));
  // By steps: a power of two below the smallest double is 0, and one above the largest is infinite.
  for (let power = drop - shift - bits; power !== 0; ) {
    const step = Math.max(-500, Math.min(500, power));
    value *= 2 ** step;
    power -= step;
  }
  return value;
}

function squareRoot(of: bigint): bigint {
  if (of < 2n) return of;
  let guess = 1n << BigInt((of.toString(2).length >> 1) + 1);
  for (;;) {
    const next = (guess + of / guess) >> 1n;
    if (next >= guess) return guess;
    guess = next;
  }
}

interface Moments {
  readonly sum: number;
  readonly mean: number;
  readonly variance: number;
  readonly stddev: number;
}
function oracle(values: readonly number[]): Moments {
  const n = BigInt(values.length);
  const exacts = values.map(exact);
  const total = exacts.reduce((sum, value) => sum + value, 0n);
  // n² × variance, in units squared.
  const spread = n * exacts.reduce((sum, value) => sum + value * value, 0n) - total * total;
  const precision = 200n;
  return {
    sum: toDouble(total, 1n, UNIT_BITS),
    mean: toDouble(total, n, UNIT_BITS),
    variance: toDouble(spread, n * n, 2 * UNIT_BITS),
    stddev: toDouble(squareRoot(spread << (2n * precision)), n << precision, UNIT_BITS),
  };
}

const largestOf = (values: readonly number[]): number => Math.max(...values.map(Math.abs));
/** How far a result may be off, as any sum of doubles: by the last bits of the largest value, and the smallest doubles. */
function toleranceOf(of: keyof Moments, values: readonly number[], wanted: Moments): number {
  const rounding = 1e-14 * values.length * largestOf(values) + 4 * values.length * DENORMAL;
  if (of === 'variance') {
    return Math.min(MAX / 1e6, 1e-12 * wanted.variance + 4 * rounding * wanted.stddev + rounding * rounding);
  }
  return of === 'stddev' ? 1e-12 * wanted.stddev + rounding : of === 'sum' ? rounding * values.length : rounding;
}
function expectClose(of: keyof Moments, found: number, values: readonly number[]): void {
  const wanted = oracle(values);
  if (Number.isFinite(wanted[of])) {
    const isClose = Math.abs(found / 2 - wanted[of] / 2) <= toleranceOf(of, values, wanted) / 2 + DENORMAL;
    if (!isClose) throw new Error(`${of} of ${values.join(', ')} is ${found}, and exactly ${wanted[of]}`);
  } else expect(Math.abs(found)).toBeGreaterThanOrEqual(MAX * (1 - 1e-10));
}

const sized = (least: number, most: number) =>
  fc
    .tuple(
      fc.double({ min: 1, max: 2, maxExcluded: true, noNaN: true }),
      fc.integer({ min: least, max: most }),
      fc.boolean(),
    )
    .map(
      ([digits, power, isNegative]) =>
        (isNegative ? -1 : 1) * digits * 2 ** Math.max(power, -1022) * 2 ** Math.min(0, power + 1022),
    );
const anyDouble = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  sized(1000, 1023),
  sized(-1074, -1000),
  sized(-600, -440),
  sized(440, 600),
  sized(-3, 3),
  fc.constantFrom(0, -0, 1.7e308, -1.7e308, MAX, -MAX, DENORMAL, 2 ** 960, 2 ** 450, 2 ** -450, 1, 1e16),
);
/** Values of one size, so that small ones count too, or of all. */
const anyValues = fc.oneof(
  fc.array(anyDouble, { minLength: 1, maxLength: 40 }),
  ...[sized(1000, 1023), sized(-1074, -1000), sized(-560, -500), sized(500, 560), sized(-455, -445)].map((one) =>
    fc.array(one, { minLength: 1, maxLength: 40 }),
  ),
  fc.tuple(anyDouble, fc.integer({ min: 1, max: 40 })).map(([value, times]) => Array<number>(times).fill(value)),
);

describe('sums, means and spreads of doubles of any size', () => {
  it('are those of exact arithmetic, in one piece and merged from any pieces', () => {
    fc.assert(
      fc.property(
        anyValues,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 }),
        (values, cuts) => {
          const whole = emptyMoments();
          for (const value of values) addValue(whole, value);
          const merged = emptyMoments();
          for (let at = 0, cut = 0; at < values.length; cut += 1) {
            const part = emptyMoments();
            const size = cuts[cut % cuts.length] as number;
            for (const value of values.slice(at, at + size)) addValue(part, value);
            mergeMoments(merged, part);
            at += size;
          }
          for (const held of [whole, merged]) {
            expect([held.n, held.min, held.max]).toEqual([values.length, Math.min(...values), Math.max(...values)]);
            expectClose('sum', sumOf(held), values);
            expectClose('mean', held.mean, values);
            expectClose('variance', varianceOf(held), values);
            expectClose('stddev', stddevOf(held), values);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('are as before for usual values', () => {
    const held = emptyMoments();
    for (const value of [1, 2, 3, 4, 4, 4]) addValue(held, value);
    expect(Object.keys(held)).toEqual(['n', 'sum', 'low', 'mean', 'm2', 'min', 'max']);
    expect([sumOf(held), held.mean, varianceOf(held)]).toEqual([18, 3, expect.closeTo(4 / 3, 14)]);
  });
});

const AGGREGATIONS = {
  sum: sum('v').over('7d'),
  mean: mean('v').over('7d'),
  variance: variance('v').over('7d'),
  stddev: stddev('v').over('7d'),
  min: min('v').over('7d'),
  max: max('v').over('7d'),
  count: count().over('7d'),
  distinct: distinct('v').over('7d'),
  approxDistinct: approxDistinct('v').over('7d'),
  percentile: percentile('v', 0.5).over('7d'),
  top: top('v', 'double').over('7d'),
  first: first('v', 'double').over('7d'),
  last: last('v', 'double').over('7d'),
} as const;
const computations = Object.entries(AGGREGATIONS).map(
  ([name, features]) =>
    [name, new ViewComputation(viewOf(features), DAY_MS), Object.keys(features)[0] as string] as const,
);

describe('a window over doubles of any size', () => {
  it.each(computations)(
    '%s: a finite result is given, a greater one is a failure that names the feature, and leaves no trace',
    (name, computation, feature) => {
      fc.assert(
        fc.property(anyValues, fc.integer({ min: 1, max: 40 }), (values, minutes) => {
          const state = emptyEntityState();
          const counted: number[] = [];
          let at = 40 * DAY_MS;
          for (const v of values) {
            at += minutes * MINUTE_MS;
            const before = structuredClone(state);
            let found: unknown;
            try {
              found = computation.apply(state, { user_id: 'u', v, w: 0 }, at)[feature];
            } catch (error) {
              expect(error).toBeInstanceOf(FeatureComputationError);
              expect((error as Error).message).toMatch(
                new RegExp(
                  `^feature "${feature}" of view extremes@1: it is declared double, and the value is -?Infinity, which is beyond the largest double$`,
                ),
              );
              expect(state).toEqual(before);
              const beyond = oracle([...counted, v])[name as keyof Moments];
              expect(Math.abs(beyond)).toBeGreaterThanOrEqual(MAX * (1 - 1e-10));
              continue;
            }
            // -0 is 0.
            counted.push(v + 0);
            if (name in oracle([0])) expectClose(name as keyof Moments, found as number, counted);
            else if (name === 'percentile') {
              const sorted = [...counted].sort((a, b) => a - b);
              expect(found).toBe(sorted[Math.ceil(counted.length / 2) - 1]);
            } else if (name === 'top') expect(counted.map(String)).toContain(String(found));
            else {
              const of = {
                ...{ min: Math.min(...counted), max: Math.max(...counted), count: counted.length, last: v + 0 },
                ...{ first: counted[0], distinct: new Set(counted.map(String)).size },
              };
              expect(found).toEqual(of[(name === 'approxDistinct' ? 'distinct' : name) as keyof typeof of]);
            }
          }
        }),
        { numRuns: 150 },
      );
    },
  );

  it('percentiles of more values than are kept whole lie between the smallest and the largest', () => {
    const features = {
      ...percentile('v', 0.01).over('7d'),
      ...percentile('v', 0.5).over('7d'),
      ...percentile('v', 0.99).over('7d'),
    };
    const computation = new ViewComputation(viewOf(features), DAY_MS);
    fc.assert(
      fc.property(fc.array(anyDouble, { minLength: 1, maxLength: 30 }), (some) => {
        const state = emptyEntityState();
        for (let index = 0; index < 600; index += 1) {
          const values = computation.apply(
            state,
            { user_id: 'u', v: some[index % some.length] as number, w: 0 },
            40 * DAY_MS + index,
          );
          const found = Object.values(values) as number[];
          for (const value of found) {
            const rounding = 1e-13 * largestOf(some) + 2 ** -1009;
            expect(value).toBeGreaterThanOrEqual(Math.min(...some) - rounding);
            expect(value / 2).toBeLessThanOrEqual(Math.max(...some) / 2 + rounding / 2);
          }
        }
      }),
      { numRuns: 4 },
    );
  });
});

describe('a function that gives Infinity', () => {
  const CASES: readonly (readonly [string, number, number, RegExp])[] = [
    ['a product beyond all doubles', 1.7e308, 1.7e308, /the value is Infinity/],
    ['a negative one', -1.7e308, 10, /the value is -Infinity/],
  ];
  const compute = (v: unknown, w: unknown): number => Number(v) * Number(w);
  const failing = {
    event: { bad: fromEvent('double', 'bad', ({ v, w }) => compute(v, w), { uses: { compute } }) },
    previous: { bad: sincePrevious('double', 'bad', ({ v, w }) => compute(v, w), { uses: { compute } }) },
    expression: {
      v: fromEvent('double', 'v', ({ v }) => Number(v)),
      w: fromEvent('double', 'w', ({ w }) => Number(w)),
      bad: expression(['v', 'w'], 'double', 'bad', ({ v, w }) => compute(v, w), { uses: { compute } }),
    },
    long: { bad: fromEvent('long', 'bad', ({ v, w }) => compute(v, w), { uses: { compute } }) },
  } as const;

  it('0/0 has no value: it is missing', () => {
    for (const type of ['double', 'long'] as const) {
      const ratio = viewOf({ ratio: fromEvent(type, 'ratio', ({ v, w }) => Number(v) / Number(w)) });
      const values = new ViewComputation(ratio, DAY_MS).apply(
        emptyEntityState(),
        { user_id: 'u', v: 0, w: 0 },
        40 * DAY_MS,
      );
      expect(values).toEqual({ ratio: null });
    }
  });

  it.each(CASES)('fails for its event, by name: %s', (_, v, w, message) => {
    for (const features of Object.values(failing)) {
      const state = emptyEntityState();
      const computation = new ViewComputation(viewOf(features), DAY_MS);
      expect(() => computation.apply(state, { user_id: 'u', v, w }, 40 * DAY_MS)).toThrow(message);
      expect(() => computation.apply(state, { user_id: 'u', v, w }, 40 * DAY_MS)).toThrow(
        /^feature "bad" of view extremes@1/,
      );
      expect(state).toEqual(emptyEntityState());
    }
  });

  it.each(CASES)('fails for its request, by name, where it is computed on demand: %s', (_, v, w, message) => {
    const stored = viewOf({ v: fromEvent('double', 'v', ({ v }) => Number(v)) });
    const demanded = onDemandView({
      ...{ name: 'scaled', version: 1, entity: user, owner: 'test', description: 'Scaled', request: { w: 'double' } },
      inputs: [columns(stored)],
      features: { bad: onDemand('double', 'bad', ({ v, w }) => compute(v, w), { uses: { compute } }) },
    });
    const service = featureService({
      name: 'scaled',
      version: 1,
      owner: 'test',
      description: 'Scaled',
      features: [demanded],
    });
    expect(() => vectorOf(service, [{ values: { v } }], { w }, 0)).toThrow(message);
    expect(() => vectorOf(service, [{ values: { v } }], { w }, 0)).toThrow(/^feature "bad" of view scaled@1/);
  });
});

it('statistics of doubles of any size are finite', () => {
  const statistics = new StatisticsOf(['v']);
  fc.assert(
    fc.property(anyValues, (values) => {
      const into = statistics.createAccumulator();
      for (const [index, v] of values.entries()) {
        statistics.addInput(into, { entityKey: `user:${index}` as never, eventTime: eventTime(index), values: { v } });
      }
      const found = statistics
        .extractOutput(statistics.mergeAccumulators([into, statistics.createAccumulator()]))
        .get('v');
      for (const value of [found?.mean, found?.stddev, found?.min, found?.max])
        expect(Number.isFinite(value)).toBe(true);
    }),
    { numRuns: 300 },
  );
});
