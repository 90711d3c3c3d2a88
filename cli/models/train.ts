import { execFile } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { pathIn, readWhole } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { readTrainingSet, STATISTICS_FILE, trainingSetProblems } from '#feature_store/retrieval/training_set';
import { messageOf } from '#kernel/errors';
import { RegistryUnavailableError } from '#registry/errors';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { REPORT_FILE, readModelFolder, writeModelCard } from '#registry/model_folder';
import { CODE_TAG, DATA_QUALITY_TAG, GREEN, TRAINING_SET_TAG } from '#registry/model_tags';
import { judgedAs, type TrainingConfig } from '#registry/trainers/training_config';
import { feedbackLabels } from '#serving/prediction_store/feedback_labels';
import { makeTrainingSet, type TrainingSetOptions } from '../history/training_set.ts';
import { tableOf } from '../history/training_table.ts';
import { keepInStore } from '../object_store/object_store.ts';
import { registrationQueue } from '../parts/registrations.ts';
import { withOffline } from '../parts/with_offline.ts';
import { projectFolder } from '../project/loading/find_project.ts';
import { loadProject, type Project } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { describeMetrics, writeReport } from './evaluation_report.ts';
import { registerFolder } from './model_files.ts';
import { runTrainer } from './run_trainer.ts';

export interface TrainOptions {
  readonly trainingSet?: string;
  readonly labels?: string;
  readonly labelsFile?: string;
  readonly labelsQuery?: string;
  readonly each?: 'row' | 'entity';
  readonly from?: string;
  readonly to?: string;
  readonly out?: string;
  readonly search: number;
  readonly register: boolean;
}

/**
 * `headwater models train`: a training set, if there is none yet; a search for parameters, when told to; the model, judged on the newest fifth of the
 * rows; a new version in the registry, when told to.
 */
export async function trainModel(given: string | undefined, options: TrainOptions): Promise<void> {
  const config = await loadProject();
  const known = Object.keys(config.training);
  const name = given ?? (known.length === 1 ? known[0] : undefined);
  if (name === undefined) {
    throw new CommandFailedError(
      known.length === 0 ? 'the project has no model with a training' : `name the model to train: ${known.join(', ')}`,
    );
  }
  const training = trainingOf(config.training, name);
  const out = resolve(options.out ?? join(config.dataDirectory, 'training', name));
  const trainingSet = await trainingSetOf(options.trainingSet, join(out, 'training-set'));
  if (options.trainingSet === undefined) {
    await makeTrainingSet({ ...labelsFor(name, training, options), out: trainingSet });
  }
  const { description } = await trainFolder(config, name, { trainingSet, out, trials: options.search });
  if (!options.register) return;

  const queue = registrationQueue(config);
  try {
    await registerFolder(name, out, description);
  } catch (error) {
    if (!(error instanceof RegistryUnavailableError)) throw error;
    // What took minutes to train is not lost because the registry is away.
    await queue.add(name, out, description);
    process.stderr.write(`${messageOf(error)}\n`);
    process.stderr.write(
      'it is trained, and waits to be registered: a running platform does it, or headwater models register --pending\n',
    );
    process.exitCode = 1;
  }
}

/** Returns the folder of a training set on this machine; one in a bucket is copied there. */
async function trainingSetOf(given: string | undefined, own: string): Promise<string> {
  if (given === undefined || !given.startsWith('s3://')) return resolve(given ?? own);
  const files = createFileSystems()(given);
  await mkdir(own, { recursive: true });
  for (const path of await files.glob(pathIn(given, '*'))) {
    await writeFile(join(own, basename(path)), await readWhole(files, path));
  }
  return resolve(own);
}

/**
 * Trains a model on a training set and judges it on the newest fifth: the model, its card and its report are in `out`.
 *
 * @throws {@link TrainingError}; {@link CommandFailedError} for a model without a training
 */
