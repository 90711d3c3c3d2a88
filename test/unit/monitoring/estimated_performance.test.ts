import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Random } from '#kernel/random';
import { binaryMetrics } from '#kernel/statistics/binary_metrics';
import { aucStandardError, estimatePerformance, fitCalibration } from '#monitoring/drift/estimated_performance';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Rows of a world in which `x` says how likely the label is. */
function world(random: Random, rows: number, { shift = 0, spread = 1.5, told = (p: number): number => p } = {}) {
  const scores: number[] = [];
  const labels: number[] = [];
  for (let row = 0; row < rows; row += 1) {
    const p = sigmoid(shift + spread * random.normal());
    scores.push(told(p));
    labels.push(random.next() < p ? 1 : 0);
  }
  return { scores, labels };
}

test('the expected area under the curve is that of every pair of rows, counted one by one', () => {
  const grid = fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 2, maxLength: 30 });
  fc.assert(
    fc.property(grid, (tenths) => {
      const p = tenths.map((tenth) => tenth / 10);
      let ordered = 0;
      let pairs = 0;
      for (const [i, a] of p.entries()) {
        for (const [j, b] of p.entries()) {
          if (i === j) continue;
          pairs += a * (1 - b);
          ordered += a * (1 - b) * (a > b ? 1 : a === b ? 0.5 : 0);
        }
      }
      const { auc } = estimatePerformance(p, 0.5);
      if (pairs < 1e-9) expect(Number.isNaN(auc) || Math.abs(auc) >= 0).toBe(true);
      else expect(auc).toBeCloseTo(ordered / pairs, 9);
    }),
  );
});

test.each([
  { name: 'as in training', options: {} },
  { name: 'inputs that are harder', options: { spread: 0.6 } },
  { name: 'inputs that are easier', options: { spread: 3 } },
  { name: 'another share of positives', options: { shift: -2.5 } },
])('without labels the estimate is the real area under the curve within 0.02: $name', ({ options }) => {
  const { scores, labels } = world(new Random(11), 20_000, options);
  const { auc, accuracy, positives } = estimatePerformance(scores, 0.5);
  const right = labels.filter((label, row) => (label === 1) === (scores[row] as number) >= 0.5).length;
  expect(Math.abs(auc - binaryMetrics(labels, scores).auc)).toBeLessThan(0.02);
  expect(Math.abs(accuracy - right / labels.length)).toBeLessThan(0.02);
  expect(Math.abs(positives - labels.reduce((sum, label) => sum + label, 0)) / labels.length).toBeLessThan(0.02);
});

test('probabilities that promise too much are calibrated by outcomes that are known', () => {
  const random = new Random(12);
  const told = (p: number): number => sigmoid(4 * Math.log(p / (1 - p)) + 1);
  const known = world(random, 5_000, { told });
  const calibrated = fitCalibration(known.scores, known.labels);
  const { scores, labels } = world(random, 20_000, { told, spread: 0.8 });
  const real = binaryMetrics(labels, scores).auc;
  expect(Math.abs(estimatePerformance(scores, 0.5).auc - real)).toBeGreaterThan(0.1);
  expect(Math.abs(estimatePerformance(scores, 0.5, calibrated).auc - real)).toBeLessThan(0.02);
});

test('calibration grows with the score, whatever the outcomes', () => {
  const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 1 })), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(rows, (given) => {
      const calibrated = fitCalibration(
        given.map(([score]) => score / 20),
        given.map(([, label]) => label),
      );
      const values = Array.from({ length: 101 }, (_, at) => calibrated(at / 100));
      for (const [at, value] of values.entries()) {
        expect(value).toBeGreaterThanOrEqual(Math.max(0, (values[at - 1] ?? 0) - 1e-12));
        expect(value).toBeLessThanOrEqual(1);
      }
      const mean = given.reduce((sum, [, label]) => sum + label, 0) / given.length;
      if (new Set(given.map(([score]) => score)).size === 1) expect(calibrated(0.5)).toBeCloseTo(mean, 12);
    }),
  );
});

test('a world in which the same inputs mean something else is not seen: that needs labels', () => {
  const { scores, labels } = world(new Random(13), 20_000);
  const turned = labels.map((label) => 1 - label);
  expect(estimatePerformance(scores, 0.5).auc).toBeGreaterThan(0.75);
  expect(binaryMetrics(turned, scores).auc).toBeLessThan(0.25);
});

test('the standard error of an area is how far samples of that size lie apart', () => {
  const random = new Random(14);
  const areas = Array.from({ length: 300 }, () => {
    const { scores, labels } = world(random, 400);
    return { auc: binaryMetrics(labels, scores).auc, positives: labels.reduce((sum, label) => sum + label, 0) };
  });
  const mean = areas.reduce((sum, { auc }) => sum + auc, 0) / areas.length;
  const spread = Math.sqrt(areas.reduce((sum, { auc }) => sum + (auc - mean) ** 2, 0) / areas.length);
  const positives = areas.reduce((sum, each) => sum + each.positives, 0) / areas.length;
  expect(aucStandardError(mean, positives, 400 - positives) / spread).toBeGreaterThan(0.85);
  expect(aucStandardError(mean, positives, 400 - positives) / spread).toBeLessThan(1.3);
});
