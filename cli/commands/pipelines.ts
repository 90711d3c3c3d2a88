import { Option } from '@commander-js/extra-typings';
import { DEFAULT_STATE_CACHE_MB, LOG_LEVELS, RUNNERS, STATES } from '../terminal/choices.ts';
import { resumes } from '../terminal/interrupt.ts';
import { noun, type Program } from './command_group.ts';
import { lazily } from './lazily.ts';
import { integer, NONE, repeated, threadCount } from './values.ts';

export function registerPipelines(program: Program): void {
  const pipelines = noun(program, 'pipelines', 'Beam pipelines');
  const run = pipelines
    .command('run')
    .description('Run a Beam pipeline here, or on Flink, Prism, Dataflow or another portable runner')
    .argument(
      '<pipeline>',
      'features, or a module whose default export builds the graph: its path, or its name in pipelines/',
    )
    .addOption(new Option('--runner <name>', 'runner').choices(RUNNERS).default('embedded' as const))
    .option('--option <key=value>', 'option of the pipeline; repeatable', repeated, NONE)
    .option('--job-endpoint <host:port>', 'job service of the runner')
    .option('--job-name <name>', 'name of the job on the runner')
    .option(
      '--environment <where>',
      'workers: loopback, external:HOST:PORT, process:COMMAND or docker:IMAGE',
      'loopback',
    )
    .option('--runner-option <key=value>', 'pipeline option of the runner, in snake case; repeatable', repeated, NONE)
    .option('--threads <count>', 'embedded: worker threads that share the keys; 0: the main thread', threadCount, 0)
    .option('--snapshots <folder>', 'embedded: keep the state in this folder and resume from it')
    .option('--snapshot-interval <ms>', 'embedded: time between snapshots', integer(1), 10_000)
    .addOption(
      new Option('--state <where>', 'embedded: where the state of DoFns lives')
        .choices(STATES)
        .default('heap' as const)
        .env('PIPELINE_STATE'),
    )
    .addOption(
      new Option('--state-cache <mebibytes>', 'embedded, state on disk: hot keys that stay in memory')
        .argParser(integer(1))
        .default(DEFAULT_STATE_CACHE_MB)
        .env('PIPELINE_STATE_CACHE_MB'),
    )
    .addOption(
      new Option('--log-level <level>', 'lowest level that is logged').choices(LOG_LEVELS).default('warn' as const),
    )
    .action(lazily(() => import('../jobs/run_pipeline.ts'), 'runPipeline'));

  resumes(run, 'run the command again with the same --snapshots');

  pipelines
    .command('worker')
    .description('Run Beam workers for a pipeline: a pool, or the single worker of a container')
    .argument('<pipeline>', 'as for run, with the same options')
    .option('--option <key=value>', 'option of the pipeline; repeatable', repeated, NONE)
    .option('--listen <host:port>', 'serve a worker pool on this address, with a process for each worker')
    .option('--tls-cert <file>', 'pool: certificate, PEM; without one it listens on localhost alone')
    .option('--tls-key <file>', 'pool: key of the certificate, PEM')
    .option('--tls-client-ca <file>', 'pool: authority of the certificates that clients show, PEM')
    .option('--id <id>', 'worker id, set by the runner')
    .option('--control_endpoint <host:port>', 'set by the runner')
    .option('--logging_endpoint <host:port>', 'set by the runner')
    .option('--provision_endpoint <host:port>', 'set by the runner')
    .option('--artifact_endpoint <host:port>', 'set by the runner; ignored')
    .option('--semi_persist_dir <folder>', 'set by the runner; ignored')
    .action(lazily(() => import('../jobs/run_worker.ts'), 'runWorker'));

  pipelines
    .command('lag')
    .description("Print a consumer group's lag in each partition of a topic")
    .option('--group <name>', 'consumer group (default: the feature pipeline)')
    .option('--topic <name>', 'topic (default: raw events)')
    .option('--json', 'print one JSON object', false)
    .action(lazily(() => import('../operations/lag.ts'), 'showLag'));
}
