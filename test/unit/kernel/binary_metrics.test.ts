import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { binaryMetrics } from '#kernel/statistics/binary_metrics';

// By scikit-learn 1.9: roc_auc_score, average_precision_score, log_loss, brier_score_loss.
test('a known case, ties included', () => {
  const metrics = binaryMetrics([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.8, 0.9]);
  expect(metrics.auc).toBeCloseTo(0.7222222, 6);
  expect(metrics.pr_auc).toBeCloseTo(0.7555556, 6);
  expect(metrics.logloss).toBeCloseTo(0.6006583738881053, 6);
  expect(metrics.brier).toBeCloseTo(0.21375, 6);
});

test('the area is the share of pairs in the right order', () => {
  const row = fc.record({ label: fc.constantFrom(0, 1), score: fc.constantFrom(0, 0.25, 0.5, 0.75, 1) });
  fc.assert(
    fc.property(fc.array(row, { minLength: 2, maxLength: 40 }), (rows) => {
      const positives = rows.filter(({ label }) => label === 1);
      const negatives = rows.filter(({ label }) => label === 0);
      fc.pre(positives.length > 0 && negatives.length > 0);
      let right = 0;
      for (const positive of positives) {
        for (const negative of negatives) {
          right += positive.score > negative.score ? 1 : positive.score === negative.score ? 0.5 : 0;
        }
      }
      const { auc } = binaryMetrics(
        rows.map(({ label }) => label),
        rows.map(({ score }) => score),
      );
      expect(auc).toBeCloseTo(right / (positives.length * negatives.length), 10);
    }),
  );
});

test('one class alone has no area', () => {
  expect(() => binaryMetrics([1, 1], [0.2, 0.3])).toThrow('2 positives and 0 negatives');
});
