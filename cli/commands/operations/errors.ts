import type { Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

const pages = () => import('../../operations/show_errors.ts');

export function registerErrors(program: Program): void {
  const errors = program.command('errors').description('Error codes: what they mean and what to do');
  errors
    .command('list')
    .description('List the codes')
    .option('--json', 'print a JSON array', false)
    .action(lazily(pages, 'listErrors'));
  errors
    .command('show')
    .description('Show the page of a code')
    .argument('<code>', 'such as FEATURE_STORE_UNKNOWN_VIEW')
    .action(lazily(pages, 'showError'));
}
