import { Option } from '@commander-js/extra-typings';
import { BUNDLE_RUNTIMES } from '../../terminal/choices.ts';
import { type NewCommand, noun, type Program } from '../command_group.ts';
import { lazily } from '../lazily.ts';
import { decimal, versionNumber } from '../values.ts';

const registry = () => import('../../models/models.ts');
const files = () => import('../../models/model_files.ts');

const withAuthor = (command: NewCommand) =>
  command
    .option('--reason <text>', 'reason, kept in the audit trail', '')
    .option('--by <name>', 'author, kept in the audit trail (default: the user of this process)');

/** The noun, and what it is. */
export const MODELS = ['models', 'Models and their versions in the registry'] as const;

export function registerModels(program: Program): void {
  const models = noun(program, ...MODELS);
  models
    .command('list')
    .description('List models and their versions')
    .option('--json', 'print a JSON array', false)
    .action(lazily(registry, 'listModels'));
  models
    .command('show')
    .description('Print a version as JSON')
    .argument('<name>', 'name of the model')
    .argument('[version]', 'version number (default: the one in production)', versionNumber)
    .action(lazily(registry, 'showModel'));
  models
    .command('diff')
    .description('Compare metrics, columns and parameters of two versions')
    .argument('<name>', 'name of the model')
    .argument('<from>', 'version number', versionNumber)
    .argument('<to>', 'version number', versionNumber)
    .action(lazily(registry, 'diffModels'));
  models
    .command('replay')
    .description(
      'Answer logged requests with another version: agreement, largest differences, latency, and metrics where outcomes are known',
    )
    .argument('<name>', 'name of the model')
    .argument('<version>', 'version number', versionNumber)
    .requiredOption('--since <time>', 'requests at or after this time, ISO 8601')
    .option('--until <time>', 'requests before this time, ISO 8601 (default: now)')
    .option('--json', 'print one JSON object', false)
    .action(lazily(() => import('../../models/replay.ts'), 'replayModel'));
  models
    .command('register')
    .description('Register a folder written by train or export as a new version')
    .argument('[name]', 'name of the model')
    .argument('[folder]', 'folder with model.onnx, headwater.json and card.json')
    .option('--description <text>', 'description of the version', '')
    .option('--pending', 'register models trained while the registry was unavailable', false)
    .action(lazily(files, 'registerModel'));
  models
    .command('export')
    .description('Write a version to a folder or to the registry of another MLflow server')
    .argument('<name>', 'name of the model')
    .argument('<version>', 'version number', versionNumber)
    .option('--out <folder>', 'target folder')
    .option('--to <uri>', 'address of the other MLflow server')
    .action(lazily(files, 'exportModel'));
  models
    .command('import')
    .description('Register a version of another MLflow server, or a model that XGBoost has saved, as a new version')
    .argument('<name>', 'name of the model')
    .argument('[version]', 'version number on the other server', versionNumber)
    .option('--from <uri>', 'address of the server, such as http://mlflow:5000')
    .option('--file <file>', 'model of XGBoost, JSON or UBJSON, as save_model writes it')
    .option('--columns <names...>', 'with --file: names of its columns (default: those of the file)')
    .option('--classes <names...>', 'with --file: names of its classes, or of its values (default: 0, 1, …)')
    .option('--service <id>', 'with --file: feature service or view that has its columns, such as fraud@1')
    .option('--rounds <n>', 'with --file: boosting rounds that count (default: as its predict does)', versionNumber)
    .action(lazily(files, 'importModel'));
  models
    .command('evaluate')
    .description('Evaluate a version on a training set: metrics, slices and a report')
    .argument('<name>', 'name of the model')
    .argument('<version>', 'version number', versionNumber)
    .requiredOption('--training-set <folder>', 'folder with data.csv and manifest.json')
    .option('--all', 'evaluate on all rows instead of the newest fifth', false)
    .option('--report <file>', 'write the report to this file, as HTML')
    .option('--json', 'print JSON, with slices', false)
    .action(lazily(files, 'evaluateVersion'));
  models
    .command('bundle')
    .description(
      'Write a folder with model, code and onnxruntime that predicts offline, with Node or in pages and workers',
    )
    .argument('<name>', 'name of the model')
    .option('--out <folder>', 'target folder (default: NAME-edge)')
    .option('--model-version <n>', 'version (default: the one in production)', versionNumber)
    .addOption(
      new Option('--for <runtime>', 'what it runs in: Node, or pages and workers without interfaces of Node')
        .choices(BUNDLE_RUNTIMES)
        .default('node'),
    )
    .addOption(
      new Option('--platforms <names...>', 'with --for node: target platforms, such as linux/x64').default(
        [`${process.platform}/${process.arch}`],
        'this one',
      ),
    )
    .action(lazily(() => import('../../models/edge_bundle.ts'), 'bundleModel'));
  models
    .command('optimize')
    .description('Quantize a version to 8-bit weights and compare size, latency and predictions')
    .argument('<name>', 'name of the model')
    .argument('<version>', 'version number', versionNumber)
    .requiredOption('--training-set <folder>', 'folder with data.csv and manifest.json; the newest fifth is compared')
    .option('--max-drift <share>', 'largest difference of outputs, as a share of their range', decimal(), 0.02)
    .option('--register', 'register the model as a new version', false)
    .option('--json', 'print JSON', false)
    .action(lazily(() => import('../../models/optimize_model.ts'), 'optimizeModel'));
  models
    .command('validate')
    .description('Run the promotion gates on a version without promoting it')
    .argument('<name>', 'name of the model')
    .argument('<version>', 'version number', versionNumber)
    .action(lazily(registry, 'validateModel'));
  withAuthor(
    models
      .command('promote')
      .description('Promote a version that passes the gates; a running platform loads it within seconds'),
  )
    .argument('<name>', 'name of the model')
    .argument('<version>', 'version number', versionNumber)
    .addOption(
      new Option('--stage <stage>', 'target stage')
        .choices(['Staging', 'Production'] as const)
        .default('Production' as const),
    )
    .option('--approved-by <name>', 'approver, if the gates require one')
    .option('--force', 'promote even if a gate fails; kept in the audit trail', false)
    .action(lazily(registry, 'promoteModel'));
  withAuthor(models.command('rollback').description('Put the previous production version back into production'))
    .argument('<name>', 'name of the model')
    .action(lazily(registry, 'rollbackModel'));
  withAuthor(models.command('archive').description('Move a version to the stage Archived'))
    .argument('<name>', 'name of the model')
    .argument('<version>', 'version number', versionNumber)
    .action(lazily(registry, 'archiveModel'));
  models
    .command('results')
    .description('Print the results of an experiment from a running platform')
    .argument('<name>', 'name of the model')
    .option('--experiment <name>', 'experiment (default: the running or latest one)')
    .addOption(new Option('--outcome <what>', 'outcome to compare').choices(['value', 'correct'] as const))
    .option('--url <url>', 'address of the serving role', 'http://localhost:8000')
    .addOption(new Option('--api-key <key>', 'API key, if the platform requires one').env('HEADWATER_API_KEY'))
    .option('--json', 'print JSON', false)
    .action(lazily(() => import('../../models/experiment_results.ts'), 'showResults'));
}
