import { expect, test } from '@jest/globals';
import { retrainingSchema } from '#cli/project/config/retraining_config';
import { decidingMetric, judge } from '#cli/retraining/compare_versions';
import { brokenRule } from '#cli/retraining/tasks/data_tasks';
import { whyNot } from '#cli/retraining/tasks/model_tasks';
import { liveVerdict } from '#cli/retraining/tasks/watch_tasks';
import { type RetrainingFacts, standardErrorOf, triggerOf } from '#cli/retraining/triggers';
import { Random } from '#kernel/random';
import { binaryMetrics } from '#kernel/statistics/binary_metrics';
import { estimatePerformance } from '#monitoring/drift/estimated_performance';

const AUC = { metric: 'auc', better: 'higher' } as const;
const QUIET: RetrainingFacts = {
  ...{ version: 3, deciding: AUC, reference: 0.9, drifted: [[], []], live: undefined, estimated: undefined },
  ...{ labels: 10_000, newLabels: 0 },
};
const ALL = retrainingSchema.parse({ triggers: { drift: {}, performance: {}, estimated: {}, newLabels: 5_000 } });
const live = (value: number, standardError: number) => ({ live: { value, standardError, outcomes: 2_000 } });

test.each([
  { name: 'nothing', facts: {}, want: undefined },
  { name: 'a loss that chance can make', facts: live(0.8, 0.04), want: undefined },
  { name: 'a loss that is allowed', facts: live(0.86, 0.001), want: undefined },
  { name: 'measured performance', facts: live(0.8, 0.01), want: 'performance' },
  { name: 'a gain', facts: live(0.99, 0.001), want: undefined },
  {
    name: 'estimated performance',
    facts: { estimated: { value: 0.8, first: 0.9, standardError: 0.01, rows: 5_000 } },
    want: 'estimated',
  },
  {
    name: 'an estimate that was low from the beginning',
    facts: { estimated: { value: 0.7, first: 0.72, standardError: 0.001, rows: 5_000 } },
    want: undefined,
  },
  { name: 'drift in the newest window alone', facts: { drifted: [['amount'], []] }, want: undefined },
  { name: 'drift in one window, the first', facts: { drifted: [['amount']] }, want: undefined },
  { name: 'drift', facts: { drifted: [['amount'], ['amount', 'country']] }, want: 'drift' },
  { name: 'labels', facts: { newLabels: 5_000 }, want: 'new_labels' },
])('a run is started by $name: $want', ({ facts, want }) => {
  expect(triggerOf(ALL, { ...QUIET, ...facts })?.kind).toBe(want);
  expect(triggerOf(retrainingSchema.parse({}), { ...QUIET, ...facts })).toBeUndefined();
});

test('metrics that are better when lower lose by a share of what they were', () => {
  const facts = { ...QUIET, deciding: { metric: 'rmse', better: 'lower' as const }, reference: 200 };
  expect(triggerOf(ALL, { ...facts, ...live(208, 1) })).toBeUndefined();
  expect(triggerOf(ALL, { ...facts, ...live(215, 1) })?.detail).toBe(
    'rmse 215.0 by 2000 outcomes; version 3 was judged at 200.0',
  );
});

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** What a model of the world as it was comes to in a window: `turned` of the rows follow another pattern now. */
function windowOf(
  random: Random,
  turned: number,
): Pick<RetrainingFacts, 'live' | 'estimated'> & { readonly auc: number } {
  const scores: number[] = [];
  const labels: number[] = [];
  for (let row = 0; row < 2_000; row += 1) {
    const p = sigmoid(-1 + 2 * random.normal());
    scores.push(p);
    labels.push(random.next() < (random.next() < turned ? 1 - p : p) ? 1 : 0);
  }
  const { auc } = binaryMetrics(labels, scores);
  const positives = labels.reduce((sum, label) => sum + label, 0);
  const estimate = estimatePerformance(scores, 0.5);
  return {
    auc,
    live: {
      value: auc,
      outcomes: 2_000,
      standardError: standardErrorOf('auc', auc, { positives, negatives: 2_000 - positives }),
    },
    estimated: { value: estimate.auc, first: estimate.auc, rows: 2_000, standardError: 0.01 },
  };
}

