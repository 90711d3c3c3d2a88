import { expect, test } from '@jest/globals';
import { StatisticsOf } from '#feature_store/aggregation/statistics';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { Random } from '#kernel/random';
import { eventTime } from '#kernel/time';
import { type CellValue, columnDrift } from '#monitoring/drift/column_drift';
import { kolmogorovTail } from '#monitoring/drift/kolmogorov_smirnov';
import { keyOf } from '../../support/entity_keys.ts';

const THRESHOLDS = { psi: 0.2, cramersV: 0.1, significance: 0.001, nullShare: 0.1 };

/** Columns as models have them, each with what a shift makes of it. */
const COLUMNS: Readonly<Record<string, (random: Random, shifted: boolean) => FeatureValue>> = {
  normal: (random, shifted) => random.normal() * 5 + (shifted ? 10 : 0),
  amount: (random, shifted) => Math.exp(random.normal() + (shifted ? 2 : 0)),
  count: (random, shifted) => Math.floor(random.next() ** 4 * 12) + (shifted ? 3 : 0),
  mostly_zero: (random, shifted) => (random.next() < (shifted ? 0.3 : 0.93) ? 0 : random.next() * 100),
  constant: (_, shifted) => (shifted ? 2 : 1),
  flag: (random, shifted) => random.next() < (shifted ? 0.7 : 0.3),
  category: (random, shifted) => `c${Math.floor(random.next() ** (shifted ? 0.5 : 3) * 9)}`,
  often_missing: (random, shifted) => (random.next() < (shifted ? 0.9 : 0.4) ? null : random.normal()),
};
const NAMES = Object.keys(COLUMNS);

function rowsOf(random: Random, rows: number, shifted: boolean): Record<string, FeatureValue>[] {
  return Array.from({ length: rows }, () =>
    Object.fromEntries(NAMES.map((name) => [name, COLUMNS[name]?.(random, shifted) ?? null])),
  );
}

function referenceOf(random: Random, rows: number) {
  const statistics = new StatisticsOf(NAMES);
  const into = statistics.createAccumulator();
  for (const [index, values] of rowsOf(random, rows, false).entries()) {
    statistics.addInput(into, { entityKey: keyOf(`e${index}`), eventTime: eventTime(index), values });
  }
  return statistics.extractOutput(into);
}

function driftOf(reference: ReturnType<typeof referenceOf>, rows: readonly Record<string, FeatureValue>[]) {
  return NAMES.map((name) => {
    const values = rows.map((row) => row[name]);
    const present = values.filter((value): value is CellValue => value !== null && value !== undefined);
    const sample = { values: present, rows: rows.length, nulls: rows.length - present.length, outOfRange: 0 };
    const of = reference.get(name);
    if (of === undefined) throw new Error(`no statistics of ${name}`);
    return {
      name,
      ...columnDrift(of, sample, { ...THRESHOLDS, significance: THRESHOLDS.significance / NAMES.length }),
    };
  });
}

test('at most one in 1,000 windows of the same distribution raises an alarm, in 400 windows of 200 to 2,000 rows of each column', () => {
  const random = new Random(7);
  const alarms: string[] = [];
  for (let round = 0; round < 20; round += 1) {
    const reference = referenceOf(random, 3_000);
    for (let window = 0; window < 20; window += 1) {
      const rows = 200 + Math.floor(random.next() * 1_800);
      for (const { name, drifted } of driftOf(reference, rowsOf(random, rows, false))) if (drifted) alarms.push(name);
    }
  }
  process.stdout.write(`false alarms in 400 windows of ${NAMES.length} columns: ${alarms.length}\n`);
  // `significance` is the promise for a window of all columns; a binomial of 400 windows exceeds 3 with a probability of 0.1 %.
  expect(alarms.length).toBeLessThanOrEqual(3);
}, 120_000);

test('a shift of every kind of column is found in each of 100 windows of 200 rows', () => {
  const random = new Random(8);
  const reference = referenceOf(random, 3_000);
  for (let window = 0; window < 100; window += 1) {
    const missed = driftOf(reference, rowsOf(random, 200, true)).filter(({ drifted }) => !drifted);
    expect(missed.map(({ name }) => name)).toEqual([]);
  }
});

test('the Kolmogorov distribution: tabulated values', () => {
  // Critical values of the limit distribution (Smirnov 1948): 1.2238, 1.3581, 1.6276 for 10 %, 5 %, 1 %.
  const large = 1e8;
  for (const [lambda, p] of [
    [1.2238, 0.1],
    [1.3581, 0.05],
    [1.6276, 0.01],
  ] as const) {
    expect(kolmogorovTail(lambda / Math.sqrt(large), large)).toBeCloseTo(p, 4);
  }
  expect(kolmogorovTail(0, 100)).toBe(1);
  expect(kolmogorovTail(1, 100)).toBeLessThan(1e-12);
});

test('too few values say nothing, and nothing is divided by zero', () => {
  const reference = referenceOf(new Random(9), 500);
  for (const rows of [0, 1, 29]) {
    for (const drift of driftOf(reference, rowsOf(new Random(10), rows, false))) {
      if (drift.name !== 'often_missing') expect(drift).toMatchObject({ drifted: false });
      expect(Number.isNaN(drift.nullShare)).toBe(false);
    }
  }
});
