import { resumes } from '../../terminal/interrupt.ts';
import { type NewCommand, noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { decimal, NONE, repeated } from '../values.ts';
import { FEATURES } from './features.ts';

const history = () => import('../../history/history.ts');

const withSource = (command: NewCommand) =>
  command
    .option(
      '--in <pattern...>',
      'files with events: JSON lines, CSV, Parquet or Avro, also gzipped; local or s3://; read in the order of their names (default: the histories of the sources)',
    )
    .option('--query <sql>', "query of the offline store's database that returns events, instead of files")
    .option('--view <name@version>', 'compute this view; repeatable', repeated, NONE)
    .option('--snapshots <folder>', 'keep the state in this folder and resume from it')
    .option('--accept-gaps', 'hand the state over also where the archive lacks events that the stream may have counted')
    .option('--most-violations <percent>', 'fail when more than this share of the events breaks a rule', decimal(100));

export function registerHistory(program: Program): void {
  const features = noun(program, ...FEATURES);
  const backfill = withSource(
    features.command('backfill').description('Compute features of past events into the online and offline stores'),
  ).action(lazily(history, 'backfill'));
  const materialize = withSource(
    features.command('materialize').description('Compute the batch views from their histories'),
  ).action(lazily(history, 'materialize'));
  for (const command of [backfill, materialize]) {
    resumes(command, 'run the command again with the same --snapshots; without it, events are read from the first');
  }

  noun(program, 'history', 'Rows of the offline store')
    .command('prune')
    .description('Delete months of feature rows, predictions and labels older than a duration')
    .requiredOption('--keep <duration>', 'duration to keep, such as 400d')
    .option('--dry-run', 'print the counts without deleting', false)
    .action(lazily(history, 'applyRetention'));
}
