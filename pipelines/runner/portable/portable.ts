import { type Logger, silentLogger } from '#monitoring/log';
import { OwnWorkers, WorkerPool } from '#pipelines/harness/worker_pool';
import {
  buildGraph,
  type Construct,
  type EnvironmentProto,
  type PipelineProto,
  portableProto,
} from '#pipelines/model/graph';
import * as runnerApi from '#pipelines/proto/beam_runner_api';
import { externalEnvironment } from './environment.ts';
import { JobFailedError } from './errors.ts';
import { JobClient, type JobMetric, type OptionValue, type RunningJob } from './job_client.ts';

/** Where a runner with Beam's job API is, and how its workers reach this process. */
export interface PortableOptions {
  /** host:port of the runner's job service. */
  readonly jobEndpoint: string;
  readonly jobName?: string;
  /** Where workers run; by default in this process, which then must live as long as the job (LOOPBACK). */
  readonly environment?: EnvironmentProto;
  /** Pipeline options of the runner, in snake case: `parallelism`, `checkpointing_interval`, … */
  readonly runnerOptions?: Readonly<Record<string, OptionValue>>;
  readonly log?: Logger;
  /** Cancels the job. */
  readonly signal?: AbortSignal;
}

/** A job that a runner has run to its end, with its metrics. */
export interface PortableResult {
  readonly jobId: string;
  readonly metrics: readonly JobMetric[];
}

/**
 * Runs a pipeline on a portable runner to its end.
 *
 * @throws JobFailedError with what the runner said; RunnerUnavailableError when it does not answer
 */
export async function runPortable(construct: Construct, options: PortableOptions): Promise<PortableResult> {
  const log = (options.log ?? silentLogger).child({ component: 'pipelines.portable' });
  const client = new JobClient(options.jobEndpoint);
  const workers = new OwnWorkers(construct);
  const pool = options.environment === undefined ? await WorkerPool.start(workers) : undefined;
  let job: RunningJob | undefined;
  try {
    const environment = options.environment ?? externalEnvironment((pool as WorkerPool).address);
    const pipeline = portableProto(buildGraph(construct), environment);
    job = await client.submit({
      name: options.jobName ?? 'headwater',
      pipeline,
      options: { streaming: isUnbounded(pipeline), ...options.runnerOptions },
    });
    log.info({ jobId: job.id, endpoint: options.jobEndpoint }, 'job.started');
    const { signal } = options;
    const cancel = (): void => void job?.cancel().catch(() => {});
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    await job.waitUntilFinished((text) => log.debug({ jobId: job?.id, text }, 'job.message'));
    log.info({ jobId: job.id }, 'job.done');
    return { jobId: job.id, metrics: await job.metrics().catch(() => []) };
  } catch (error) {
    // What failed in a worker of this process is known here better than to the runner.
    if (error instanceof JobFailedError) throw error.with(workers.takeErrors());
    throw error;
  } finally {
    await pool?.stop();
    client.close();
  }
}

export const isUnbounded = ({ components }: PipelineProto): boolean =>
  Object.values(components?.pcollections ?? {}).some(
    ({ isBounded }) => isBounded === runnerApi.IsBounded_Enum.UNBOUNDED,
  );
