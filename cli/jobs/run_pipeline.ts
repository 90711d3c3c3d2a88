import { createLogger, type LogLevel } from '#monitoring/log';
import { Worker } from '#pipelines/harness/worker';
import { WorkerPool } from '#pipelines/harness/worker_pool';
import { buildGraph, type Construct, type EnvironmentProto } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { startDataflowJobService } from '#pipelines/runner/portable/dataflow';
import { dockerEnvironment, externalEnvironment } from '#pipelines/runner/portable/environment';
import { FLINK_DEFAULTS, transformsWithSideInputs } from '#pipelines/runner/portable/flink_options';
import type { OptionValue } from '#pipelines/runner/portable/job_client';
import { runPortable } from '#pipelines/runner/portable/portable';
import { onThreads } from '#pipelines/runner/sharded/threads';
import type { Runner, STATES } from '../terminal/choices.ts';
import { shutdownRequested } from '../terminal/shutdown.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { openPipeline, pipelineModulesUrl } from './pipeline_modules.ts';

export interface RunSettings {
  readonly runner: Runner;
  readonly option: readonly string[];
  readonly runnerOption: readonly string[];
  readonly jobEndpoint?: string;
  readonly jobName?: string;
  readonly environment: string;
  readonly threads: number;
  readonly snapshots?: string;
  readonly snapshotInterval: number;
  readonly state: (typeof STATES)[number];
  /** MiB. */
  readonly stateCache: number;
  readonly logLevel: LogLevel;
}

/** `headwater pipelines run PIPELINE`: to its end, or until SIGTERM: then the embedded runner stops it with a snapshot, or drains it without a folder for one; other runners cancel it. */
export async function runPipeline(pipeline: string, settings: RunSettings): Promise<void> {
  const { construct, close } = await openPipeline({ name: pipeline, options: pairsOf(settings.option) });
  try {
    await runLoaded(pipeline, construct, settings);
  } finally {
    await close();
  }
}

async function runLoaded(pipeline: string, construct: Construct, settings: RunSettings): Promise<void> {
  const log = createLogger({ level: settings.logLevel });
  const { runner } = settings;
  const startedMs = Date.now();
  if (runner === 'embedded') {
    const { snapshots, snapshotInterval, threads, logLevel, state, stateCache } = settings;
    const program = { module: pipelineModulesUrl, argument: { name: pipeline, options: pairsOf(settings.option) } };
    const handle = runEmbedded(createPipeline(construct), {
      log,
      state: state === 'heap' ? { kind: 'heap' } : { kind: 'disk', cacheBytes: stateCache * 1_024 * 1_024 },
      ...(threads === 0 ? {} : { shards: { count: threads, launch: onThreads(program, logLevel) } }),
      ...(snapshots === undefined ? {} : { snapshots: { directory: snapshots, intervalMs: snapshotInterval } }),
    });
    // What makes it fail is that of `finished`.
    void shutdownRequested()
      .then(() => (snapshots === undefined ? handle.drain() : handle.stop()))
      .catch(() => {});
    await handle.finished;
  } else {
    const controller = new AbortController();
    void shutdownRequested().then(() => controller.abort());
    const target = await targetOf(settings);
    if (runner === 'flink') warnOfSideInputs(construct, settings);
    try {
      const { jobId } = await runPortable(construct, {
        jobEndpoint: target.jobEndpoint,
        jobName: settings.jobName ?? pipeline.replace(/[^a-zA-Z0-9]+/g, '-'),
        runnerOptions: { ...target.runnerOptions, ...optionsOf(settings.runnerOption) },
        log,
        signal: controller.signal,
        ...environmentOf(settings.environment),
      });
      process.stdout.write(`job ${jobId}\n`);
    } finally {
      target.stop();
    }
  }
  process.stdout.write(`${pipeline} done on ${runner} in ${((Date.now() - startedMs) / 1_000).toFixed(1)} s\n`);
}

/** On Flink, checkpoints and side inputs do not go together: said before the job fails of it. */
function warnOfSideInputs(construct: Construct, { runnerOption }: RunSettings): void {
  if (!(Number(pairsOf(runnerOption).checkpointing_interval ?? -1) > 0)) return;
  const names = transformsWithSideInputs(buildGraph(construct).getProto());
  if (names.length === 0) return;
  process.stderr.write(
    `headwater: ${names.join(', ')} read side inputs, of which Beam's Flink runner cannot take checkpoints: run without checkpointing_interval, or join instead (docs/pipelines.md)\n`,
  );
}

