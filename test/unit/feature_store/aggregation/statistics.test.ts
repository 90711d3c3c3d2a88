import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type StatisticsAccumulator, StatisticsOf } from '#feature_store/aggregation/statistics';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { eventTime, processingTime } from '#kernel/time';
import { keyOf } from '../../../support/entity_keys.ts';

const of = new StatisticsOf(['amount', 'category', 'flag']);

const row = (at: number, amount: number | null, category: string | null, flag: boolean): FeatureRow => ({
  view: 'v',
  version: 1,
  entityKey: keyOf(`e${at % 97}`),
  eventTime: eventTime(1_790_000_000_000 + at),
  computedAt: processingTime(0),
  values: { amount, category, flag },
});

const addUp = (rows: readonly FeatureRow[]): StatisticsAccumulator =>
  rows.reduce((into, each) => of.addInput(into, each), of.createAccumulator());

test('of few rows everything is exact', () => {
  const statistics = of.extractOutput(
    addUp([row(1, 1, 'a', true), row(2, 2, 'b', false), row(3, 6, 'a', false), row(4, null, null, false)]),
  );
  expect(statistics.get('amount')).toMatchObject({ rows: 4, nulls: 1, mean: 3, min: 1, max: 6, top: [], sampled: 3 });
  expect(statistics.get('amount')?.stddev).toBeCloseTo(Math.sqrt(14 / 3), 12);
  expect(statistics.get('amount')?.quantiles).toHaveLength(21);
  expect([0, 10, 20].map((at) => statistics.get('amount')?.quantiles[at])).toEqual([1, 2, 6]);
  expect(statistics.get('category')).toMatchObject({
    nulls: 1,
    mean: null,
    quantiles: [],
    top: [
      ['a', 2 / 3],
      ['b', 1 / 3],
    ],
  });
  expect(statistics.get('flag')).toMatchObject({
    mean: 0.25,
    top: [
      ['false', 0.75],
      ['true', 0.25],
    ],
  });
});

test('in whatever parts and order rows are added, the outcome is the same', () => {
  const rows = fc.array(
    fc.record({
      at: fc.nat(100_000),
      amount: fc.option(fc.integer({ min: -50, max: 50 })),
      category: fc.option(fc.constantFrom('a', 'b', 'c')),
      flag: fc.boolean(),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(rows, fc.nat(60), (list, cut) => {
      const all = list.map(({ at, amount, category, flag }) => row(at, amount, category, flag));
      const whole = of.extractOutput(addUp(all));
      const parts = of.extractOutput(
        of.mergeAccumulators([addUp(all.slice(cut).reverse()), of.createAccumulator(), addUp(all.slice(0, cut))]),
      );
      for (const [name, statistics] of whole) {
        const { mean, stddev, ...exact } = parts.get(name) as typeof statistics;
        expect(exact).toEqual({ ...statistics, mean: undefined, stddev: undefined, ...exact });
        expect(mean ?? 0).toBeCloseTo(statistics.mean ?? 0, 9);
        expect(stddev ?? 0).toBeCloseTo(statistics.stddev ?? 0, 9);
        expect([exact.quantiles, exact.top, exact.nulls]).toEqual([
          statistics.quantiles,
          statistics.top,
          statistics.nulls,
        ]);
      }
    }),
  );
});

test('of many rows sums stay exact, quantiles are as near as 512 of them say, and what is kept is bounded', () => {
  const rows = Array.from({ length: 50_000 }, (_, index) => row(index, (index * 7_919) % 10_000, 'x', index % 4 === 0));
  const whole = addUp(rows);
  const merged = of.mergeAccumulators([0, 1, 2].map((part) => addUp(rows.filter((_, index) => index % 3 === part))));
  expect(whole.sample).toHaveLength(512);
  expect(merged.sample.map(([hash]) => hash)).toEqual(whole.sample.map(([hash]) => hash));
  const statistics = of.extractOutput(whole).get('amount');
  expect(statistics).toMatchObject({ rows: 50_000, nulls: 0, min: 0, max: 9_999, sampled: 512 });
  expect(statistics?.mean).toBeCloseTo(4_999.5, 6);
  for (const [at, q] of [
    [2, 0.1],
    [10, 0.5],
    [18, 0.9],
  ] as const) {
    // Four standard errors of a share of 512.
    const error = 4 * Math.sqrt((q * (1 - q)) / 512) * 10_000;
    expect(Math.abs((statistics?.quantiles[at] as number) - q * 10_000)).toBeLessThan(error);
  }
});
