#!/usr/bin/env node
import { availableParallelism } from 'node:os';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { TRAINING_FORMATS } from '#feature_store/retrieval/training_format';
import { PlatformError } from '#kernel/errors';
import { hideSecrets } from '#kernel/secrets';
import { LOG_LEVELS } from '#monitoring/log';
import { LAMBDA_FUNCTIONS, ROLES, type Role, RUNNERS, TARGETS } from './terminal/choices.ts';

/** A command's module is loaded when it runs: all of them together take seconds. */
const lazily =
  <M, Name extends keyof M>(load: () => Promise<M>, name: Name) =>
  async (...given: readonly unknown[]): Promise<void> => {
    const loaded = await load();
    await (loaded[name] as (...args: readonly unknown[]) => unknown)(...given);
  };

const modules = {
  checks: () => import('./operations/check.ts'),
  checksAgainst: () => import('./definitions/check_against.ts'),
  applying: () => import('./definitions/apply.ts'),
  audit: () => import('./operations/audit.ts'),
  batch: () => import('./models/batch_predict.ts'),
  bundles: () => import('./models/edge_bundle.ts'),
  config: () => import('./operations/show_config.ts'),
  datasets: () => import('./history/datasets.ts'),
  demo: () => import('./demo/demo.ts'),
  dlq: () => import('./operations/dlq.ts'),
  statistics: () => import('./history/feature_statistics.ts'),
  definitions: () => import('./definitions/features.ts'),
  erasing: () => import('./entities/erase.ts'),
  exportUser: () => import('./entities/export_user.ts'),
  experiments: () => import('./models/experiment_results.ts'),
  history: () => import('./history/history.ts'),
  keys: () => import('./operations/keys.ts'),
  lag: () => import('./operations/lag.ts'),
  lambda: () => import('./roles/lambda.ts'),
  logFiles: () => import('./operations/log_files.ts'),
  modelFiles: () => import('./models/model_files.ts'),
  models: () => import('./models/models.ts'),
  monitoring: () => import('./models/monitor_report.ts'),
  optimization: () => import('./models/optimize_model.ts'),
  predictions: () => import('./models/predictions.ts'),
  pipelines: () => import('./jobs/run_pipeline.ts'),
  planning: () => import('./definitions/plan.ts'),
  testData: () => import('./operations/send_test_data.ts'),
  training: () => import('./models/train.ts'),
  trainingSets: () => import('./history/training_set.ts'),
};

const program = new Command('headwater').description(
  'Real-time machine learning in TypeScript. Configuration: configs/*.yaml and environment variables (docs/configuration.md).',
);

/** One role, or several with commas, after those before. */
function rolesOf(value: string, before: readonly Role[] = []): readonly Role[] {
  const roles = value.split(',').map((name) => name.trim()) as Role[];
  const unknown = roles.filter((name) => !ROLES.includes(name));
  if (unknown.length === 0) return [...before, ...roles];
  throw new InvalidArgumentError(`${unknown.join(', ')} is not a role; roles are ${ROLES.join(', ')}.`);
}

program
  .command('start')
  .description('run the platform until it is told to stop')
  .addOption(
    new Option('--role <roles...>', `which parts to run in this process: ${ROLES.join(', ')} (default: all)`)
      .argParser(rolesOf)
      .env('ROLES'),
  )
  .action(async ({ role: roles = ROLES }: { role?: readonly Role[] }) => {
    const [{ start }, { loadPlatformConfig }] = await Promise.all([
      import('./roles/start.ts'),
      import('./project/platform_config.ts'),
    ]);
    await start(loadPlatformConfig(process.env), roles);
  });

program
  .command('demo')
  .description('the whole job once, from card transactions to served predictions')
  .option('--events <n>', 'transactions to post', Number, 22_000)
  .option('--accounts <n>', 'card accounts', Number, 600)
  .option('--seed <n>', 'seed of the generator', Number, 42)
  .option('--keep', 'keep what an earlier demo left (default: begin afresh)', false)
  .option('--training-set <folder>', 'also write the training set there')
  .action(lazily(modules.demo, 'runDemo'));

