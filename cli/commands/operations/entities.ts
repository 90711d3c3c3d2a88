import { Option } from '@commander-js/extra-typings';
import { resumes } from '../../terminal/interrupt.ts';
import { noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { integer } from '../values.ts';

export function registerEntities(program: Program): void {
  const entities = noun(program, 'entities', 'What the platform keeps of an entity, such as a user');
  const erase = entities
    .command('erase')
    .description('Erase an entity from stores, topics, files and the state of the feature pipeline')
    .argument('<entity>', 'key such as user:x9, or id such as x9')
    .option('--entity <name>', 'entity that has the id, if several do')
    .option('--dry-run', 'print the counts without erasing', false)
    .option('--yes', 'confirm: an erasure cannot be undone', false)
    .option('--wait <seconds>', 'time limit for the feature pipeline (default: 120)', integer())
    .action(lazily(() => import('../../entities/erase.ts'), 'eraseEntity'));

  resumes(erase, 'run the command again: it erases what is left');

  entities
    .command('export')
    .description('Export everything that erase would remove, by place')
    .argument('<id>', 'key such as user:x9, or id such as x9')
    .option('--entity <name>', 'entity that has the id, if several do')
    .addOption(
      new Option('--format <format>', 'one JSON object, or a line for each record')
        .choices(['json', 'jsonl'] as const)
        .default('json' as const),
    )
    .option('--output <file>', 'target file (default: standard output)')
    .action(lazily(() => import('../../entities/export_user.ts'), 'exportUser'));
}