export async function trainFolder(
  project: Project,
  name: string,
  { trainingSet, out, trials }: { readonly trainingSet: string; readonly out: string; readonly trials: number },
): Promise<{
  readonly description: string;
  readonly metrics: Readonly<Record<string, number>>;
  /** The commit of the project; undefined where it is in no repository. */
  readonly code: string | undefined;
}> {
  const { training: trainings, extensions } = project;
  const training = trainingOf(trainings, name);
  const trainerName = training.trainer === 'extension' ? training.use : training.trainer;
  const set = await readTrainingSet(trainingSet);
  const { manifest } = set;
  const lines: string[] = [];
  const say = (line: string): void => {
    lines.push(line);
    print(line);
  };
  say(`training set of ${manifest.service.service}: ${manifest.rows} rows, ${manifest.positives} positive`);
  const problems = trainingSetProblems(set);
  for (const problem of problems) say(`data quality: ${problem}`);

  const startedMs = performance.now();
  await runTrainer({
    model: name,
    newestCheckpoint: (of, beforeMs) => withOffline(project, ({ checkpoints }) => checkpoints.newest(of, beforeMs)),
    ...{ config: training, trainers: extensions.trainers, root: projectFolder(), set, trainingSet, out },
    ...{ trials, onLine: say },
  });
  const seconds = (performance.now() - startedMs) / 1_000;

  const folder = await readModelFolder(out);
  const code = await codeTag();
  const evaluation = await evaluateModel(folder.package, tableOf(set), judgedAs(training));
  const card = {
    metrics: { ...evaluation.metrics, ...folder.metrics, training_seconds: seconds },
    params: { ...folder.params, trainer: trainerName, seed: String(training.seed) },
    tags: {
      [DATA_QUALITY_TAG]: problems.length === 0 ? GREEN : problems.join('; '),
      [TRAINING_SET_TAG]: manifest.files[0]?.sha256 ?? '',
      ...code,
    },
  };
  await writeModelCard(out, card);
  await copyFile(join(trainingSet, 'manifest.json'), join(out, 'manifest.json'));
  await writeFile(join(out, STATISTICS_FILE), `${JSON.stringify(set.statistics, null, 2)}\n`);
  const judgedOn = `of ${manifest.service.service} that it was not trained on`;
  await writeReport(
    join(out, REPORT_FILE),
    name,
    { ...folder, ...card },
    { ...evaluation, metrics: card.metrics },
    judgedOn,
  );
  say(`judged on the newest ${evaluation.rows} rows: ${describeMetrics(evaluation.metrics)}`);
  say(`trained in ${seconds.toFixed(1)} s; ${join(out, REPORT_FILE)} has all of it`);
  await keepInStore(project, (store) => store.keepTraining(name, { trainingSet, out, lines }));
  return {
    description: `${trainerName} on ${manifest.service.service}, ${manifest.rows} rows`,
    metrics: card.metrics,
    code: code[CODE_TAG],
  };
}

/** Returns how a model is trained. @throws {@link CommandFailedError} when it is not */
function trainingOf(trainings: Project['training'], name: string): TrainingConfig {
  const found = trainings[name];
  if (found !== undefined) return found;
  const known = Object.keys(trainings).join(', ') || 'none';
  throw new CommandFailedError(`${name} cannot be trained: models with a training are ${known}`);
}

/** The commit, with a mark when there is more than is committed; nothing where there is no repository. */
async function codeTag(): Promise<Readonly<Record<string, string>>> {
  try {
    const { stdout } = await promisify(execFile)('git', ['describe', '--always', '--dirty', '--abbrev=40']);
    return { [CODE_TAG]: stdout.trim() };
  } catch {
    return {};
  }
}

/** Returns the options of a model's training set: labels as given, or else as its configuration says. */
export function labelsFor(
  name: string,
  { service, labels: usual }: TrainingConfig,
  {
    labels,
    labelsFile,
    labelsQuery,
    each,
    from,
    to,
  }: Pick<TrainOptions, 'labels' | 'labelsFile' | 'labelsQuery' | 'each' | 'from' | 'to'>,
): Omit<TrainingSetOptions, 'out'> {
  const isTold = [labels, labelsFile, labelsQuery, each].some((origin) => origin !== undefined);
  const origin = isTold || usual === undefined ? { labels, labelsFile, labelsQuery, each } : usualLabels(name, usual);
  const given = Object.fromEntries(Object.entries({ ...origin, from, to }).filter(([, value]) => value !== undefined));
  return { ...given, service, knownAtLabel: false, format: 'csv' };
}

function usualLabels(name: string, labels: NonNullable<TrainingConfig['labels']>) {
  if ('source' in labels) return { labels: labels.source };
  if ('feedback' in labels) return { labelsQuery: feedbackLabels(name, labels.feedback) };
  return { each: labels.each };
}
