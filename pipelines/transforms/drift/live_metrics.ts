import { binaryMetrics } from '#kernel/statistics/binary_metrics';
import type { JudgedPrediction } from './drift_store.ts';

/** Returns metrics of a version by what came true: accuracy where labels were reported, auc where they are of two classes and both occur; rmse where values were. */
export function liveMetrics(rows: readonly JudgedPrediction[]): Readonly<Record<string, number>> {
  const labelled = rows.filter(({ label }) => label !== null);
  if (labelled.length > 0) {
    const accuracy = labelled.filter(({ label, prediction }) => label === prediction).length / labelled.length;
    const { labels, scores } = scoredLabels(labelled);
    if (new Set(labels).size < 2) return { accuracy };
    return { accuracy, auc: binaryMetrics(labels, Float32Array.from(scores)).auc };
  }
  const errors = rows
    .filter(({ value, probabilities }) => value !== null && probabilities === null)
    .map(({ value, prediction }) => (value as number) - Number(prediction))
    .filter((error) => Number.isFinite(error));
  if (errors.length === 0) return {};
  return { rmse: Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / errors.length) };
}

/** Returns labels of two classes, 1 for the second, with the scores that the version gave the second; none where it has not two classes. */
export function scoredLabels(rows: readonly JudgedPrediction[]): {
  readonly labels: readonly number[];
  readonly scores: readonly number[];
} {
  const classes = Object.keys(rows.find(({ probabilities }) => probabilities !== null)?.probabilities ?? {});
  const [, positive] = classes;
  if (classes.length !== 2 || positive === undefined) return { labels: [], scores: [] };
  const usable = rows.filter(
    ({ label, probabilities }) => label !== null && classes.includes(label) && probabilities !== null,
  );
  return {
    labels: usable.map(({ label }) => (label === positive ? 1 : 0)),
    scores: usable.map(({ probabilities }) => (probabilities as Record<string, number>)[positive] ?? 0),
  };
}
