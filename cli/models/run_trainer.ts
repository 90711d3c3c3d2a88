import { environment } from '#configs/environment';
import { resolveExtension } from '#configs/extension';
import type { TrainingSet } from '#feature_store/retrieval/training_set';
import type { CheckpointStore } from '#pipelines/transforms/online/checkpoint_store';
import { TrainingError } from '#registry/errors';
import { readModelFolder, writeModelFolder, writeSignature } from '#registry/model_folder';
import { trainByCommand } from '#registry/trainers/command_trainer';
import type { Trainer } from '#registry/trainers/define_trainer';
import { trainInPython } from '#registry/trainers/python_trainer';
import { trainMlp } from '#registry/trainers/tfjs/train_mlp';
import type { TrainingConfig } from '#registry/trainers/training_config';
import type { TrainingTable } from '#registry/training_table';
import { tableOf } from '../history/training_table.ts';
import { trainOnline } from './train_online.ts';

export interface TrainerRun {
  readonly model: string;
  /** Reads the weights of online learners. */
  readonly newestCheckpoint: CheckpointStore['newest'];
  readonly config: TrainingConfig;
  /** Of the project. */
  readonly trainers: readonly Trainer[];
  /** The project's folder. */
  readonly root: string;
  readonly set: Pick<TrainingSet, 'manifest' | 'rows'>;
  /** Folder of the training set. */
  readonly trainingSet: string;
  /** Folder that gets the model. */
  readonly out: string;
  readonly trials: number;
  readonly onLine: (line: string) => void;
}

/**
 * Trains with the configured trainer: one of the platform's, in Python or in Node, or the online learner; one of the project's `trainers`; or a command of the project.
 *
 * @throws {@link TrainingError} when training fails; {@link ConfigError} for a trainer that the project lacks, or its settings
 */
export async function runTrainer(run: TrainerRun): Promise<void> {
  const { config, trainers, root, set, trainingSet, out, trials, onLine } = run;
  if (config.trainer === 'command') {
    await trainByCommand({ config, cwd: root, trainingSet, out, trials, onLine });
    return nameDefinitions(out, set);
  }
  if (config.trainer === 'online') {
    await trainOnline({ ...run, config });
    return nameDefinitions(out, set);
  }
  if (config.trainer === 'mlp') {
    if (trials > 0) throw new TrainingError('--search is for trainers in Python; "mlp" is none');
    const { package: model, params } = await trainMlp(withColumns(tableOf(set), config.columns), {
      ...{ classes: config.classes, epochs: config.params.epochs, seed: config.seed },
      onProgress: ({ epoch, loss }) => onLine(`epoch ${epoch} of ${config.params.epochs}: loss ${loss.toFixed(4)}`),
    });
    await writeModelFolder(out, model, { card: { metrics: {}, params } });
    return nameDefinitions(out, set);
  }
  if (config.trainer !== 'extension') {
    const { PYTHON: python } = environment();
    await trainInPython({ config, trainingSet, out, trials, onLine, ...(python === undefined ? {} : { python }) });
    return nameDefinitions(out, set);
  }
  const { extension, settings } = resolveExtension('training', 'trainers', trainers, config);
  if (trials > 0) {
    throw new TrainingError(`--search is for the platform's trainers; "${extension.name}" is one of the project`);
  }
  const job = { table: withColumns(tableOf(set), config.columns), settings, seed: config.seed, report: onLine };
  const { package: model, metrics = {}, params = {} } = await extension.train(job);
  await writeModelFolder(out, model, { card: { metrics, params } });
  await nameDefinitions(out, set);
}

/** Makes a model name the definitions that its training set was made with, whatever its trainer wrote of them: promotion and serving compare them. */
async function nameDefinitions(out: string, set: TrainerRun['set']): Promise<void> {
  const { package: model } = await readModelFolder(out);
  const { featureService } = tableOf(set);
  await writeSignature(out, { ...model, signature: { ...model.signature, featureService } });
}

/** Returns a table with these columns alone, in the table's order. */
function withColumns(table: TrainingTable, columns: readonly string[] | undefined): TrainingTable {
  if (columns === undefined) return table;
  const chosen = new Set(columns);
  const places = table.columns.flatMap(({ name }, index) => (chosen.has(name) ? [index] : []));
  return {
    ...table,
    columns: places.map((at) => table.columns[at] as TrainingTable['columns'][number]),
    rows: table.rows.map((row) => places.map((at) => row[at] ?? null)),
  };
}
