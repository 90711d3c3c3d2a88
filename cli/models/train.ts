import { execFile } from 'node:child_process';
import { copyFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { readTrainingSet, STATISTICS_FILE, trainingSetProblems } from '#feature_store/retrieval/training_set';
import { messageOf } from '#kernel/errors';
import { RegistryUnavailableError } from '#registry/errors';
import { evaluateModel } from '#registry/evaluation/evaluate_model';
import { REPORT_FILE, readModelFolder, writeModelCard } from '#registry/model_folder';
import { CODE_TAG, DATA_QUALITY_TAG, GREEN, TRAINING_SET_TAG } from '#registry/model_tags';
import { judgedAs, type TrainingConfig } from '#registry/trainers/training_config';
import { makeTrainingSet } from '../history/training_set.ts';
import { tableOf } from '../history/training_table.ts';
import { registrationQueue } from '../parts/registrations.ts';
import { projectFolder } from '../project/find_project.ts';
import { loadProject } from '../project/project.ts';
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
 * `headwater train`: a training set, if there is none yet; a search for parameters, when told to; the model, judged on the newest fifth of the
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
  const training = config.training[name];
  if (training === undefined) {
    throw new CommandFailedError(`${name} cannot be trained: models with a training are ${known.join(', ') || 'none'}`);
  }
  const trainerName = training.trainer === 'extension' ? training.use : training.trainer;
  const out = resolve(options.out ?? join(config.dataDirectory, 'training', name));
  const trainingSet = resolve(options.trainingSet ?? join(out, 'training-set'));
  if (options.trainingSet === undefined) await makeTrainingSet(setOptions(options, training, trainingSet));
  const set = await readTrainingSet(trainingSet);
  const { manifest } = set;
  print(`training set of ${manifest.service.service}: ${manifest.rows} rows, ${manifest.positives} positive`);
  const problems = trainingSetProblems(set);
  for (const problem of problems) print(`data quality: ${problem}`);

  const startedMs = performance.now();
  await runTrainer({
    ...{ config: training, trainers: config.extensions.trainers, root: projectFolder(), set, trainingSet, out },
    ...{ trials: options.search, onLine: print },
  });
  const seconds = (performance.now() - startedMs) / 1_000;

  const folder = await readModelFolder(out);
  const evaluation = await evaluateModel(folder.package, tableOf(set), judgedAs(training));
  const card = {
    metrics: { ...evaluation.metrics, ...folder.metrics, training_seconds: seconds },
    params: { ...folder.params, trainer: trainerName, seed: String(training.seed) },
    tags: {
      [DATA_QUALITY_TAG]: problems.length === 0 ? GREEN : problems.join('; '),
      [TRAINING_SET_TAG]: manifest.files[0]?.sha256 ?? '',
      ...(await codeTag()),
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
  print(`judged on the newest ${evaluation.rows} rows: ${describeMetrics(evaluation.metrics)}`);
  print(`trained in ${seconds.toFixed(1)} s; ${join(out, REPORT_FILE)} has all of it`);
  if (!options.register) return;

  const queue = registrationQueue(config);
  const description = `${trainerName} on ${manifest.service.service}, ${manifest.rows} rows`;
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

/** The commit, with a mark when there is more than is committed; nothing where there is no repository. */
async function codeTag(): Promise<Readonly<Record<string, string>>> {
  try {
    const { stdout } = await promisify(execFile)('git', ['describe', '--always', '--dirty', '--abbrev=40']);
    return { [CODE_TAG]: stdout.trim() };
  } catch {
    return {};
  }
}

/** Labels as the command says, or else as the configuration does. */
function setOptions(
  { labels, labelsFile, labelsQuery, each, from, to }: TrainOptions,
  { service, labels: usual }: TrainingConfig,
  out: string,
) {
  const isTold = [labels, labelsFile, labelsQuery, each].some((origin) => origin !== undefined);
  const origin =
    isTold || usual === undefined
      ? { labels, labelsFile, labelsQuery, each }
      : 'source' in usual
        ? { labels: usual.source }
        : { each: usual.each };
  const given = Object.fromEntries(Object.entries({ ...origin, from, to }).filter(([, value]) => value !== undefined));
  return { ...given, service, out, knownAtLabel: false, format: 'csv' as const };
}
