import { resumes } from '../../terminal/interrupt.ts';
import type { NewCommand, Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

const withFiles = (command: NewCommand) =>
  command.option('--in <pattern...>', 'files with events, for sources that declare no history');

export function registerDefinitions(program: Program): void {
  withFiles(
    program
      .command('plan')
      .description('Show what apply would change: definitions, back-fills and the models affected'),
  )
    .option('--json', 'print one JSON object', false)
    .option('--detailed-exitcode', 'exit with 2 when there are changes, 0 when there are none', false)
    .action(lazily(() => import('../../definitions/plan.ts'), 'plan'));

  const apply = withFiles(
    program
      .command('apply')
      .description('Record the definitions and run the back-fills of plan; run again, it resumes an interrupted apply'),
  )
    .option('--yes', 'apply breaking changes without confirmation', false)
    .option(
      '--accept-gaps',
      'hand state over also where the archive lacks events that the stream may have counted',
      false,
    )
    .option('--take-over', 'continue an interrupted apply of another machine', false)
    .option('--json', 'print one JSON object', false)
    .action(lazily(() => import('../../definitions/apply.ts'), 'apply'));
  resumes(apply, 'run the command again: it resumes the back-fill that it was in');
}
