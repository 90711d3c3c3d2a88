import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readTrainingSet } from '#feature_store/retrieval/training_set';
import { messageOf } from '#kernel/errors';
import { InvalidModelError, TrainingError } from '#registry/errors';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { COMPARISON_TAG } from '#registry/lifecycle/comparison';
import { readModelFolder } from '#registry/model_folder';
import { judgedAs } from '#registry/trainers/training_config';
import { examineModel } from '#serving/models/loaded_model';
import { TaskError, task } from '#workflows/tasks/task';
import { tableOf } from '../../history/training_table.ts';
import { withLifecycle } from '../../models/models.ts';
import { trainFolder } from '../../models/train.ts';
import { TRAIN_TASK } from '../../project/config/retraining_config.ts';
import { decidingMetric, judge } from '../compare_versions.ts';
import { type Compared, inRegistry, type RetrainingState, type StepParts, stepParts } from '../retraining_run.ts';

/** On a version: the run that has registered it, so that a step that is repeated finds its version. */
export const RUN_TAG = 'headwater.run';

/** @throws {@link TaskError} where an earlier step ran on another machine */
function filesOf({ folder }: StepParts): { readonly trainingSet: string; readonly out: string } {
  const trainingSet = join(folder, 'training-set');
  if (!existsSync(trainingSet)) {
    throw new TaskError(
      'Retraining.FilesMissing',
      `${trainingSet} does not exist: workers must share dataDirectory; or redrive the run from its start`,
    );
  }
  return { trainingSet, out: join(folder, 'model') };
}

/** Trains on all but the newest fifth of the set, after a search for parameters where one is configured. */
export const trainModel = task(
  `${TRAIN_TASK}@1`,
  async ({ model }: RetrainingState, context) => {
    const parts = await stepParts(model, context);
    return trainFolder(parts.project, model, { ...filesOf(parts), trials: parts.settings.search });
  },
  { process: true },
);

/** Judges the new model and the one in production on the same newest fifth of the rows. */
export const compareModels = task(
  'model.compare@1',
  async ({ model }: RetrainingState, context): Promise<Compared> => {
    const parts = await stepParts(model, context);
    const { project, settings } = parts;
    const { trainingSet, out } = filesOf(parts);
    const set = await readTrainingSet(trainingSet);
    const training = project.training[model];
    const judged = training === undefined ? {} : judgedAs(training);
    const challenger = await evaluateModel((await readModelFolder(out)).package, tableOf(set), judged);
    const deciding = decidingMetric(settings, project.promotion[model], challenger.metrics);
    if (deciding === undefined) {
      const known = Object.keys(challenger.metrics).join(', ');
      throw new TaskError('Retraining.NoMetric', `set retraining.metric: the evaluation has ${known}`);
    }
    const champion = await inRegistry(parts, async (registry) => {
      const version = await registry.resolve(model, { stage: 'Production' });
      if (version === undefined) return undefined;
      try {
        const { metrics } = await evaluateModel(await registry.download(version), tableOf(set), judged);
        return { version: version.version, metrics };
      } catch (error) {
        // Of other columns than the definitions have now.
        if (!(error instanceof InvalidModelError || error instanceof TrainingError)) throw error;
        context.log(`version ${version.version} in production cannot be compared: ${messageOf(error)}`);
        return undefined;
      }
    });
    const verdict = judge(deciding, challenger.metrics, champion, settings.minGain);
    context.log(verdict.reason);
    return {
      ...{ champion: champion?.version ?? null, metric: deciding.metric, rows: challenger.rows, ...verdict },
      ...{ metrics: challenger.metrics, championMetrics: champion?.metrics ?? {} },
    };
  },
  { process: true },
);

/** Registers the model with what it was compared with. */
export const registerVersion = task(
  'model.register@1',
  async ({ model, comparison, trained }: RetrainingState, context): Promise<{ readonly version: number }> => {
    const parts = await stepParts(model, context);
    return inRegistry(parts, async (registry) => {
      const before = (await registry.listVersions(model).catch(() => [])).find(
        ({ tags }) => tags[RUN_TAG] === context.run,
      );
      if (before !== undefined) return { version: before.version };
      const { tags, ...folder } = await readModelFolder(filesOf(parts).out);
      await examineModel(folder.package);
      const { champion, rows, metrics, championMetrics } = comparison as Compared;
      const compared =
        champion === null ? {} : { [COMPARISON_TAG]: JSON.stringify({ champion, rows, metrics, championMetrics }) };
      const { version } = await registry.register({
        ...{ name: model, description: `${trained?.description ?? ''}, by run ${context.run}`, ...folder },
        tags: { ...tags, ...compared, [RUN_TAG]: context.run },
      });
      context.log(`${model} ${version} is registered`);
      return { version };
    });
  },
);

