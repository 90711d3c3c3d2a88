import { createLogger, type LogLevel } from '#monitoring/log';
import { buildGraph, type Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { startDataflowJobService } from '#pipelines/runner/portable/dataflow';
import { FLINK_DEFAULTS, transformsWithSideInputs } from '#pipelines/runner/portable/flink_options';
import type { OptionValue } from '#pipelines/runner/portable/job_client';
import { runPortable } from '#pipelines/runner/portable/portable';
import { onThreads } from '#pipelines/runner/sharded/threads';
import type { Runner, STATES } from '../terminal/choices.ts';
import { shutdownRequested } from '../terminal/shutdown.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { openPipeline, pipelineModulesUrl } from './pipeline_modules.ts';
import { DEFAULT_ENDPOINTS, environmentOf, pairsOf, runnerOptionsOf } from './runner_options.ts';

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
    const environment = environmentOf(settings.environment);
    const target = await targetOf(settings);
    if (runner === 'flink') warnOfSideInputs(construct, settings);
    try {
      const { jobId } = await runPortable(construct, {
        jobEndpoint: target.jobEndpoint,
        jobName: settings.jobName ?? pipeline.replace(/[^a-zA-Z0-9]+/g, '-'),
        runnerOptions: { ...target.runnerOptions, ...runnerOptionsOf(settings.runnerOption) },
        log,
        signal: controller.signal,
        ...(environment === undefined ? {} : { environment }),
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
