import { expect, test } from '@jest/globals';
import { retrainingSchema, retrainingWorkflowName } from '#cli/project/config/retraining_config';
import { type RetrainingTraits, retrainingWorkflow } from '#cli/retraining/retraining_workflow';
import type { JsonObject } from '#kernel/json';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { approvalRole } from '#workflows/document/approval_role';

const traits = (settings: object = {}, more: Partial<RetrainingTraits> = {}): RetrainingTraits => ({
  settings: retrainingSchema.parse(settings),
  ...{ hasCanary: true, hasBatchViews: true, isNotified: true, ...more },
});

/** The states that follow one another, where each Choice takes what `passes` says. */
function pathOf(given: RetrainingTraits, passes: Readonly<Record<string, number | undefined>> = {}): readonly string[] {
  const { document } = retrainingWorkflow('fraud', given);
  const path: string[] = [];
  for (let at: string | undefined = document.StartAt; at !== undefined && path.length < 50; ) {
    path.push(at);
    const state = document.States[at] as unknown as JsonObject & {
      Choices?: { Next: string }[];
      Default?: string;
      Next?: string;
    };
    at = state.Choices === undefined ? state.Next : (state.Choices[passes[at] ?? 0]?.Next ?? state.Default);
  }
  return path;
}

const TRAINED = ['ValidateData', 'TrainingSet', 'Train', 'Compare', 'Register', 'Gates', 'Decide'];

test('the way to production, with all that a project may have, and with nothing of it', () => {
  expect(pathOf(traits())).toEqual([
    ...['Begin', 'ValidateData', 'Materialize', ...TRAINED.slice(1), 'Approve', 'Stage', 'CanaryPause', 'Canary'],
    ...['CanaryDecide', 'Promote', 'WatchPause', 'Watch', 'WatchDecide', 'Report', 'Notify'],
  ]);
  const bare = traits({ approval: false }, { hasCanary: false, hasBatchViews: false, isNotified: false });
  expect(pathOf(bare)).toEqual(['Begin', ...TRAINED, 'Promote', 'WatchPause', 'Watch', 'WatchDecide', 'Report']);
});

test('what is not better, rejected, or fails on a share or in production, goes no further', () => {
  const bare = traits({ approval: false }, { hasBatchViews: false, isNotified: false });
  expect(pathOf(bare, { Decide: 9 }).slice(-2)).toEqual(['Archive', 'Report']);
  expect(pathOf(bare, { CanaryDecide: 1 }).slice(-2)).toEqual(['Archive', 'Report']);
  expect(pathOf(bare, { WatchDecide: 1 }).slice(-3)).toEqual(['WatchDecide', 'RollBack', 'Report']);
  const { document } = retrainingWorkflow('fraud', traits());
  expect(document.States.Approve).toMatchObject({
    TimeoutSeconds: 259_200,
    Catch: [{ ErrorEquals: ['Approval.Rejected', 'States.Timeout'], Next: 'Archive' }],
  });
});

test.each(['30s', '30m', '1d', '30d', '400d'])(
  'a watch of %s ends before the machine has entered too many states',
  (time) => {
    const { document } = retrainingWorkflow('fraud', traits({ watch: { for: time }, canaryWithin: time }));
    const seconds = { s: 1, m: 60, d: 86_400 }[time.at(-1) as 's' | 'm' | 'd'] * Number.parseInt(time, 10);
    for (const pause of ['WatchPause', 'CanaryPause']) {
      const { Seconds } = document.States[pause] as { readonly Seconds: number };
      expect(Seconds).toBeGreaterThanOrEqual(1);
      expect((3 * seconds) / Seconds).toBeLessThanOrEqual(10_000);
    }
  },
);

test('names, settings, and the role of its approval; a catalog takes it, and refuses two models of one name', () => {
  expect(retrainingWorkflowName('Fraud.v2-x')).toBe('retrain_fraud_v2-x');
  const defined = retrainingWorkflow('fraud', traits({ approval: { role: 'risk' }, cooldown: '2h', maxRunsAWeek: 3 }));
  expect(defined.settings).toEqual({ whenActive: 'refuse', cooldown: '2h', maxRunsAWeek: 3 });
  expect(approvalRole(defined.document, 'Approve')).toBe('risk');
  expect(approvalRole(defined.document, 'Train')).toBeUndefined();
  expect(approvalRole(retrainingWorkflow('fraud', traits()).document, 'Approve')).toBeUndefined();
  const other = retrainingWorkflow('Fraud', traits());
  expect(() => new WorkflowCatalog([defined, other], [])).toThrow(/two workflows are called "retrain_fraud"/);
  const run = new WorkflowCatalog([defined], []).newRun('retrain_fraud', 'r1', {}, { kind: 'trigger', by: 'drift' });
  expect(run.limits).toMatchObject({ isOneAtATime: true, cooldownMs: 7_200_000, mostRunsAWeek: 3 });
});
