import { noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

export function registerOnlineStores(program: Program): void {
  noun(program, 'online-stores', 'The configured online store')
    .command('create')
    .description('Create the tables of the online store; those that exist are left as they are')
    .option('--json', 'print a JSON array', false)
    .action(lazily(() => import('../../operations/create_tables.ts'), 'createTables'));
}
