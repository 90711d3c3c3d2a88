import { InvalidArgumentError } from '@commander-js/extra-typings';
import type { Program } from './command_group.ts';
import { lazily } from './lazily.ts';
import { integer } from './values.ts';

const schedules = () => import('../workflows/schedules.ts');
const NAME = '<schedule>';
const NAME_TEXT = 'name of the schedule';

function date(value: string): string {
  const parsed = /^\d{4}-\d{2}-\d{2}$/.test(value) ? new Date(`${value}T00:00:00Z`) : undefined;
  // Dates such as 30 February become others.
  if (parsed !== undefined && !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(value)) return value;
  throw new InvalidArgumentError('Give a date such as 2024-12-20.');
}

export function registerSchedules(program: Program): void {
  const group = program.command('schedules').description('When workflows run by themselves');
  group
    .command('list')
    .description('List the schedules with their last and next time')
    .option('--json', 'print JSON lines', false)
    .action(lazily(schedules, 'listSchedules'));
  group
    .command('next')
    .description('Print the next times of a schedule')
    .argument(NAME, NAME_TEXT)
    .option('--count <count>', 'number of times', integer(1, 1_000), 8)
    .option('--from <date>', 'times of this day and later (default: times after now)', date)
    .option('--json', 'print JSON lines', false)
    .action(lazily(schedules, 'showNext'));
  group
    .command('pause')
    .description('Let the times of a schedule pass without runs')
    .argument(NAME, NAME_TEXT)
    .action(lazily(schedules, 'pauseSchedule'));
  group
    .command('resume')
    .description('Run a schedule again, from its next time on')
    .argument(NAME, NAME_TEXT)
    .action(lazily(schedules, 'resumeSchedule'));
  group
    .command('trigger')
    .description('Start a run of a schedule now, whatever its overlap policy')
    .argument(NAME, NAME_TEXT)
    .option('--by <name>', 'author, kept in the history (default: the user of this process)')
    .option('--json', 'print the run as JSON', false)
    .action(lazily(schedules, 'triggerSchedule'));
  group
    .command('backfill')
    .description('Run the times of past days that have no run; a second call starts none twice')
    .argument(NAME, NAME_TEXT)
    .requiredOption('--from <date>', 'first day', date)
    .requiredOption('--to <date>', 'last day, included', date)
    .option('--by <name>', 'author, kept in the history (default: the user of this process)')
    .option('--json', 'print JSON', false)
    .action(lazily(schedules, 'backfillSchedule'));
}