test('no change: no run in 1,000 windows; a pattern that turns in a fifth of the rows starts one in its first window', () => {
  const random = new Random(7);
  const reference = windowOf(random, 0).auc;
  const first = estimatePerformance(
    Array.from({ length: 5_000 }, () => sigmoid(-1 + 2 * random.normal())),
    0.5,
  ).auc;
  const settings = retrainingSchema.parse({ triggers: { drift: {}, performance: {}, estimated: {} } });
  const look = (turned: number) => {
    const { live: measured, estimated } = windowOf(random, turned);
    const estimate = estimated === undefined ? undefined : { ...estimated, first };
    return triggerOf(settings, { ...QUIET, reference, live: measured, estimated: estimate });
  };
  expect(Array.from({ length: 1_000 }, () => look(0)).filter((trigger) => trigger !== undefined)).toEqual([]);
  expect(look(0.2)).toMatchObject({ kind: 'performance' });
});

test('which metric decides: the setting, the gates, or what is usual; lower is better for errors', () => {
  const metrics = { accuracy: 0.9, rmse: 3 };
  expect(decidingMetric({ metric: undefined, better: undefined }, undefined, metrics)).toEqual({
    metric: 'accuracy',
    better: 'higher',
  });
  expect(
    decidingMetric({ metric: 'rmse', better: undefined }, { metric: 'accuracy', better: 'higher' }, metrics),
  ).toEqual({ metric: 'rmse', better: 'lower' });
  expect(
    decidingMetric({ metric: undefined, better: undefined }, { metric: 'cost', better: 'lower' }, metrics),
  ).toEqual({ metric: 'cost', better: 'lower' });
  expect(decidingMetric({ metric: undefined, better: undefined }, undefined, { silhouette: 1 })).toBeUndefined();
});

test.each([
  { value: 0.8, held: 0.7, minGain: 0, isBetter: true },
  { value: 0.7, held: 0.7, minGain: 0, isBetter: false },
  { value: 0.69, held: 0.7, minGain: 0, isBetter: false },
  { value: 0.72, held: 0.7, minGain: 0.05, isBetter: false },
  { value: Number.NaN, held: 0.7, minGain: 0, isBetter: false },
  { value: 0.5, held: undefined, minGain: 0.05, isBetter: true },
])('a challenger at $value against $held, $minGain required: $isBetter', ({ value, held, minGain, isBetter }) => {
  const champion = held === undefined ? undefined : { version: 2, metrics: { auc: held } };
  expect(judge(AUC, { auc: value }, champion, minGain)).toMatchObject({
    isBetter,
    reason: expect.stringMatching(/auc/),
  });
});

test('rows that break a rule are named with their value', () => {
  const { rules } = retrainingSchema.parse({
    rules: { amount: { min: 0, max: 10 }, country: { required: true, oneOf: ['DE', 'FR'] } },
  });
  expect(brokenRule({ amount: 5, country: 'DE' }, rules)).toBeUndefined();
  expect(brokenRule({ amount: null, country: 'FR' }, rules)).toBeUndefined();
  expect(brokenRule({ amount: -1, country: 'DE' }, rules)).toBe('amount is -1, below 0');
  expect(brokenRule({ amount: 11, country: 'DE' }, rules)).toBe('amount is 11, above 10');
  expect(brokenRule({ amount: Number.NaN, country: 'DE' }, rules)).toBe('amount is NaN, below 0');
  expect(brokenRule({ amount: 1 }, rules)).toBe('country is missing');
  expect(brokenRule({ amount: 1, country: 'US' }, rules)).toBe('country is "US", none of DE, FR');
});

test.each([
  [{ comparison: { isBetter: false, reason: 'auc 0.6 against 0.7' } }, 'not better: auc 0.6 against 0.7'],
  [{ gates: { passed: false, failed: ['size: 3 of 2 bytes'] } }, 'gates: size: 3 of 2 bytes'],
  [{ error: { Error: 'Approval.Rejected', Cause: 'ann: too risky' } }, 'rejected by ann: too risky'],
  [{ error: { Error: 'States.Timeout', Cause: '' } }, 'its approval has expired'],
  [{ canary: { state: 'failed', reason: '9 of 200 rows failed' } }, 'canary: 9 of 200 rows failed'],
])('why a version is archived: %j', (state, reason) => {
  expect(whyNot({ model: 'm', ...state } as never)).toBe(reason);
});

test('a version in production is judged by what it was judged by before', () => {
  const settings = retrainingSchema.parse({ watch: { drop: 0.1 } });
  const comparison = { metrics: { auc: 0.9 } } as never;
  expect(liveVerdict({ comparison }, undefined, settings, { auc: 0.85 })?.isWorse).toBe(false);
  expect(liveVerdict({ comparison }, undefined, settings, { auc: 0.75 })?.isWorse).toBe(true);
  expect(liveVerdict({ comparison }, undefined, settings, {})).toBeUndefined();
});
