import { binaryMetrics } from '#kernel/statistics/binary_metrics';
import { type Chart, histogram, type TaskEvaluation, thinned } from './evaluation.ts';

/** What wrong answers cost, in any unit. */
export interface Costs {
  readonly falsePositive: number;
  readonly falseNegative: number;
}

export interface BinaryOptions {
  /** Score at and above which a row is called positive. */
  readonly threshold: number;
  readonly costs?: Costs | undefined;
  /** Scores are probabilities: they can be calibrated or not. */
  readonly areProbabilities: boolean;
}

interface Confusion {
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly falseNegatives: number;
  readonly trueNegatives: number;
}

const CALIBRATION_BINS = 10;
const SCORE_BINS = 40;

/**
 * @param labels - 0 or 1
 * @param scores - higher for 1, same length
 * @throws {RangeError} when one of the classes is absent
 */
export function evaluateBinary(
  labels: readonly number[],
  scores: ArrayLike<number>,
  { threshold, costs, areProbabilities }: BinaryOptions,
): TaskEvaluation {
  const { auc, pr_auc, logloss, brier } = binaryMetrics(labels, scores);
  const cuts = confusions(labels, scores);
  const held = confusionAt(labels, scores, threshold);
  const best = cuts.reduce((a, b) => (f1Of(b.confusion) > f1Of(a.confusion) ? b : a));
  const calibration = calibrationOf(labels, scores);
  const charts: Chart[] = [
    {
      title: 'Receiver operating characteristic',
      ...{ x: 'false positive rate', y: 'true positive rate', kind: 'line', diagonal: true },
      series: [
        { name: 'model', points: thinned(cuts.map(({ confusion }) => [fallout(confusion), recall(confusion)])) },
      ],
    },
    {
      title: 'Precision and recall',
      ...{ x: 'recall', y: 'precision', kind: 'line' },
      series: [
        { name: 'model', points: thinned(cuts.map(({ confusion }) => [recall(confusion), precision(confusion)])) },
      ],
    },
    {
      title: 'Scores by class',
      ...{ x: 'score', y: 'rows', kind: 'bars' },
      series: [0, 1].map((label) => ({
        name: label === 1 ? 'positive' : 'negative',
        points: histogram(chosen(labels, scores, label), 0, 1, SCORE_BINS),
      })),
    },
  ];
  const metrics: Record<string, number> = {
    ...{ auc, pr_auc },
    ...{ f1: f1Of(held), precision: precision(held), recall: recall(held) },
    ...{ accuracy: (held.truePositives + held.trueNegatives) / labels.length, threshold },
    ...{ best_f1: f1Of(best.confusion), best_f1_threshold: best.threshold },
  };
  if (areProbabilities) {
    Object.assign(metrics, { logloss, brier, calibration_error: calibration.error });
    charts.push({
      title: 'Calibration',
      ...{ x: 'mean probability', y: 'share of positives', kind: 'points', diagonal: true },
      series: [{ name: 'tenths of the rows', points: calibration.points }],
    });
  }
  if (costs !== undefined) {
    const costOf = ({ falsePositives, falseNegatives }: Confusion): number =>
      (costs.falsePositive * falsePositives + costs.falseNegative * falseNegatives) / labels.length;
    const cheapest = cuts.reduce((a, b) => (costOf(b.confusion) < costOf(a.confusion) ? b : a));
    Object.assign(metrics, {
      cost_per_row: costOf(held),
      lowest_cost_per_row: costOf(cheapest.confusion),
      lowest_cost_threshold: cheapest.threshold,
    });
    charts.push({
      title: `Cost: ${costs.falsePositive} for a false alarm, ${costs.falseNegative} for a miss`,
      ...{ x: 'threshold', y: 'cost per row', kind: 'line' },
      series: [
        {
          name: 'model',
          points: thinned(
            cuts.filter(({ threshold: at }) => at <= 1).map((cut) => [cut.threshold, costOf(cut.confusion)]),
          ),
        },
      ],
    });
  }
  return {
    metrics,
    charts,
    tables: [
      {
        title: `Answers at a threshold of ${threshold}`,
        columns: ['', 'called positive', 'called negative'],
        rows: [
          ['positive', held.truePositives, held.falseNegatives],
          ['negative', held.falsePositives, held.trueNegatives],
        ],
      },
    ],
  };
}

