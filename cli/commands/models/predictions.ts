import { availableParallelism } from 'node:os';
import { Option } from '@commander-js/extra-typings';
import { BATCH_FORMATS } from '../../terminal/choices.ts';
import { resumes } from '../../terminal/interrupt.ts';
import { noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { integer, threadCount, versionNumber } from '../values.ts';

export function registerPredictions(program: Program): void {
  const predictions = noun(program, 'predictions', 'What models have predicted, and predictions of files');
  predictions
    .command('list', { isDefault: true })
    .description('List predictions, newest first')
    .option('--limit <n>', 'number of predictions', integer(1), 20)
    .option('--model <name>', 'predictions of this model')
    .option('--entity <key>', 'predictions of this entity: a key such as user:x9, or an id')
    .option('--since <time>', 'predictions at or after this time, ISO 8601')
    .option('--json', 'print a JSON array, with the features', false)
    .action(lazily(() => import('../../models/predictions.ts'), 'listPredictions'));

  const batch = predictions
    .command('batch')
    .description('Score files with a model; an interrupted run resumes')
    .argument('<model>', 'name of the model')
    .requiredOption('--in <patterns...>', 'files: .parquet, .jsonl, .csv or .avro, with * and **; local or s3://')
    .requiredOption('--out <folder>', 'folder for the predictions, one file for each part of the input')
    .addOption(
      new Option('--format <format>', 'format of the predictions').choices(BATCH_FORMATS).default('parquet' as const),
    )
    .option('--keep <columns...>', 'input columns to copy (default: those that are not inputs of the model)')
    .option('--model-version <n>', 'version of the model (default: the one in --stage)', versionNumber)
    .addOption(
      new Option('--stage <stage>', 'stage of the version')
        .choices(['Staging', 'Production'] as const)
        .default('Production' as const),
    )
    .addOption(
      new Option('--threads <count>', 'worker threads')
        .argParser(threadCount)
        .default(availableParallelism(), 'one for each core'),
    )
    .action(lazily(() => import('../../models/batch_predict.ts'), 'batchPredict'));
  resumes(batch, 'run the command again: parts that are written are not scored again');
}
