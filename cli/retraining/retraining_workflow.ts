import type { JsonValue } from '#kernel/json';
import { SECOND_MS } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import { defineWorkflow, type WorkflowDefinition } from '#workflows/document/define_workflow';
import type { TaskDefinition } from '#workflows/tasks/task';
import { type Retraining, retrainingWorkflowName } from '../project/config/retraining_config.ts';
import { makeTrainingSet, materializeViews, validateData } from './tasks/data_tasks.ts';
import {
  archiveVersion,
  checkGates,
  compareModels,
  promoteVersion,
  registerVersion,
  rollBackVersion,
  stageVersion,
  trainModel,
} from './tasks/model_tasks.ts';
import { notifyOfRun, reportRun } from './tasks/report_tasks.ts';
import { watchCanary, watchProduction } from './tasks/watch_tasks.ts';

export const RETRAINING_TASKS = [
  ...[validateData, materializeViews, makeTrainingSet, trainModel, compareModels, registerVersion, checkGates],
  ...[
    archiveVersion,
    stageVersion,
    promoteVersion,
    rollBackVersion,
    watchCanary,
    watchProduction,
    reportRun,
    notifyOfRun,
  ],
] as unknown as readonly TaskDefinition[];

/** Trying again does not help. */
const PERMANENT = [
  ...['Data.TooFewLabels', 'Data.Stale', 'Data.Missing', 'Data.Quarantined', 'Retraining.NotConfigured'],
  ...['Retraining.NoMetric', 'Retraining.NoVersion', 'Retraining.FilesMissing', 'REGISTRY_PROMOTION_REFUSED'],
  'KERNEL_PACKAGE_MISSING',
];
const RETRY = [
  { ErrorEquals: PERMANENT, MaxAttempts: 0 },
  { ErrorEquals: ['States.TaskFailed'], IntervalSeconds: 5, BackoffRate: 3, MaxAttempts: 3 },
];
const LONGEST_STEP_SECONDS = 21_600;
/** A short watch looks so often. */
const LOOKS = 300;
/** A machine ends after 25,000 states; a look and its pause are three. */
const MOST_LOOKS = 3_000;

/** What of a project decides on the document. */
export interface RetrainingTraits {
  readonly settings: Retraining;
  /** Whether serving tries versions in Staging on a share of the entities. */
  readonly hasCanary: boolean;
  /** Whether the model reads views that are computed in batch. */
  readonly hasBatchViews: boolean;
  /** Whether the report of a run is sent to channels. */
  readonly isNotified: boolean;
}

type States = Record<string, JsonValue>;

/** Builds the workflow that trains a model again: `headwater workflows export` shows its document. */
export function retrainingWorkflow(model: string, traits: RetrainingTraits): WorkflowDefinition {
  const { settings } = traits;
  const name = retrainingWorkflowName(model);
  const document = {
    Comment: `Trains ${model} again, judges it against the version in production, and rolls it out`,
    StartAt: 'Begin',
    States: {
      Begin: { Type: 'Pass', Result: model, ResultPath: '$.model', Next: 'ValidateData' },
      ...training(traits),
      ...rollOut(traits),
      Archive: step(archiveVersion, 'ended', 'Report'),
      Report: {
        ...step(reportRun, undefined, undefined),
        ...(traits.isNotified ? { Next: 'Notify' } : { End: true }),
      },
      ...(traits.isNotified ? { Notify: { ...step(notifyOfRun, undefined, undefined), End: true } } : {}),
    },
  };
  const { cooldown, maxRunsAWeek } = settings;
  return defineWorkflow(name, document, { whenActive: 'refuse', cooldown, maxRunsAWeek }, RETRAINING_TASKS);
}

const step = <In, Out>(task: TaskDefinition<In, Out>, as: string | undefined, next: string | undefined): States => ({
  Type: 'Task',
  Resource: task.id,
  TimeoutSeconds: LONGEST_STEP_SECONDS,
  Retry: RETRY,
  ...(as === undefined ? {} : { ResultPath: `$.${as}` }),
  ...(next === undefined ? {} : { Next: next }),
});

const training = ({ settings, hasBatchViews, ...more }: RetrainingTraits): States => ({
  ValidateData: step(validateData, 'data', hasBatchViews ? 'Materialize' : 'TrainingSet'),
  ...(hasBatchViews ? { Materialize: step(materializeViews, 'materialized', 'TrainingSet') } : {}),
  TrainingSet: step(makeTrainingSet, 'set', 'Train'),
  Train: step(trainModel, 'trained', 'Compare'),
  Compare: step(compareModels, 'comparison', 'Register'),
  Register: step(registerVersion, 'version', 'Gates'),
  Gates: step(checkGates, 'gates', 'Decide'),
  Decide: {
    Type: 'Choice',
    Choices: [
      {
        And: [
          { Variable: '$.comparison.isBetter', BooleanEquals: true },
          { Variable: '$.gates.passed', BooleanEquals: true },
        ],
        Next: settings.approval === false ? afterApproval(more) : 'Approve',
      },
    ],
    Default: 'Archive',
  },
});

const afterApproval = ({ hasCanary }: Pick<RetrainingTraits, 'hasCanary'>): string => (hasCanary ? 'Stage' : 'Promote');

function rollOut(traits: RetrainingTraits): States {
  const { approval, canaryWithin, watch } = traits.settings;
  return {
    ...(approval === false
      ? {}
      : {
          Approve: {
            ...{ Type: 'Task', Resource: 'approval.waitForTaskToken', ResultPath: '$.approval' },
            Parameters: {
              ...(approval.role === undefined ? {} : { role: approval.role }),
              'version.$': '$.version.version',
              'reason.$': '$.comparison.reason',
            },
            TimeoutSeconds: Math.max(1, Math.round(durationMs(approval.expires) / SECOND_MS)),
            Catch: [{ ErrorEquals: ['Approval.Rejected', 'States.Timeout'], ResultPath: '$.error', Next: 'Archive' }],
            Next: afterApproval(traits),
          },
        }),
    ...(traits.hasCanary
      ? {
          Stage: step(stageVersion, 'staged', 'CanaryPause'),
          ...watching('Canary', step(watchCanary, 'canary', undefined), durationMs(canaryWithin), {
            passed: 'Promote',
            failed: 'Archive',
          }),
        }
      : {}),
    Promote: step(promoteVersion, 'promoted', 'WatchPause'),
    ...watching('Watch', step(watchProduction, 'watched', undefined), durationMs(watch.for), {
      passed: 'Report',
      failed: 'RollBack',
    }),
    RollBack: step(rollBackVersion, 'ended', 'Report'),
  };
}

/** Looks again and again, with pauses, until it has passed or failed. */
function watching(
  name: string,
  look: States,
  longestMs: number,
  { passed, failed }: { readonly passed: string; readonly failed: string },
): States {
  const result = look.ResultPath as string;
  const longest = longestMs / SECOND_MS;
  // A minute at most, unless the machine would end after too many states.
  const seconds = Math.max(1, Math.round(Math.min(60, longest / LOOKS)), Math.ceil(longest / MOST_LOOKS));
  return {
    [`${name}Pause`]: { Type: 'Wait', Seconds: seconds, Next: name },
    [name]: { ...look, Next: `${name}Decide` },
    [`${name}Decide`]: {
      Type: 'Choice',
      Choices: [
        { Variable: `${result}.state`, StringEquals: 'passed', Next: passed },
        { Variable: `${result}.state`, StringEquals: 'failed', Next: failed },
      ],
      Default: `${name}Pause`,
    },
  };
}