/** Shares of right answers and cross-entropy of several classes. @param probabilities - [rows, classes], row-major */
export function evaluateMulticlass(
  labels: readonly number[],
  probabilities: ArrayLike<number>,
  classes: readonly string[],
): TaskEvaluation {
  const width = classes.length;
  const table = classes.map(() => new Array<number>(width).fill(0));
  let logloss = 0;
  for (const [row, label] of labels.entries()) {
    let best = 0;
    for (let index = 1; index < width; index += 1) {
      if ((probabilities[row * width + index] as number) > (probabilities[row * width + best] as number)) best = index;
    }
    const counts = table[label] as number[];
    counts[best] = (counts[best] as number) + 1;
    logloss -= Math.log(Math.max(1e-15, probabilities[row * width + label] as number));
  }
  const scoresOf = classes.map((_, index) => {
    const truePositives = (table[index] as number[])[index] as number;
    const called = table.reduce((sum, counts) => sum + (counts[index] as number), 0);
    const actual = (table[index] as number[]).reduce((sum, count) => sum + count, 0);
    return { f1: actual + called === 0 ? 0 : (2 * truePositives) / (actual + called), right: truePositives };
  });
  return {
    metrics: {
      accuracy: scoresOf.reduce((sum, { right }) => sum + right, 0) / labels.length,
      macro_f1: scoresOf.reduce((sum, { f1 }) => sum + f1, 0) / width,
      logloss: logloss / labels.length,
    },
    charts: [],
    tables: [
      {
        title: 'Answers by class',
        columns: ['', ...classes.map((name) => `called ${name}`)],
        rows: table.map((counts, index) => [classes[index] as string, ...counts]),
      },
    ],
  };
}

const precision = ({ truePositives, falsePositives }: Confusion): number =>
  truePositives + falsePositives === 0 ? 1 : truePositives / (truePositives + falsePositives);
const recall = ({ truePositives, falseNegatives }: Confusion): number =>
  truePositives / (truePositives + falseNegatives);
const fallout = ({ falsePositives, trueNegatives }: Confusion): number =>
  falsePositives / (falsePositives + trueNegatives);
const f1Of = ({ truePositives, falsePositives, falseNegatives }: Confusion): number =>
  (2 * truePositives) / (2 * truePositives + falsePositives + falseNegatives);

function confusionAt(labels: readonly number[], scores: ArrayLike<number>, threshold: number): Confusion {
  const counts = { truePositives: 0, falsePositives: 0, falseNegatives: 0, trueNegatives: 0 };
  for (const [index, label] of labels.entries()) {
    const isCalled = (scores[index] as number) >= threshold;
    if (label === 1) counts[isCalled ? 'truePositives' : 'falseNegatives'] += 1;
    else counts[isCalled ? 'falsePositives' : 'trueNegatives'] += 1;
  }
  return counts;
}

/** At each score that occurs as the threshold, from above all of them downwards. */
function confusions(
  labels: readonly number[],
  scores: ArrayLike<number>,
): readonly { readonly threshold: number; readonly confusion: Confusion }[] {
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const negatives = labels.length - positives;
  const order = labels.map((_, index) => index).sort((a, b) => (scores[b] as number) - (scores[a] as number));
  let [truePositives, falsePositives] = [0, 0];
  const confusion = (): Confusion => ({
    ...{ truePositives, falsePositives },
    falseNegatives: positives - truePositives,
    trueNegatives: negatives - falsePositives,
  });
  const cuts = [{ threshold: Number.POSITIVE_INFINITY, confusion: confusion() }];
  for (const [at, index] of order.entries()) {
    if (labels[index] === 1) truePositives += 1;
    else falsePositives += 1;
    const isLastOfTies = scores[order[at + 1] as number] !== scores[index];
    if (isLastOfTies) cuts.push({ threshold: scores[index] as number, confusion: confusion() });
  }
  return cuts;
}

/** Tenths of the rows by score: their mean probability against their share of positives; and the expected calibration error. */
function calibrationOf(labels: readonly number[], scores: ArrayLike<number>) {
  const order = labels.map((_, index) => index).sort((a, b) => (scores[a] as number) - (scores[b] as number));
  const points: [number, number][] = [];
  let error = 0;
  for (let bin = 0; bin < CALIBRATION_BINS; bin += 1) {
    const rows = order.slice(
      Math.floor((bin * order.length) / CALIBRATION_BINS),
      Math.floor(((bin + 1) * order.length) / CALIBRATION_BINS),
    );
    if (rows.length === 0) continue;
    const mean = rows.reduce((sum, row) => sum + (scores[row] as number), 0) / rows.length;
    const share = rows.reduce((sum, row) => sum + (labels[row] as number), 0) / rows.length;
    points.push([mean, share]);
    error += (Math.abs(mean - share) * rows.length) / order.length;
  }
  return { points, error };
}

const chosen = (labels: readonly number[], scores: ArrayLike<number>, wanted: number): number[] =>
  labels.flatMap((label, index) => (label === wanted ? [scores[index] as number] : []));
