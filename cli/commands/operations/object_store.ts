import { noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

const commands = () => import('../../object_store/store_commands.ts');

export function registerObjectStore(program: Program): void {
  const catalog = noun(program, 'catalog', 'Tables, columns and partitions of the files in the object store');
  catalog
    .command('crawl')
    .description('Infer and record the schemas of the files, and print what has changed since the last crawl')
    .argument('[prefixes...]', 'prefixes of the object store, such as raw (default: all but metadata and logs)')
    .option('--strict', 'exit code 1 if columns have gone or have another type', false)
    .option('--json', 'print a JSON array', false)
    .action(lazily(commands, 'crawlCatalog'));
  catalog
    .command('list')
    .description('List the tables of the last crawl')
    .option('--json', 'print a JSON array', false)
    .action(lazily(commands, 'listCatalog'));
  noun(program, 'object-store', 'Models and logs in the object store: objectStore.directory')
    .command('sync')
    .description('Bring production, archive and metadata in line with the registry, and remove old logs')
    .argument('[model]', 'name of the model (default: all)')
    .action(lazily(commands, 'syncObjectStore'));
}