const versionOf = ({ model, version }: RetrainingState): number => {
  if (version !== undefined) return version.version;
  throw new TaskError('Retraining.NoVersion', `no version of ${model} was registered by this run`);
};

/** Runs the gates of promotion. */
export const checkGates = task('model.gates@1', async (state: RetrainingState, context) => {
  const results = await withLifecycle((lifecycle) => lifecycle.validate(state.model, versionOf(state)));
  for (const { gate, passed, detail } of results) context.log(`${passed ? 'passed' : 'FAILED'} ${gate}: ${detail}`);
  const failed = results.filter(({ passed }) => !passed).map(({ gate, detail }) => `${gate}: ${detail}`);
  return { passed: failed.length === 0, failed };
});

/** Archives the version with why it was not promoted. */
export const archiveVersion = task('model.archive@1', async (state: RetrainingState, context) => {
  const { by } = await stepParts(state.model, context);
  const reason = whyNot(state);
  await withLifecycle((lifecycle) => lifecycle.archive(state.model, versionOf(state), { by, reason }));
  context.log(reason);
  return { outcome: 'archived' as const, reason };
});

/** Returns why a version goes no further. */
export function whyNot({ comparison, gates, error, canary }: RetrainingState): string {
  if (canary?.state === 'failed') return `canary: ${canary.reason}`;
  if (error?.Error === 'States.Timeout' || error?.Error === 'States.HeartbeatTimeout')
    return 'its approval has expired';
  if (error !== undefined)
    return `${error.Error === 'Approval.Rejected' ? 'rejected by ' : `${error.Error}: `}${error.Cause}`;
  if (comparison?.isBetter === false) return `not better: ${comparison.reason}`;
  return `gates: ${gates?.failed.join('; ') ?? 'not run'}`;
}

/** Puts the version into Staging, where a canary follows it. */
export const stageVersion = task('model.stage@1', async (state: RetrainingState, context) => {
  const { by } = await stepParts(state.model, context);
  const reason = state.comparison?.reason ?? '';
  const { stage } = await withLifecycle((lifecycle) =>
    lifecycle.promote(state.model, versionOf(state), { stage: 'Staging', by, reason }),
  );
  return { stage, at: new Date().toISOString() };
});

/** Puts the version into production, through the gates. */
export const promoteVersion = task('model.promote@1', async (state: RetrainingState, context) => {
  const { by } = await stepParts(state.model, context);
  const { approval, comparison, model } = state;
  const version = versionOf(state);
  const why = [
    approval === undefined ? '' : `approved by ${approval.by}: ${approval.reason}`,
    comparison?.reason ?? '',
  ];
  return withLifecycle(async (lifecycle, registry) => {
    const now = await registry.resolve(model, { stage: 'Production' });
    if (now?.version !== version) {
      await lifecycle.promote(model, version, {
        ...{ stage: 'Production' as const, by, reason: why.filter((part) => part !== '').join('; ') },
        ...(approval === undefined ? {} : { approvedBy: approval.by }),
      });
    }
    context.log(`${model} ${version} is in Production`);
    return { at: new Date().toISOString(), replaced: now?.version === version ? null : (now?.version ?? null) };
  });
});

/** Puts back the version that was in production before. */
export const rollBackVersion = task('model.roll-back@1', async (state: RetrainingState, context) => {
  const { by } = await stepParts(state.model, context);
  const reason = state.watched?.reason ?? 'it did worse in production';
  const version = versionOf(state);
  await withLifecycle(async (lifecycle, registry) => {
    // A step that is repeated rolls back once.
    const now = await registry.resolve(state.model, { stage: 'Production' });
    if (now?.version === version) await lifecycle.rollback(state.model, { by, reason });
  });
  context.log(`${state.model} ${version} is rolled back: ${reason}`);
  return { outcome: 'rolled_back' as const, reason };
});
