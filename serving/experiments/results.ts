import { chiSquareTail } from '#kernel/statistics/distributions';
import type { ExperimentOutcomes } from '#serving/prediction_store/feedback_store';
import type { Experiment, Outcome } from '../routing/assignment.ts';
import { type Comparison, compare, type Estimate, meanOutcome } from './comparison.ts';

export interface VariantResult {
  readonly variant: string;
  readonly predictions: number;
  readonly entities: number;
  /** Predictions whose outcome is known. */
  readonly outcomes: number;
  /** Undefined while no outcome is known. */
  readonly mean: number | undefined;
  readonly standardError: number | undefined;
  /** With the first variant, which it is compared to; undefined for that one, and while little is known. */
  readonly comparison: Comparison | undefined;
}

export interface ExperimentResults {
  readonly model: string;
  readonly experiment: string;
  readonly outcome: Outcome;
  readonly variants: readonly VariantResult[];
  /** Whether entities were assigned as the weights say; a small p-value means a fault that invalidates all comparisons. */
  readonly sampleRatio: { readonly pValue: number; readonly mismatch: boolean } | undefined;
  /** The variant that is better than the first, by the sequential test, and has the largest mean; undefined while none is. */
  readonly winner: string | undefined;
}

const ALPHA = 0.05;
/** Below that, chance would be blamed too easily. */
const MISMATCH_BELOW = 0.001;
const FEWEST_UNITS = 30;
/** Of the standard deviation of an outcome: the differences that are looked for. */
const EXPECTED_EFFECT = 0.1;

/**
 * Compares the variants of an experiment with its first. Several challengers share the level (Bonferroni).
 *
 * @param outcomes - of variants that have answered, in any order
 */
export function resultsOf(
  {
    model,
    experiment,
    outcome,
  }: { readonly model: string; readonly experiment: Experiment; readonly outcome: Outcome },
  outcomes: readonly ExperimentOutcomes[],
): ExperimentResults {
  const byVariant = new Map(outcomes.map((each) => [each.variant, each]));
  const names = experiment.variants.map(({ name }) => name);
  const alpha = ALPHA / Math.max(1, names.length - 1);
  const first = byVariant.get(names[0] as string);
  const control = estimateOf(first);
  const mixtureVariance = expectedVariance(control, first);
  const variants = names.map((name, index): VariantResult => {
    const found = byVariant.get(name);
    const estimate = estimateOf(found);
    return {
      variant: name,
      predictions: found?.predictions ?? 0,
      entities: found?.assignedUnits ?? 0,
      outcomes: found?.outcomes ?? 0,
      mean: found === undefined || found.outcomes === 0 ? undefined : found.total / found.outcomes,
      standardError: estimate === undefined ? undefined : Math.sqrt(estimate.variance),
      comparison:
        index === 0 || estimate === undefined || control === undefined
          ? undefined
          : compare(control, estimate, { alpha, mixtureVariance }),
    };
  });
  return {
    ...{ model, experiment: experiment.name, outcome, variants },
    sampleRatio: sampleRatio(experiment, byVariant),
    winner: winnerOf(variants),
  };
}

/** @returns undefined while too little is known to say how sure it is */
export function estimateOf(found: ExperimentOutcomes | undefined): Estimate | undefined {
  return found === undefined || found.units < FEWEST_UNITS ? undefined : meanOutcome(found);
}

/** A tenth of a standard deviation of one unit's mean, squared. */
function expectedVariance(control: Estimate | undefined, { units = 0 }: Partial<ExperimentOutcomes> = {}): number {
  return Math.max(Number.MIN_VALUE, EXPECTED_EFFECT * EXPECTED_EFFECT * (control?.variance ?? 0) * units);
}

/** The χ² test of a sample ratio mismatch. @returns undefined for an experiment whose shares follow its results, or a few entities */
function sampleRatio({ variants, allocation, rules }: Experiment, found: ReadonlyMap<string, ExperimentOutcomes>) {
  if (allocation !== 'weights' || rules.length > 0) return undefined;
  const counts = variants.map(({ name }) => found.get(name)?.assignedUnits ?? 0);
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all < FEWEST_UNITS * variants.length) return undefined;
  const weights = variants.reduce((sum, { weight }) => sum + weight, 0);
  const statistic = variants.reduce((sum, { weight }, index) => {
    const expected = (all * weight) / weights;
    return sum + ((counts[index] as number) - expected) ** 2 / expected;
  }, 0);
  const pValue = chiSquareTail(statistic, variants.length - 1);
  return { pValue, mismatch: pValue < MISMATCH_BELOW };
}

function winnerOf(variants: readonly VariantResult[]): string | undefined {
  const better = variants.filter(({ comparison }) => (comparison?.sequential.interval[0] ?? 0) > 0);
  const [best] = [...better].sort((a, b) => (b.mean as number) - (a.mean as number));
  if (best !== undefined) return best.variant;
  // All others are worse: the first has won.
  const [control, ...others] = variants;
  const isBest = others.every(({ comparison }) => (comparison?.sequential.interval[1] ?? 0) < 0);
  return isBest ? control?.variant : undefined;
}
