import { type Coordinates, type FtrlSettings, learnRow, logLoss, probabilityOf } from './ftrl_proximal.ts';
import {
  type CategoryCounts,
  type ColumnProblem,
  countCategories,
  type LearnedColumn,
  type LinearWeights,
  linearWeights,
  sparseRow,
} from './linear_rows.ts';

/** What a model that learns from each event reads, and how fast it learns. */
export interface OnlineLearnerSettings extends FtrlSettings {
  readonly columns: readonly LearnedColumn[];
  /** Examples from one checkpoint to the next; 2 or more. */
  readonly every: number;
  /** Checkpoints that the learner can go back to. */
  readonly keep: number;
  /** Categories of a column that get a weight of their own. */
  readonly mostCategories: number;
}

export const ONLINE_DEFAULTS = { alpha: 0.1, beta: 1, l1: 0, l2: 0, every: 500, keep: 4, mostCategories: 1_000 };

/** Features as they were at the prediction, and what came true. */
export interface LabelledExample {
  readonly id: string;
  readonly features: Readonly<Record<string, unknown>>;
  /** 0 or 1. */
  readonly label: number;
  /** Time of the features, ms since 1970. */
  readonly predictedAtMs: number;
}

/** Weights after so many examples. */
export interface OnlineCheckpoint {
  /** Time of the first example, ms since 1970: tells learners apart that began again. */
  readonly startedMs: number;
  readonly examples: number;
  /** Newest time of the features that it has learned from, ms since 1970: it may be judged on rows that are newer. */
  readonly newestMs: number;
  /** Mean loss of its examples since the last checkpoint, each before it was learned, in nats. */
  readonly loss: number;
  /** After how many examples it stood at these weights, where it went back to a checkpoint; null otherwise. */
  readonly wentBackTo: number | null;
  readonly weights: LinearWeights;
}

interface Kept {
  readonly examples: number;
  readonly coordinates: Coordinates;
  readonly categories: CategoryCounts;
  /** By how much the learner's loss was above its own, over the examples since the last checkpoint. */
  sum: number;
  squares: number;
}

/** State of a learner. Plain data: snapshots hold it. */
export interface OnlineLearner {
  startedMs: number;
  examples: number;
  newestMs: number;
  coordinates: Coordinates;
  categories: CategoryCounts;
  /** Sum of the losses since the last checkpoint. */
  losses: number;
  /** The oldest first. */
  kept: Kept[];
}

export const newLearner = (startedMs: number): OnlineLearner => ({
  ...{ startedMs, examples: 0, newestMs: Number.NEGATIVE_INFINITY, losses: 0, kept: [] },
  ...{ coordinates: new Map(), categories: new Map() },
});

/** Standard errors beyond which a difference is not chance. */
const SURE = 3.1;

/**
 * Learns an example, in place. Each `every` examples it makes a checkpoint, and looks whether one of those it has kept would have had a loss lower
 * beyond chance on these same examples: labels that were wrong have then spoilt what came after, and it goes back to the best of them.
 *
 * @returns a checkpoint when one is due; a problem for an example that is left out
 */
export function learnExample(
  learner: OnlineLearner,
  { features, label, predictedAtMs }: LabelledExample,
  settings: OnlineLearnerSettings,
): OnlineCheckpoint | ColumnProblem | undefined {
  const { columns, mostCategories, every } = settings;
  if (label !== 0 && label !== 1) return { field: 'label', problem: `is ${label}: send 0 or 1` };
  const row = sparseRow(columns, features, learner, mostCategories);
  if ('problem' in row) return row;
  countCategories(columns, row, learner);
  const loss = logLoss(learnRow(learner.coordinates, row, label, settings), label);
  for (const kept of learner.kept) {
    // A kept learner sees the row as it would have then.
    const seen = sparseRow(columns, features, kept, mostCategories);
    if ('problem' in seen) continue;
    const difference = loss - logLoss(probabilityOf(kept.coordinates, seen, settings), label);
    kept.sum += difference;
    kept.squares += difference * difference;
  }
  learner.losses += loss;
  learner.examples += 1;
  learner.newestMs = Math.max(learner.newestMs, predictedAtMs);
  return learner.examples % every === 0 ? checkpoint(learner, settings) : undefined;
}

function checkpoint(learner: OnlineLearner, settings: OnlineLearnerSettings): OnlineCheckpoint {
  const { columns, every, keep } = settings;
  const best = bestKept(learner.kept, every);
  if (best !== undefined) {
    learner.kept = learner.kept.slice(0, learner.kept.indexOf(best) + 1);
    Object.assign(learner, copyOf(best));
  } else if (keep > 0) {
    learner.kept = [
      ...learner.kept.slice(Math.max(0, learner.kept.length - keep + 1)),
      { examples: learner.examples, ...copyOf(learner), sum: 0, squares: 0 },
    ];
  }
  for (const kept of learner.kept) Object.assign(kept, { sum: 0, squares: 0 });
  const loss = learner.losses / every;
  learner.losses = 0;
  const { startedMs, examples, newestMs, coordinates } = learner;
  return {
    ...{ startedMs, examples, newestMs, loss, wentBackTo: best?.examples ?? null },
    weights: linearWeights(coordinates, columns, settings),
  };
}

/** Returns the kept checkpoint of the lowest loss among those whose loss is lower than the learner's beyond chance. */
function bestKept(kept: readonly Kept[], rows: number): Kept | undefined {
  const better = kept.filter(({ sum, squares }) => {
    const variance = Math.max(0, squares - (sum * sum) / rows) / (rows - 1);
    return sum > 0 && sum > SURE * Math.sqrt(variance * rows);
  });
  return better.reduce<Kept | undefined>(
    (best, each) => (best === undefined || each.sum > best.sum ? each : best),
    undefined,
  );
}

const copyOf = ({ coordinates, categories }: Pick<Kept, 'coordinates' | 'categories'>) => ({
  coordinates: new Map([...coordinates].map(([name, { z, n }]) => [name, { z, n }])),
  categories: new Map(categories),
});
