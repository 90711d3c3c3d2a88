import { noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { withLabelOrigin } from '../models/labels.ts';
import { decimal, integer, NONE, repeated, versionNumber } from '../values.ts';

const definitions = () => import('../../definitions/features.ts');
const history = () => import('../../history/history.ts');

/** The noun, and what it is. */
export const FEATURES = ['features', 'Feature views, their values and statistics'] as const;

export function registerFeatures(program: Program): void {
  const features = noun(program, ...FEATURES);
  features
    .command('list')
    .description('List the features of every view')
    .option('--tag <tag>', 'views with this tag')
    .option('--stored', 'with the newest row of each view and the share of missing values', false)
    .option('--json', 'print a JSON array with view, type, owner, tags and window', false)
    .action(lazily(definitions, 'listFeatures'));
  features
    .command('show')
    .description('Print a view as JSON')
    .argument('<view>', 'name@version')
    .option('--stored', 'with its newest row and the share of missing values of each feature', false)
    .action(lazily(definitions, 'showView'));
  withLabelOrigin(
    features
      .command('diff')
      .description('Compare two views, with --since their values on history, and print how to migrate'),
  )
    .argument('<before>', 'name@version')
    .argument('<after>', 'name@version')
    .option('--since <time>', 'compute both from the events and compare values at or after this time, ISO 8601')
    .option('--until <time>', 'values at or before this time, ISO 8601 (default: now)')
    .option('--model <name>', 'compute its logged answers with a known outcome again, with the values of each')
    .option('--model-version <number>', 'its version (default: the one in production)', versionNumber)
    .option('--json', 'print one JSON object', false)
    .action(lazily(() => import('../../definitions/diff_views.ts'), 'diffViews'));
  features
    .command('lineage')
    .description("Print a feature's source, pipeline, sinks and models")
    .argument('<feature>', 'name of the feature')
    .option('--json', 'print a JSON array, one object for each view', false)
    .action(lazily(definitions, 'showLineage'));
  features
    .command('services')
    .description('List feature services with their columns, request fields and fingerprints')
    .option('--json', 'print a JSON array', false)
    .action(lazily(definitions, 'listServices'));
  features
    .command('stats')
    .description('List distributions of features, newest windows first')
    .option('--view <name@version>', 'features of this view')
    .option('--feature <name>', 'features of this name')
    .option('--from <time>', 'windows that start at or after this time, ISO 8601')
    .option('--to <time>', 'windows that start before this time, ISO 8601')
    .option('--limit <n>', 'number of windows', integer(1), 50)
    .option('--json', 'print a JSON array', false)
    .action(lazily(() => import('../../history/feature_statistics.ts'), 'showStatistics'));
  features
    .command('validate')
    .description('Validate the definitions and list every problem with its view and feature')
    .action(lazily(definitions, 'validateFeatures'));
  features
    .command('rebuild-online')
    .description("Write each entity's newest row of history to the online store; newer online rows stay")
    .option('--view <name@version>', 'rows of this view; repeatable', repeated, NONE)
    .action(lazily(history, 'rebuildOnlineStore'));
  features
    .command('check')
    .description(
      'Compare rows with the contracts of their views: freshness, missing values, violations; exit code 1 where one is broken',
    )
    .option(
      '--view <name@version>',
      'rows of this view; repeatable (default: every view with a contract)',
      repeated,
      NONE,
    )
    .option('--json', 'print a JSON array', false)
    .action(lazily(() => import('../../history/check_contracts.ts'), 'checkContracts'));
  features
    .command('consistency')
    .description('Compare the online store with history for a sample of entities')
    .option('--view <name@version>', 'rows of this view; repeatable', repeated, NONE)
    .option('--sample <n>', 'entities of each view', integer(1), 500)
    .option('--least <share>', 'smallest share of equal values that passes; exit code 1 below it', decimal(1), 0.99)
    .action(lazily(history, 'checkConsistency'));
  features
    .command('export')
    .description("Write a view's rows of history as Parquet, one column a feature and one folder a day")
    .requiredOption('--view <name@version>', 'view to export')
    .option('--from <time>', 'rows at or after this event time, ISO 8601')
    .option('--to <time>', 'rows before this event time, ISO 8601')
    .option('--out <folder>', 'target folder; local or s3:// (default: features/view=ID of the object store)')
    .action(lazily(history, 'exportFeatures'));
  features
    .command('import')
    .description('Write exported rows into history; rows computed later stay')
    .requiredOption('--view <name@version>', 'view of the rows')
    .requiredOption('--from <folder>', 'folder that export has written')
    .action(lazily(history, 'importFeatures'));
}
