import type { Program } from './command_group.ts';
import { lazily } from './lazily.ts';
import { BY, BY_TEXT, date, integer } from './values.ts';

const schedules = () => import('../workflows/schedules.ts');
const NAME = '<schedule>';
const NAME_TEXT = 'name of the schedule';

export function registerSchedules(program: Program): void {
  const group = program.command('schedules').description('When workflows run by themselves');
  group
    .command('list')
    .description('List the schedules with their last and next time')
    .option('--json', 'print a JSON array', false)
    .action(lazily(schedules, 'listSchedules'));
  group
    .command('next')
    .description('Print the next times of a schedule')
    .argument(NAME, NAME_TEXT)
    .option('--count <count>', 'number of times', integer(1, 1_000), 8)
    .option('--from <date>', 'times of this day and later (default: times after now)', date)
    .option('--json', 'print a JSON array', false)
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
    .option(BY, BY_TEXT)
    .option('--json', 'print the run as JSON', false)
    .action(lazily(schedules, 'triggerSchedule'));
  group
    .command('backfill')
    .description('Run the times of past days that have no run; a second call starts none twice')
    .argument(NAME, NAME_TEXT)
    .requiredOption('--from <date>', 'first day', date)
    .requiredOption('--to <date>', 'last day, included', date)
    .option(BY, BY_TEXT)
    .option('--json', 'print JSON', false)
    .action(lazily(schedules, 'backfillSchedule'));
}
