import { resumes } from '../../terminal/interrupt.ts';
import type { NewCommand, Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { integer } from '../values.ts';

const letters = () => import('../../operations/dlq.ts');

const withFilter = (command: NewCommand) =>
  command
    .option('--stage <name>', 'letters of this stage, such as gateway.validate')
    .option('--reason <text>', 'letters whose reason contains this')
    .option('--since <time>', 'letters at or after this time, ISO 8601');

export function registerDlq(program: Program): void {
  const dlq = program.command('dlq').description('The dead-letter queue');
  withFilter(dlq.command('list').description('Count dead letters by stage and reason, and list the newest'))
    .option('--limit <count>', 'number of newest letters', integer(), 10)
    .option('--json', 'print every letter, as a JSON array', false)
    .action(lazily(letters, 'listDeadLetters'));
  dlq
    .command('show')
    .description('Print a dead letter as JSON')
    .argument('<where>', 'partition/offset, as list prints it')
    .action(lazily(letters, 'showDeadLetter'));
  const replay = withFilter(
    dlq
      .command('replay')
      .description('Send dead letters to their topic or sink again; without a filter, each letter once'),
  )
    .option('--max-attempts <count>', 'skip letters refused this many times', integer(1), 5)
    .option('--dry-run', 'print the counts without sending', false)
    .action(lazily(letters, 'replayDeadLetters'));
  resumes(replay, 'run the command again: letters that were replayed are passed over');
}
