import { evaluateBinary } from './classification.ts';
import { histogram, type TaskEvaluation } from './evaluation.ts';

const SCORE_BINS = 40;
const SHOWN = 15;

/**
 * How many rows are called anomalies, and which most of all; where labels say which rows are anomalies, how many of them are found.
 *
 * @param describe - a row in words
 */
export function evaluateAnomalies(
  labels: readonly number[],
  scores: ArrayLike<number>,
  threshold: number,
  describe: (row: number) => string,
): TaskEvaluation {
  const positives = labels.filter((label) => label > 0).length;
  const list = Array.from(scores);
  const called = list.reduce((count, score) => count + (score >= threshold ? 1 : 0), 0);
  const byScore = [...list.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number)).slice(0, SHOWN);
  const metrics = {
    anomaly_share: called / scores.length,
    mean_score: list.reduce((sum, score) => sum + score, 0) / scores.length,
    threshold,
  };
  const table = {
    title: 'The most unusual rows',
    columns: ['score', 'row'],
    rows: byScore.map((row) => [scores[row] as number, describe(row)]),
  };
  if (positives > 0 && positives < labels.length) {
    const whether = labels.map((label) => (label > 0 ? 1 : 0));
    const judged = evaluateBinary(whether, scores, { threshold, areProbabilities: false });
    return { ...judged, metrics: { ...metrics, ...judged.metrics }, tables: [...judged.tables, table] };
  }
  const chart = {
    title: 'Scores',
    ...{ x: 'score', y: 'rows', kind: 'bars' as const },
    series: [{ name: 'rows', points: histogram(scores, 0, 1, SCORE_BINS) }],
  };
  return { metrics, charts: [chart], tables: [table] };
}
