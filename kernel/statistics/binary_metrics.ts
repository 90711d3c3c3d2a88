/** How well probabilities separate and predict two classes. */
export interface BinaryMetrics {
  /** Area under the ROC curve; ties count half. */
  readonly auc: number;
  /** Average precision: area under the precision-recall curve, step-wise. */
  readonly pr_auc: number;
  readonly logloss: number;
  readonly brier: number;
}

const SMALLEST = 1e-15;

/**
 * Returns how well scores separate and predict two classes.
 *
 * @param labels - 0 or 1
 * @param scores - probability of 1, same length
 * @throws {RangeError} when one of the classes is absent: the areas are then undefined
 */
export function binaryMetrics(labels: readonly number[], scores: ArrayLike<number>): BinaryMetrics {
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const negatives = labels.length - positives;
  if (positives === 0 || negatives === 0) {
    throw new RangeError(`metrics need both classes: there are ${positives} positives and ${negatives} negatives`);
  }
  const order = labels.map((_, index) => index).sort((a, b) => (scores[b] as number) - (scores[a] as number));
  let area = 0;
  let averagePrecision = 0;
  let truePositives = 0;
  let falsePositives = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    let tiedPositives = 0;
    while (end < order.length && scores[order[end] as number] === scores[order[start] as number]) {
      tiedPositives += labels[order[end] as number] as number;
      end += 1;
    }
    const tiedNegatives = end - start - tiedPositives;
    area += tiedNegatives * (truePositives + tiedPositives / 2);
    truePositives += tiedPositives;
    falsePositives += tiedNegatives;
    averagePrecision += (tiedPositives / positives) * (truePositives / (truePositives + falsePositives));
    start = end;
  }
  let logloss = 0;
  let brier = 0;
  for (const [index, label] of labels.entries()) {
    const score = Math.min(1 - SMALLEST, Math.max(SMALLEST, scores[index] as number));
    logloss -= label === 1 ? Math.log(score) : Math.log(1 - score);
    brier += (score - label) ** 2;
  }
  return {
    auc: area / (positives * negatives),
    pr_auc: averagePrecision,
    logloss: logloss / labels.length,
    brier: brier / labels.length,
  };
}
