import type { Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';

const datasets = () => import('../../history/datasets.ts');

export function registerDatasets(program: Program): void {
  const command = program.command('datasets').description('Public data sets for trying the example models');
  command
    .command('list')
    .description('List data sets with their view, model and licence')
    .option('--json', 'print a JSON array', false)
    .action(lazily(datasets, 'listDatasets'));
  command
    .command('fetch')
    .description('Download a data set as events.jsonl for backfill and, if it has labels, labels.csv')
    .argument('<name>', 'name of the data set')
    .requiredOption('--out <folder>', 'target folder')
    .action(lazily(datasets, 'fetchDataset'));
}
