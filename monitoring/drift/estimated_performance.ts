/** How good a classifier of two classes is, as its own probabilities say. */
export interface EstimatedPerformance {
  /** NaN where one class is not expected at all. */
  readonly auc: number;
  readonly accuracy: number;
  /** Rows that are expected to be positive. */
  readonly positives: number;
  readonly negatives: number;
}

/**
 * Estimates performance without labels: a row with probability p of being positive counts as p positives and 1 - p negatives, so that each cell of the
 * confusion matrix, and each pair of the area under the curve, has an expected value. It holds as far as probabilities are calibrated and what is to be
 * learned has not changed: it finds inputs that have become harder, not a world in which the same inputs mean something else. Source: confidence-based performance
 * estimation, NannyML 0.13, nannyml/performance_estimation/confidence_based.
 *
 * @param scores - probability of the second class, as the model gives it; orders the rows
 * @param threshold - scores at it and above are predicted positive
 * @param calibrated - the probability that a score stands for
 */
export function estimatePerformance(
  scores: ArrayLike<number>,
  threshold: number,
  calibrated: (score: number) => number = (score) => score,
): EstimatedPerformance {
  const rows = Array.from(scores, (score) => ({ score, p: Math.min(1, Math.max(0, calibrated(score))) }));
  rows.sort((a, b) => a.score - b.score);
  let positives = 0;
  let right = 0;
  let ordered = 0;
  // Pairs of a row with itself are none.
  let own = 0;
  let negativesBelow = 0;
  for (let start = 0; start < rows.length; ) {
    let end = start;
    let tiedPositives = 0;
    let tiedNegatives = 0;
    let tiedOwn = 0;
    for (; end < rows.length && rows[end]?.score === rows[start]?.score; end += 1) {
      const { score, p } = rows[end] as { score: number; p: number };
      tiedPositives += p;
      tiedNegatives += 1 - p;
      tiedOwn += p * (1 - p);
      right += score >= threshold ? p : 1 - p;
    }
    ordered += tiedPositives * negativesBelow + (tiedPositives * tiedNegatives - tiedOwn) / 2;
    own += tiedOwn;
    positives += tiedPositives;
    negativesBelow += tiedNegatives;
    start = end;
  }
  const pairs = positives * negativesBelow - own;
  return {
    auc: pairs > 0 ? ordered / pairs : Number.NaN,
    accuracy: rows.length === 0 ? Number.NaN : right / rows.length,
    ...{ positives, negatives: negativesBelow },
  };
}

/**
 * Fits the share of positives as a growing step function of the score (isotonic regression by pooling adjacent violators), with lines between the steps.
 *
 * @param scores - as the model gave them, not empty
 * @param labels - 0 or 1, what came true
 */
export function fitCalibration(scores: ArrayLike<number>, labels: ArrayLike<number>): (score: number) => number {
  const rows = Array.from(scores, (score, at) => ({ score, label: labels[at] as number }));
  rows.sort((a, b) => a.score - b.score);
  const blocks: { score: number; sum: number; count: number }[] = [];
  for (const { score, label } of rows) {
    blocks.push({ score, sum: label, count: 1 });
    for (let last = blocks.length - 1; last > 0; last -= 1) {
      const [before, block] = [blocks[last - 1], blocks[last]] as [(typeof blocks)[0], (typeof blocks)[0]];
      if (before.score !== block.score && before.sum * block.count < block.sum * before.count) break;
      const count = before.count + block.count;
      const middle = (before.score * before.count + block.score * block.count) / count;
      blocks.splice(last - 1, 2, { score: middle, sum: before.sum + block.sum, count });
    }
  }
  return (score) => {
    const at = blocks.findIndex((block) => block.score >= score);
    const above = blocks[at < 0 ? blocks.length - 1 : at] as (typeof blocks)[0];
    const below = at > 0 ? (blocks[at - 1] as (typeof blocks)[0]) : above;
    const [low, high] = [below.sum / below.count, above.sum / above.count];
    if (above === below || at < 0) return high;
    return Math.min(high, low + ((high - low) * (score - below.score)) / (above.score - below.score));
  };
}

/** Returns the standard error of an area under the curve. Source: Hanley and McNeil, Radiology 143 (1982), 29-36. */
export function aucStandardError(auc: number, positives: number, negatives: number): number {
  const [q1, q2] = [auc / (2 - auc), (2 * auc * auc) / (1 + auc)];
  const variance =
    (auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)) /
    (positives * negatives);
  return Math.sqrt(Math.max(0, variance));
}