function wholeNumber(value: string): number {
  if (/^\d{1,6}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It is a whole number.');
}

const versionNumber = (text: string): number => {
  const version = Number(text);
  if (!Number.isInteger(version) || version < 1) throw new InvalidArgumentError('a version is a number from 1 on.');
  return version;
};

const labelled = (command: Command): Command =>
  command
    .option('--labels <source>', 'labels of this source in the offline store')
    .option(
      '--labels-file <pattern>',
      'or files with entity_key or the join keys, event_time, label, and label_id if there is one',
    )
    .option('--labels-query <sql>', "or a query of the offline store's database with these columns")
    .addOption(
      new Option(
        '--each <what>',
        'without labels: each row of the first view, or each entity at the time of the newest row',
      ).choices(['row', 'entity']),
    )
    .option('--from <time>', 'labels from then on; default: all')
    .option('--to <time>', 'labels before');

labelled(
  program
    .command('train')
    .description('train a model and judge it: from a training set, or from labels, which make one first')
    .argument('[model]', 'which one of "training" in configs/*.yaml', 'fraud_detector')
    .option('--training-set <folder>', 'folder with data.csv and manifest.json'),
)
  .option('--out <folder>', 'where the model and its report go (default: below the data directory)')
  .option(
    '--search <trials>',
    'first look for better parameters, trying so many; goes on where it was stopped',
    wholeNumber,
    0,
  )
  .option('--register', 'make it a new version in the registry', false)
  .action(lazily(modules.training, 'trainModel'));

const repeated = (value: string, before: readonly string[]): readonly string[] => [...before, value];

function threadCount(value: string): number {
  if (/^\d{1,3}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It is a whole number, 0 to 999.');
}

program
  .command('run')
  .description('run a Beam pipeline: here, or on Flink, Prism, Dataflow or another portable runner')
  .argument(
    '<pipeline>',
    'features (the platform’s own), a module whose default export makes the graph, or an example such as nexmark/pipeline',
  )
  .addOption(new Option('--runner <name>', 'where it runs').choices(RUNNERS).default('embedded'))
  .option('--option <key=value>', 'an option of the pipeline; repeatable', repeated, [])
  .option('--job-endpoint <host:port>', "the runner's job service")
  .option('--job-name <name>', 'what the runner calls the job')
  .option('--environment <where>', 'workers: loopback, external:HOST:PORT or docker:IMAGE', 'loopback')
  .option('--runner-option <key=value>', 'a pipeline option of the runner, in snake case; repeatable', repeated, [])
  .option('--threads <count>', 'embedded: worker threads that share the keys; 0 is one thread for all', threadCount, 0)
  .option('--snapshots <folder>', 'embedded: keep state there, and resume from it')
  .option('--snapshot-interval <ms>', 'embedded: time between snapshots', Number, 10_000)
  .addOption(new Option('--log-level <level>', 'what is logged').choices(LOG_LEVELS).default('warn'))
  .action(lazily(modules.pipelines, 'runPipeline'));

program
  .command('worker')
  .description('Beam workers for a pipeline: a pool beside a runner, or the one worker a runner asks for')
  .argument('<pipeline>', 'as for run, with the same options')
  .option('--option <key=value>', 'an option of the pipeline; repeatable', repeated, [])
  .option('--listen <host:port>', 'serve a pool there')
  .option('--id <id>', 'worker id, given by the runner')
  .option('--control_endpoint <host:port>', 'given by the runner')
  .option('--logging_endpoint <host:port>', 'given by the runner')
  .option('--provision_endpoint <host:port>', 'given by the runner')
  .option('--artifact_endpoint <host:port>', 'given by the runner; not needed')
  .action(lazily(modules.pipelines, 'runWorker'));

program
  .command('batch-predict')
  .description('score files with a model, as large as they may be; a run that was stopped goes on where it was')
  .argument('<model>')
  .requiredOption(
    '--in <patterns...>',
    'files: .parquet, .jsonl, .csv, .avro, with * and **; of this machine or s3://bucket/…',
  )
  .requiredOption('--out <folder>', 'where the answers go, a file for each part of the input')
  .addOption(new Option('--format <format>', 'of the answers').choices(['parquet', 'jsonl', 'csv']).default('parquet'))
  .option('--keep <columns...>', 'columns of the input that go along (default: those that the model does not take)')
  .option('--model-version <n>', 'this version (default: the one in --stage)', versionNumber)
  .addOption(new Option('--stage <stage>', 'which version').choices(['Staging', 'Production']).default('Production'))
  .option('--threads <count>', 'worker threads that share the parts', threadCount, availableParallelism())
  .action(lazily(modules.batch, 'batchPredict'));

const features = program.command('features').description('feature definitions');
features
  .command('list')
  .description('every feature of every view')
  .option('--json', 'a JSON array, with view, type, owner, window', false)
  .action(lazily(modules.definitions, 'listFeatures'));
features
  .command('show')
  .description('a view, whole, as JSON')
  .argument('<view>', 'as name@version')
  .action(lazily(modules.definitions, 'showView'));
features
  .command('diff')
  .description('what changes from one view to another, and how to go over')
  .argument('<before>', 'as name@version')
  .argument('<after>', 'as name@version')
  .action(lazily(modules.definitions, 'diffViews'));
features
  .command('lineage')
  .description('where a feature comes from, where it goes, and which models use it')
  .argument('<feature>')
  .option('--json', 'a JSON array, an object a view', false)
  .action(lazily(modules.definitions, 'showLineage'));
features
  .command('services')
  .description('what models use: columns, request fields, fingerprint')
  .option('--json', 'as JSON', false)
  .action(lazily(modules.definitions, 'listServices'));
features
  .command('stats')
  .description('distributions of features, the newest windows first')
  .option('--view <name@version>', 'only of this view')
  .option('--feature <name>', 'only of this feature')
  .option('--from <time>', 'windows that begin then or later')
  .option('--to <time>', 'windows that begin before')
  .option('--limit <n>', 'so many', Number, 50)
  .option('--json', 'a JSON line each', false)
  .action(lazily(modules.statistics, 'showStatistics'));
features
  .command('validate')
  .description('check the definitions; what is wrong is listed with view and feature')
  .action(lazily(modules.definitions, 'validateFeatures'));
features
  .command('rebuild-online')
  .description('fill the online store from history: the newest row of every entity; newer ones that are there stay')
  .option('--view <name@version>', 'only this view; repeatable', repeated, [])
  .action(lazily(modules.history, 'rebuildOnlineStore'));

features
  .command('consistency')
  .description(
    'compare the online store with history for a sample of entities; exit code 1 when they differ by more than allowed',
  )
  .option('--view <name@version>', 'only this view; repeatable', repeated, [])
  .option('--sample <n>', 'entities of each view', Number, 500)
  .option('--least <share>', 'share of equal values that passes', Number, 0.99)
  .action(lazily(modules.history, 'checkConsistency'));
features
  .command('export')
  .description('write a view’s rows of history as Parquet, a column a feature, a folder a day')
  .requiredOption('--view <name@version>', 'which view')
  .option('--from <time>', 'from this event time on, ISO 8601')
  .option('--to <time>', 'before this event time, ISO 8601')
  .requiredOption('--out <folder>', 'where; s3://bucket/… too')
  .action(lazily(modules.history, 'exportFeatures'));
features
  .command('import')
  .description('write rows that export has written into history; those computed later stay')
  .requiredOption('--view <name@version>', 'which view')
  .requiredOption('--from <folder>', 'where export has put them')
  .action(lazily(modules.history, 'importFeatures'));

const historyFiles = (command: Command): Command =>
  command.option('--in <pattern...>', 'files with events, for sources that declare no history');
historyFiles(
  program
    .command('plan')
    .description(
      'show what the definitions of the code change: views, features and services that are new, changed or removed; back-fills with their source and duration; models concerned. Changes nothing',
    ),
)
  .option('--json', 'one JSON object', false)
  .option('--detailed-exitcode', 'exit with 2 when there are changes, 0 when there are none', false)
  .action(lazily(modules.planning, 'plan'));
historyFiles(
  program
    .command('apply')
    .description(
      'do what plan shows: record the definitions and run the back-fills, beside a platform that runs or without one. Run again, it resumes an apply that was interrupted',
    ),
)
  .option('--yes', 'apply breaking changes too, without a question', false)
  .option('--take-over', 'continue an apply of another machine that was interrupted', false)
  .option('--json', 'one JSON object', false)
  .action(lazily(modules.applying, 'apply'));

program
  .command('retention')
  .description('delete months of feature rows, predictions and labels that are older than they may be')
  .requiredOption('--keep <duration>', 'how long, such as 400d')
  .option('--dry-run', 'only say how many', false)
  .action(lazily(modules.history, 'applyRetention'));

program
  .command('erase')
  .description(
    'forget an entity: its rows online and offline, its predictions, their outcomes, its labels, its events, and the state of the feature pipeline',
  )
  .argument('<entity>', 'its key, such as user:x9; or its id, as x9')
  .option('--entity <name>', 'whose id it is, where several entities have it')
  .option('--dry-run', 'only say how much there is', false)
  .option('--yes', 'it cannot be undone', false)
  .option('--wait <seconds>', 'for the feature pipeline to forget it (120)', Number)
  .action(lazily(modules.erasing, 'eraseEntity'));

program
  .command('export-user')
  .description("everything that is kept of a person, by place: what 'headwater erase' removes")
  .argument('<id>', 'a key, such as user:x9; or an id, as x9')
  .option('--entity <name>', 'whose id it is, where several entities have it')
  .addOption(
    new Option('--format <format>', 'one JSON object, or a line for each record')
      .choices(['json', 'jsonl'])
      .default('json'),
  )
  .option('--output <file>', 'default: standard output')
  .action(lazily(modules.exportUser, 'exportUser'));

const audit = program.command('audit').description('the trail of promotions and routing');

audit
  .command('verify', { isDefault: true })
  .description('whether the trail is as it was written and as its anchors say: a JSON line, exit code 1 if not')
  .option('--head <hash>', 'a hash that an earlier check returned: it must still be in the trail')
  .action(lazily(modules.audit, 'verifyAudit'));

const history = (command: Command): Command =>
  command
    .option(
      '--in <pattern...>',
      'JSON lines, CSV, Parquet or Avro, also gzipped; local or s3://; read in the order of their names. Default: the histories of the sources',
    )
    .option('--query <sql>', "instead of files, a query of the offline store's database that gives events")
    .option('--view <name@version>', 'only this view; repeatable', repeated, [])
    .option('--snapshots <folder>', 'keep state there, and go on from it after a failure')
    .option('--most-violations <percent>', 'fail when more of the events than that break a rule', Number);

history(
  program
    .command('backfill')
    .description('compute features of past events, as the stream would have, into both stores'),
).action(lazily(modules.history, 'backfill'));
history(
  program.command('materialize').description('compute the views that are computed in batch, from their histories'),
).action(lazily(modules.history, 'materialize'));

labelled(
  program
    .command('training-set')
    .description('labels joined with the features that were true at their time')
    .requiredOption('--out <folder>', 'where the data and manifest.json go')
    .option('--service <name@version>', 'the columns: a feature service, or a view'),
)
  .option('--split-at <time...>', 'cut there: one time gives train and test, two give train, validation and test')
  .option('--known-at-label', "only values that had been computed by the label's time", false)
  .addOption(new Option('--format <format>', 'of the data').choices(TRAINING_FORMATS).default('csv'))
  .option('--like <folder>', 'make the set of this manifest again, and say whether it is the same')
  .action(lazily(modules.trainingSets, 'makeTrainingSet'));

const datasets = program.command('datasets').description('real data to try models on, from packages of Python’s index');
datasets
  .command('list')
  .description('what there is, for which view and model, and its licence')
  .action(lazily(modules.datasets, 'listDatasets'));
datasets
  .command('fetch')
  .description('write events.jsonl, for back-fill, and labels.csv if there are labels')
  .argument('<name>')
  .requiredOption('--out <folder>', 'where')
  .action(lazily(modules.datasets, 'fetchDataset'));

const dlq = program.command('dlq').description('the dead-letter queue: what could not be used, and why');
const filtered = (command: Command): Command =>
  command
    .option('--stage <name>', 'only what this part refused, such as gateway.validate')
    .option('--reason <text>', 'only reasons that contain this')
    .option('--since <time>', 'only what was refused at this time or later, ISO 8601');
filtered(dlq.command('list').description('how many there are by stage and reason, and the newest'))
  .option('--limit <count>', 'how many of the newest are shown', Number, 10)
  .option('--json', 'every letter, a JSON line each', false)
  .action(lazily(modules.dlq, 'listDeadLetters'));
dlq
  .command('show')
  .description('one letter, whole')
  .argument('<where>', 'partition/offset, as list prints it')
  .action(lazily(modules.dlq, 'showDeadLetter'));
filtered(
  dlq
    .command('replay')
    .description(
      'send letters where they came from again, those of sinks to their sink; without a filter, each letter once',
    ),
)
  .option('--max-attempts <count>', 'letters refused so often are not sent again', Number, 5)
  .option('--dry-run', 'only say how many', false)
  .action(lazily(modules.dlq, 'replayDeadLetters'));

const log = program
  .command('log')
  .description('files of this machine: the embedded log and online store, the spool, snapshots, the local registry');
const ofFolders = (command: Command): Command =>
  command.argument('[folders...]', 'default: those of the configuration').option('--json', 'a JSON line a log', false);
ofFolders(log.command('verify').description('check every byte; exit code 1 when something is damaged')).action(
  lazily(modules.logFiles, 'verifyLogs'),
);
ofFolders(
  log.command('repair').description('move damaged parts of logs aside and report what was in them; the rest stays'),
).action(lazily(modules.logFiles, 'repairLogs'));

program
  .command('lag')
  .description('how far the pipeline is behind in its topic, partition by partition')
  .option('--group <name>', 'whose progress (default: the feature pipeline)')
  .option('--topic <name>', 'in which topic (default: raw events)')
  .option('--json', 'one JSON object', false)
  .action(lazily(modules.lag, 'showLag'));

program
  .command('check')
  .description(
    'whether a platform that runs does what it is for: one event from the gateway to a prediction, twelve PASS or FAIL; with --against, whether changed definitions break a model in use',
  )
  .option(
    '--against <ref>',
    'instead: compare the definitions of this working tree with those of a git commit or branch; exit code 1 when a model in use was trained on what has changed',
  )
  .option(
    '--definitions <file>',
    'with --against: the module that exports them (default: feature_store/views/catalog.ts)',
  )
  .option('--host <name>', 'where its roles listen, on the ports of the configuration', '127.0.0.1')
  .addOption(new Option('--api-key <key>', 'a key (default: the first of the configuration)').env('HEADWATER_API_KEY'))
  .option('--timeout <seconds>', 'how long features may take', Number, 30)
  .option('--json', 'a JSON line each', false)
  .action((options: { readonly against?: string }) =>
    options.against === undefined
      ? lazily(modules.checks, 'checkPlatform')(options)
      : lazily(modules.checksAgainst, 'checkAgainst')(options),
  );

program
  .command('send-test-data')
  .description('put events into the raw-events topic, checked as the gateway does')
  .option('--input-file <path>', 'events: a JSON array, or one a line (default: generated card transactions)')
  .addOption(new Option('--to <broker>', 'which broker (default: as configured)').choices(TARGETS))
  .option('--events <n>', 'how many to generate', Number, 1_000)
  .option('--seed <n>', 'seed of the generator', Number, 1)
  .action(lazily(modules.testData, 'sendTestData'));

program
  .command('predictions')
  .description('what was predicted, newest first')
  .option('--limit <n>', 'how many', Number, 20)
  .option('--model <name>', 'only of this model')
  .option('--entity <key>', 'only of this entity: a key such as user:x9, or an id')
  .option('--since <time>', 'only from this time on, ISO 8601')
  .option('--json', 'a JSON line each, with the features', false)
  .action(lazily(modules.predictions, 'listPredictions'));

program
  .command('config')
  .description('the configuration as it is here, from files and environment, checked; secrets are left out')
  .option('--json', 'as JSON', false)
  .action(lazily(modules.config, 'showConfig'));

program
  .command('lambda-invoke')
  .description('what a door answers as a function of AWS Lambda: one event, here')
  .addArgument(new Argument('<function>', 'which door').choices(LAMBDA_FUNCTIONS))
  .requiredOption('--event <file>', 'as API Gateway hands it over: a proxy event, version 1 or 2, as JSON')
  .action(lazily(modules.lambda, 'invokeLambda'));

const keys = program
  .command('keys')
  .description('keys of callers: a platform that runs takes changes within a second, without a restart');
const ofKeys = (command: Command): Command => command.option('--file <path>', 'the keys file (default: as configured)');
ofKeys(keys.command('create').description('make a key; it is printed once, and only its hash is kept'))
  .argument('<name>', 'whose it is: shown in logs and trails')
  .requiredOption(
    '--scope <scopes...>',
    'what it may do, such as ingest, predict:MODEL, features:VIEW; admin is everything',
  )
  .option('--quota <requests/window>', 'how often it may call, such as 100/1s')
  .option('--expires <duration>', 'how long it is valid, such as 90d (default: until it is revoked)')
  .option('--json', 'as JSON', false)
  .action(lazily(modules.keys, 'create'));
ofKeys(keys.command('list').description('every key, without the key itself'))
  .option('--json', 'a JSON line each', false)
  .action(lazily(modules.keys, 'list'));
ofKeys(keys.command('rotate').description('replace a key; the old one stays valid for the overlap'))
  .argument('<key>', 'its id or name')
  .option('--overlap <duration>', 'how long the old key is still valid; 0s: not at all', '24h')
  .option('--json', 'as JSON', false)
  .action(lazily(modules.keys, 'rotate'));
ofKeys(keys.command('revoke').description('refuse a key from now on'))
  .argument('<key>', 'its id or name')
  .action(lazily(modules.keys, 'revoke'));
ofKeys(keys.command('change').description('change the scopes or the quota of a key'))
  .argument('<key>', 'its id or name')
  .option('--scope <scopes...>', 'instead of those it has')
  .option('--quota <requests/window>', 'such as 100/1s, or none')
  .action(lazily(modules.keys, 'change'));
keys.command('scopes').description('what scopes there are').action(lazily(modules.keys, 'listScopes'));

const authored = (command: Command): Command =>
  command
    .option('--reason <text>', 'kept in the audit trail', '')
    .option('--by <name>', 'who does it (default: the user of this process)');

program
  .command('monitor')
  .description('models at work')
  .command('report')
  .description('how predictions compare with what the version was trained on, window by window, as a page')
  .argument('[model]', 'default: each that is served')
  .option('--model-version <n>', 'of this version (default: the one of the newest window)', versionNumber)
  .option('--since <time>', 'windows from then on, ISO 8601')
  .option(
    '--out <file>',
    'where, also s3://bucket/…; {model} and {date} are filled in (default: {model}-monitoring.html)',
  )
  .option('--json', 'a JSON line a window instead', false)
  .action(lazily(modules.monitoring, 'reportOnModels'));

const models = program.command('models').description('the model registry');
models
  .command('list')
  .description('models and their versions')
  .option('--json', 'a JSON line each', false)
  .action(lazily(modules.models, 'listModels'));
models
  .command('show')
  .description('a version, whole, as JSON; the one in production by default')
  .argument('<name>')
  .argument('[version]', 'version number', versionNumber)
  .action(lazily(modules.models, 'showModel'));
models
  .command('diff')
  .description('what is different about a version: metrics, columns, parameters')
  .argument('<name>')
  .argument('<from>', 'version number', versionNumber)
  .argument('<to>', 'version number', versionNumber)
  .action(lazily(modules.models, 'diffModels'));
models
  .command('register')
  .description('a new version from a folder that `train` or `export` has written')
  .argument('[name]')
  .argument('[folder]', 'with model.onnx, headwater.json and card.json')
  .option('--description <text>', 'what it is', '')
  .option('--pending', 'what was trained while the registry was away', false)
  .action(lazily(modules.modelFiles, 'registerModel'));
models
  .command('export')
  .description('write a version into a folder, to register it elsewhere')
  .argument('<name>')
  .argument('<version>', 'version number', versionNumber)
  .option('--out <folder>', 'where')
  .option('--to <uri>', 'or into the registry of another MLflow server')
  .action(lazily(modules.modelFiles, 'exportModel'));
models
  .command('import')
  .description('a new version from one of another MLflow server')
  .argument('<name>')
  .argument('<version>', 'version number', versionNumber)
  .requiredOption('--from <uri>', 'the server, such as http://mlflow:5000')
  .action(lazily(modules.modelFiles, 'importModel'));
models
  .command('evaluate')
  .description('judge a version on a training set of its columns: metrics, slices, a report')
  .argument('<name>')
  .argument('<version>', 'version number', versionNumber)
  .requiredOption('--training-set <folder>', 'folder with data.csv and manifest.json')
  .option('--all', 'on all rows, not only the newest fifth', false)
  .option('--report <file>', 'write the report there, as HTML')
  .option('--json', 'as JSON, slices included', false)
  .action(lazily(modules.modelFiles, 'evaluateVersion'));
models
  .command('bundle')
  .description('a folder that predicts wherever there is Node, without a network: the model, the code, onnxruntime')
  .argument('<name>')
  .option('--out <folder>', 'where (default: NAME-edge)')
  .option('--model-version <n>', 'this version (default: the one in production)', versionNumber)
  .option('--platforms <names...>', 'for which machines', [`${process.platform}/${process.arch}`])
  .action(lazily(modules.bundles, 'bundleModel'));
models
  .command('optimize')
  .description('a smaller, faster version: weights of eight bits; tells what it does to size, time and predictions')
  .argument('<name>')
  .argument('<version>', 'version number', versionNumber)
  .requiredOption(
    '--training-set <folder>',
    'folder with data.csv and manifest.json, whose newest fifth it is judged on',
  )
  .option('--max-drift <share>', 'outputs may differ by that much of their range', Number, 0.02)
  .option('--register', 'make it a new version in the registry', false)
  .option('--json', 'as JSON', false)
  .action(lazily(modules.optimization, 'optimizeModel'));
models
  .command('validate')
  .description('what the gates say of a version, without promoting it')
  .argument('<name>')
  .argument('<version>', 'version number', versionNumber)
  .action(lazily(modules.models, 'validateModel'));
authored(
  models
    .command('promote')
    .description('put a version into production, if it passes the gates; a running platform follows within seconds')
    .argument('<name>')
    .argument('<version>', 'version number', versionNumber),
)
  .addOption(new Option('--stage <stage>', 'where to').choices(['Staging', 'Production']).default('Production'))
  .option('--approved-by <name>', 'who approves, where approval is wanted')
  .option('--force', 'whatever the gates say; kept in the audit trail', false)
  .action(lazily(modules.models, 'promoteModel'));
authored(
  models.command('rollback').description('put the version back that the one in production replaced').argument('<name>'),
).action(lazily(modules.models, 'rollbackModel'));
authored(
  models
    .command('archive')
    .description('take a version out of its stage')
    .argument('<name>')
    .argument('<version>', 'version number', versionNumber),
).action(lazily(modules.models, 'archiveModel'));
models
  .command('results')
  .description('what the variants of an experiment come to, as a running platform tells')
  .argument('<name>')
  .option('--experiment <name>', 'which one; the one that is running, or ran last')
  .addOption(new Option('--outcome <what>', 'what is compared').choices(['value', 'correct']))
  .option('--url <url>', 'where the platform serves', 'http://localhost:8000')
  .addOption(new Option('--api-key <key>', 'where one is wanted').env('HEADWATER_API_KEY'))
  .option('--json', 'as JSON', false)
  .action(lazily(modules.experiments, 'showResults'));

try {
  await program.parseAsync();
} catch (error) {
  // A known problem is a message; anything else is a bug and shows where.
  const known = error instanceof PlatformError && error.fault !== 'internal';
  const told = known ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`headwater: ${hideSecrets(told)}\n`);
  process.exitCode = 1;
  // Nothing that a failed start left behind may keep the process alive.
  setTimeout(() => process.exit(1), 2_000).unref();
}
