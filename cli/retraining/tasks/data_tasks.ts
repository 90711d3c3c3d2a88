import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileSystems } from '#connectors/files/file_systems';
import { servicesById } from '#feature_store/definitions/feature_service';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { type LabelOrigin, loadLabels } from '#feature_store/retrieval/labels';
import { type TrainingRow, writeTrainingSet } from '#feature_store/retrieval/training_set';
import { eventTime, isoTime } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import { TaskError, task } from '#workflows/tasks/task';
import { materialize } from '../../history/history.ts';
import { collectTrainingSet } from '../../history/training_set.ts';
import { labelsFor } from '../../models/train.ts';
import type { ColumnRule } from '../../project/config/retraining_config.ts';
import { definitionsOf } from '../../project/project.ts';
import {
  type DataFound,
  inOffline,
  type RetrainingState,
  type SetMade,
  type StepParts,
  stepParts,
} from '../retraining_run.ts';

function trainingOf({ project }: StepParts, model: string) {
  const training = project.training[model];
  if (training === undefined) throw new TaskError('Retraining.NotConfigured', `model ${model} has no training`);
  const service = servicesById(definitionsOf(project)).get(training.service);
  if (service === undefined) {
    throw new TaskError('Retraining.NotConfigured', `model ${model}: ${training.service} is not switched on here`);
  }
  return { training, service };
}

/** Checks volume and freshness of labels and features before anything is computed from them. */
export const validateData = task(
  'model.validate-data@1',
  async ({ model }: RetrainingState, context): Promise<DataFound> => {
    const parts = await stepParts(model, context);
    const { training, service } = trainingOf(parts, model);
    const { window, minLabels, freshness } = parts.settings;
    const to = Date.now();
    const from = to - durationMs(window);
    const { labels: source, labelsQuery: query, each } = labelsFor(model, training, {});
    const origin = (source === undefined ? (query === undefined ? { each } : { query }) : { source }) as LabelOrigin;
    return inOffline(parts, async (offline) => {
      const range = { from: eventTime(from), to: eventTime(to) };
      const labels = await loadLabels({ offline, fileSystemOf: createFileSystems() }, origin, service, range);
      if (labels.length < minLabels) {
        throw new TaskError(
          'Data.TooFewLabels',
          `${labels.length} labels within ${window}; retraining.minLabels is ${minLabels}`,
        );
      }
      const newest = labels.reduce((latest, label) => Math.max(latest, label.eventTime), 0);
      const oldestAllowed = to - durationMs(freshness);
      const late = (what: string, at: number): TaskError =>
        new TaskError('Data.Stale', `${what} is of ${isoTime(at)}; retraining.freshness is ${freshness}`);
      if (newest < oldestAllowed) throw late('the newest label', newest);
      for (const { view } of service.stored) {
        const times = await offline.features.timesOf(view);
        if (times === undefined) throw new TaskError('Data.Missing', `${viewId(view)} has no rows`);
        if (times.newest < oldestAllowed) throw late(`the newest row of ${viewId(view)}`, times.newest);
      }
      context.log(`${labels.length} labels, the newest of ${isoTime(newest)}`);
      return { from: isoTime(from), to: isoTime(to), labels: labels.length, newestLabel: isoTime(newest) };
    });
  },
);

/** Computes the batch views that the model reads. */
export const materializeViews = task(
  'model.materialize@1',
  async ({ model }: RetrainingState, context): Promise<{ readonly views: readonly string[] }> => {
    const parts = await stepParts(model, context);
    const views = trainingOf(parts, model)
      .service.stored.filter(({ view }) => view.mode === 'batch')
      .map(({ view }) => viewId(view));
    if (views.length > 0) await materialize({ view: views });
    return { views };
  },
  { process: true },
);

/** Joins labels with the features of their time; rows that break a rule are set aside in a file. */
export const makeTrainingSet = task(
  'model.training-set@1',
  async ({ model, data }: RetrainingState, context): Promise<SetMade> => {
    const parts = await stepParts(model, context);
    const { rules, mostQuarantined } = parts.settings;
    const { from, to } = data as DataFound;
    const options = labelsFor(model, trainingOf(parts, model).training, { from, to });
    const problemOf = (row: TrainingRow): string | undefined => brokenRule(row.values, rules);
    return inOffline(parts, async (offline) => {
      const { set, setAside } = await collectTrainingSet(parts.project, offline, options, problemOf);
      await rm(parts.folder, { recursive: true, force: true });
      await mkdir(parts.folder, { recursive: true });
      const file = join(parts.folder, 'quarantine.jsonl');
      if (setAside.length > 0) {
        await writeFile(file, setAside.map(({ row, problem }) => `${JSON.stringify({ problem, ...row })}\n`).join(''));
        context.log(`${setAside.length} rows break a rule: ${file}`);
      }
      const all = set.manifest.rows + setAside.length;
      if (setAside.length > mostQuarantined * all) {
        throw new TaskError(
          'Data.Quarantined',
          `${setAside.length} of ${all} rows break a rule, such as: ${setAside[0]?.problem}; retraining.mostQuarantined is ${mostQuarantined}`,
        );
      }
      await writeTrainingSet(join(parts.folder, 'training-set'), set);
      const { rows, positives, files } = set.manifest;
      return { rows, positives, quarantined: setAside.length, sha256: files[0]?.sha256 ?? '' };
    });
  },
  { process: true },
);

/** Returns the first rule that a row breaks; undefined where it keeps all. */
export function brokenRule(
  values: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, ColumnRule>>,
): string | undefined {
  for (const [column, { required, min, max, oneOf }] of Object.entries(rules)) {
    const value = values[column] ?? null;
    if (value === null) {
      if (required) return `${column} is missing`;
      continue;
    }
    if (min !== undefined && !(Number(value) >= min)) return `${column} is ${value}, below ${min}`;
    if (max !== undefined && !(Number(value) <= max)) return `${column} is ${value}, above ${max}`;
    if (oneOf !== undefined && !oneOf.some((allowed) => allowed === value)) {
      return `${column} is ${JSON.stringify(value)}, none of ${oneOf.join(', ')}`;
    }
  }
  return undefined;
}