interface Target {
  readonly jobEndpoint: string;
  readonly runnerOptions: Readonly<Record<string, OptionValue>>;
  stop(): void;
}

const DEFAULT_ENDPOINTS: Readonly<Partial<Record<Runner, string>>> = {
  prism: '127.0.0.1:8073',
  flink: '127.0.0.1:8099',
};

async function targetOf({ runner, jobEndpoint, environment, runnerOption }: RunSettings): Promise<Target> {
  if (runner === 'dataflow') {
    if (!environment.startsWith('docker:')) {
      throw new UsageError('Dataflow starts workers from an image: give --environment docker:IMAGE');
    }
    const { project, region, temp_location: tempLocation } = pairsOf(runnerOption);
    if (project === undefined || region === undefined || tempLocation === undefined) {
      throw new UsageError(
        'Dataflow needs --runner-option project=…, --runner-option region=… and --runner-option temp_location=gs://…',
      );
    }
    return startDataflowJobService({ project, region, tempLocation });
  }
  const endpoint = jobEndpoint ?? DEFAULT_ENDPOINTS[runner];
  if (endpoint === undefined) throw new UsageError(`--runner ${runner} needs --job-endpoint host:port`);
  return { jobEndpoint: endpoint, runnerOptions: runner === 'flink' ? FLINK_DEFAULTS : {}, stop() {} };
}

function environmentOf(environment: string): { readonly environment?: EnvironmentProto } {
  if (environment === 'loopback') return {};
  const [kind, ...rest] = environment.split(':');
  const value = rest.join(':');
  if (kind === 'external' && value !== '') return { environment: externalEnvironment(value) };
  if (kind === 'docker' && value !== '') return { environment: dockerEnvironment(value) };
  throw new UsageError(`--environment is loopback, external:HOST:PORT or docker:IMAGE, not "${environment}"`);
}

export interface WorkerSettings {
  readonly option: readonly string[];
  readonly listen?: string;
  readonly id?: string;
  readonly control_endpoint?: string;
  readonly logging_endpoint?: string;
  readonly provision_endpoint?: string;
}

/**
 * `headwater pipelines worker PIPELINE`: a pool for a runner's task managers (--listen), or, as a container's entry point, the one worker
 * that a runner has requested (--id, --control_endpoint).
 */
export async function runWorker(pipeline: string, settings: WorkerSettings): Promise<void> {
  const { construct, close } = await openPipeline({ name: pipeline, options: pairsOf(settings.option) });
  try {
    await serveWorkers(pipeline, construct, settings);
  } finally {
    await close();
  }
}

async function serveWorkers(pipeline: string, construct: Construct, settings: WorkerSettings): Promise<void> {
  if (settings.listen !== undefined) {
    const [host = '', port = ''] = settings.listen.split(':');
    if (!/^\d+$/.test(port)) throw new UsageError(`--listen is host:port, not "${settings.listen}"`);
    const pool = await WorkerPool.start({ construct, host, port: Number(port) });
    process.stdout.write(`workers for ${pipeline} on ${pool.address}\n`);
    await shutdownRequested();
    await pool.stop();
    return;
  }
  const { id, control_endpoint: controlUrl, logging_endpoint: loggingUrl, provision_endpoint: provisionUrl } = settings;
  if (id === undefined || controlUrl === undefined) {
    throw new UsageError('give --listen host:port for a pool, or --id and --control_endpoint for one worker');
  }
  const worker = new Worker({
    id,
    controlUrl,
    construct,
    ...(loggingUrl === undefined ? {} : { loggingUrl }),
    ...(provisionUrl === undefined ? {} : { provisionUrl }),
  });
  await Promise.race([worker.finished, shutdownRequested()]);
  await worker.stop();
}

function pairsOf(pairs: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at <= 0) throw new UsageError(`an option is written NAME=VALUE, such as input=orders.jsonl, not "${pair}"`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Numbers and booleans as such: runners look at the type. */
function optionsOf(pairs: readonly string[]): Readonly<Record<string, OptionValue>> {
  return Object.fromEntries(
    Object.entries(pairsOf(pairs)).map(([name, value]) => {
      if (value === 'true' || value === 'false') return [name, value === 'true'];
      return [name, value !== '' && Number.isFinite(Number(value)) ? Number(value) : value];
    }),
  );
}
