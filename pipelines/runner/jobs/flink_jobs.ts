import { setTimeout as sleep } from 'node:timers/promises';
import { buildGraph, fingerprintOf, portableProto } from '#pipelines/model/graph';
import { JobFailedError } from '../portable/errors.ts';
import { FLINK_DEFAULTS, transformsWithSideInputs } from '../portable/flink_options.ts';
import { JobClient, type OptionValue } from '../portable/job_client.ts';
import { isUnbounded } from '../portable/portable.ts';
import { JobOperationUnsupportedError, JobRequestFailedError, JobStateError } from './errors.ts';
import { FlinkRest, rootCause } from './flink_rest.ts';
import {
  hasEnded,
  type JobDetails,
  type JobSnapshot,
  type JobState,
  type JobStop,
  type JobSubmission,
  type JobSummary,
  type JobTransform,
  type RunnerJobs,
} from './runner_jobs.ts';

export interface FlinkJobsSettings {
  /** Of the JobManager's REST API. */
  readonly restUrl: string;
  /** host:port of Beam's job server, which jobs are submitted through. */
  readonly jobEndpoint: string;
  /** Between two questions while something is awaited, ms. */
  readonly pollMs?: number;
  /** How long Flink may take to accept a job, ms. */
  readonly acceptedWithinMs?: number;
}

const POLL_MS = 500;
/** The job server sends its classes to the cluster with each job. */
const ACCEPTED_WITHIN_MS = 300_000;

/** Jobs of a Flink session cluster: submitted through Beam's job server, and from then on Flink's own. */
export class FlinkJobs implements RunnerJobs {
  readonly runner = 'flink';
  readonly #rest: FlinkRest;
  readonly #settings: FlinkJobsSettings;
  readonly #pollMs: number;

  constructor(settings: FlinkJobsSettings) {
    this.#rest = new FlinkRest(settings.restUrl);
    this.#settings = settings;
    this.#pollMs = settings.pollMs ?? POLL_MS;
  }

  async list(): Promise<readonly JobSummary[]> {
    const { jobs } = await this.#rest.get<{ readonly jobs: readonly Overview[] }>('/jobs/overview', 'listing jobs');
    return [...jobs].sort((one, other) => other['start-time'] - one['start-time']).map(summaryOf);
  }

  async describe(job: JobSummary): Promise<JobDetails> {
    const path = `/jobs/${job.id}`;
    const doing = `describing job "${job.name}"`;
    const [details, config, checkpoints, exceptions] = await Promise.all([
      this.#rest.get<Details>(path, doing),
      this.#rest.get<Config>(`${path}/config`, doing),
      this.#rest.get<Checkpoints>(`${path}/checkpoints`, doing).catch(() => undefined),
      this.#rest.get<Exceptions>(`${path}/exceptions`, doing),
    ]);
    const latest = checkpoints?.latest;
    const newest = newestOf(latest?.completed, latest?.savepoint);
    const sizes = newest === undefined ? undefined : await this.#stateSizes(path, newest.id);
    const transforms = await Promise.all(
      details.vertices.map((vertex) => this.#transform(path, vertex, details, sizes)),
    );
    const counts = checkpoints?.counts;
    const trace = exceptions.exceptionHistory?.entries[0]?.stacktrace ?? exceptions['root-exception'] ?? undefined;
    return {
      ...job,
      graph: config['execution-config']?.['user-config']?.[GRAPH_PARAMETER],
      transforms,
      lastSnapshot: newest === undefined ? undefined : snapshotOf(newest),
      snapshots: counts && { completed: counts.completed, failed: counts.failed, restored: counts.restored },
      error: trace === undefined ? undefined : rootCause(trace),
    };
  }

  /** Bytes of state by vertex. */
  async #stateSizes(path: string, checkpoint: number): Promise<ReadonlyMap<string, number>> {
    const { tasks = {} } = await this.#rest
      .get<{ readonly tasks?: Readonly<Record<string, { readonly state_size: number }>> }>(
        `${path}/checkpoints/details/${checkpoint}`,
        'reading sizes of state',
      )
      .catch(() => ({ tasks: {} }));
    return new Map(Object.entries(tasks).map(([id, { state_size: bytes }]) => [id, bytes]));
  }

  async #transform(
    path: string,
    vertex: Vertex,
    { plan, vertices }: Details,
    sizes: ReadonlyMap<string, number> | undefined,
  ): Promise<JobTransform> {
    const { id, name, parallelism } = vertex;
    const [watermarks, pressure, counts] = await Promise.all([
      this.#rest
        .get<readonly { readonly value: string }[]>(`${path}/vertices/${id}/watermarks`, 'reading watermarks')
        .catch(() => []),
      this.#rest.get<Pressure>(`${path}/vertices/${id}/backpressure`, 'reading back-pressure').catch(() => undefined),
      this.#rest
        .get<readonly Sum[]>(`${path}/vertices/${id}/subtasks/metrics?get=${COUNTS.join()}&agg=sum`, 'reading counts')
        .catch(() => []),
    ]);
    const sums = new Map(counts.map(({ id: metric, sum }) => [metric, sum]));
    const inputs = plan.nodes.find((node) => node.id === id)?.inputs ?? [];
    return {
      name,
      parallelism,
      inputs: inputs.map((input) => vertices.find((other) => other.id === input.id)?.name ?? input.id),
      recordsIn: sums.get('numRecordsIn'),
      recordsOut: sums.get('numRecordsOut'),
      recordsInPerSecond: sums.get('numRecordsInPerSecond'),
      recordsOutPerSecond: sums.get('numRecordsOutPerSecond'),
      watermark: timeOf(Math.min(...watermarks.map(({ value }) => Number(value)))),
      backPressure: mostOf(pressure, 'ratio'),
      busy: mostOf(pressure, 'busyRatio'),
      stateBytes: sizes?.get(id),
    };
  }

  async submit({ name, construct, environment, ...rest }: JobSubmission): Promise<JobSummary> {
    const { runnerOptions, savepoint, allowNonRestored = false } = rest;
    const graph = buildGraph(construct);
    const pipeline = portableProto(graph, environment);
    const options: Record<string, OptionValue> = {
      ...FLINK_DEFAULTS,
      ...(isUnbounded(pipeline) ? UNBOUNDED_DEFAULTS : {}),
      ...runnerOptions,
      attached_mode: false,
      [GRAPH_OPTION]: fingerprintOf(graph),
      ...(savepoint === undefined ? {} : { savepoint_path: savepoint, allow_non_restored_state: allowNonRestored }),
    };
    if (Number(options.checkpointing_interval ?? -1) > 0) refuseSideInputs(transformsWithSideInputs(pipeline));
    const before = new Set((await this.list()).map(({ id }) => id));
    const client = new JobClient(this.#settings.jobEndpoint);
    const leaving = new AbortController();
    try {
      const submitted = await client.submit({ name, pipeline, options });
      const failure = submitted.waitUntilFinished(undefined, leaving.signal).then(
        () => undefined,
        (error: unknown) => error,
      );
      return await this.#accepted(name, before, failure);
    } finally {
      leaving.abort();
      client.close();
    }
  }

  /** Waits until the cluster has the job and its tasks run; restoring a savepoint may fail before. */
  async #accepted(name: string, before: ReadonlySet<string>, failure: Promise<unknown>): Promise<JobSummary> {
    let failed: unknown;
    void failure.then((error) => {
      failed = error;
    });
    const giveUpAt = Date.now() + (this.#settings.acceptedWithinMs ?? ACCEPTED_WITHIN_MS);
    while (Date.now() < giveUpAt) {
      const job = (await this.list()).find((other) => other.name === name && !before.has(other.id));
      if (job?.state === 'failed') {
        const { error = 'it gave no reason' } = await this.describe(job);
        throw new JobFailedError(name, 'FAILED', [error]);
      }
      if (job !== undefined && (job.state === 'running' || hasEnded(job))) return job;
      if (job === undefined && failed instanceof JobFailedError) throw failed;
      await sleep(this.#pollMs);
    }
    throw new JobRequestFailedError(
      `submitting job "${name}"`,
      `Flink did not run it in time; see its log, and "headwater jobs list" before it is submitted again`,
    );
  }

  async drain(): Promise<void> {
    throw new JobOperationUnsupportedError(
      this.runner,
      'drained',
      "Beam's Flink runner does not truncate what unbounded sources have left, so that Flink's drain never ends; stop it with a savepoint, in which its open windows stay, or cancel it",
    );
  }

  async stop(job: JobSummary, { directory }: JobStop): Promise<string> {
    const doing = `stopping job "${job.name}" with a savepoint`;
    if (job.state !== 'running') {
      throw new JobStateError(`job "${job.name}" (${job.id}) is ${job.state}: only a job that runs takes a savepoint`);
    }
    const { 'request-id': request } = await this.#rest.send<Trigger>('POST', `/jobs/${job.id}/stop`, doing, {
      drain: false,
      ...(directory === undefined ? {} : { targetDirectory: directory }),
    });
    for (;;) {
      const { status, operation } = await this.#rest.get<Operation>(`/jobs/${job.id}/savepoints/${request}`, doing);
      if (status.id === 'COMPLETED') {
        if (operation?.location !== undefined) return operation.location;
        throw new JobRequestFailedError(doing, rootCause(operation?.['failure-cause']?.['stack-trace'] ?? ''));
      }
      await sleep(this.#pollMs);
    }
  }

  async cancel(job: JobSummary): Promise<void> {
    await this.#rest.send('PATCH', `/jobs/${job.id}?mode=cancel`, `cancelling job "${job.name}"`);
    for (;;) {
      const now = (await this.list()).find(({ id }) => id === job.id);
      if (now === undefined || hasEnded(now)) return;
      await sleep(this.#pollMs);
    }
  }

  /** Why it failed or restarted, then the logs of the task managers that it runs on. */
  async *logs(job: JobSummary): AsyncIterable<string> {
    const doing = `reading logs of job "${job.name}"`;
    const { exceptionHistory } = await this.#rest.get<Exceptions>(`/jobs/${job.id}/exceptions`, doing);
    for (const { timestamp, taskName, stacktrace } of [...(exceptionHistory?.entries ?? [])].reverse()) {
      yield `${new Date(timestamp).toISOString()} failure${taskName === null ? '' : ` of ${taskName}`}: ${stacktrace.trimEnd()}`;
    }
    const { vertices } = await this.#rest.get<Details>(`/jobs/${job.id}`, doing);
    const managers = new Set<string>();
    for (const { id } of vertices) {
      const path = `/jobs/${job.id}/vertices/${id}/taskmanagers`;
      const { taskmanagers } = await this.#rest.get<TaskManagers>(path, doing);
      for (const { 'taskmanager-id': manager } of taskmanagers) managers.add(manager);
    }
    for (const manager of managers) {
      const log = await this.#rest.text(`/taskmanagers/${manager}/log`, doing);
      if (log !== undefined) yield* log.trimEnd().split('\n');
    }
  }

  close(): void {}
}

/** Kept with the job, so that a submitter finds what runs under its name. */
const GRAPH_OPTION = 'headwater_graph';
const GRAPH_PARAMETER = 'headwaterGraph';

/** Of jobs that never end: state survives failures, and the newest checkpoint also a job that is cancelled. */
const UNBOUNDED_DEFAULTS: Readonly<Record<string, OptionValue>> = {
  checkpointing_interval: 10_000,
  externalized_checkpoints_enabled: true,
  retain_externalized_checkpoints_on_cancellation: true,
};

function refuseSideInputs(names: readonly string[]): void {
  if (names.length === 0) return;
  throw new JobStateError(
    `${names.join(', ')} read side inputs, of which Beam's Flink runner cannot take checkpoints: join instead, or give --runner-option checkpointing_interval=-1 for a job that begins afresh after each failure (docs/pipelines.md)`,
  );
}

const COUNTS = ['numRecordsIn', 'numRecordsOut', 'numRecordsInPerSecond', 'numRecordsOutPerSecond'];

const STATES: Readonly<Record<string, JobState>> = {
  INITIALIZING: 'starting',
  CREATED: 'starting',
  RECONCILING: 'starting',
  RUNNING: 'running',
  RESTARTING: 'restarting',
  FAILING: 'restarting',
  CANCELLING: 'stopping',
  SUSPENDED: 'stopping',
  FINISHED: 'done',
  CANCELED: 'cancelled',
  FAILED: 'failed',
};

function summaryOf({ jid, name, state, tasks, ...times }: Overview): JobSummary {
  const known = STATES[state] ?? 'starting';
  // Flink calls a job running whose tasks are being deployed.
  const isDeploying = known === 'running' && tasks.running + tasks.finished < tasks.total;
  return {
    id: jid,
    name,
    state: isDeploying ? 'starting' : known,
    startedAt: isoOf(times['start-time']),
    endedAt: isoOf(times['end-time']),
  };
}

const isoOf = (ms: number): string | undefined => (ms > 0 ? new Date(ms).toISOString() : undefined);

/** Flink's watermarks begin and end at the limits of a long. */
function timeOf(watermark: number): string | undefined {
  return Number.isFinite(watermark) && Math.abs(watermark) < LATEST_DATE_MS
    ? new Date(watermark).toISOString()
    : undefined;
}

const LATEST_DATE_MS = 8.64e15;

function newestOf(...checkpoints: readonly (Checkpoint | null | undefined)[]): Checkpoint | undefined {
  return checkpoints
    .filter((checkpoint): checkpoint is Checkpoint => checkpoint !== null && checkpoint !== undefined)
    .sort((one, other) => other.id - one.id)[0];
}

const snapshotOf = (checkpoint: Checkpoint): JobSnapshot => ({
  at: new Date(checkpoint.latest_ack_timestamp).toISOString(),
  durationMs: checkpoint.end_to_end_duration,
  bytes: checkpoint.state_size,
  place: checkpoint.external_path,
});

function mostOf(pressure: Pressure | undefined, key: 'ratio' | 'busyRatio'): number | undefined {
  const values = (pressure?.subtasks ?? []).map((subtask) => Number(subtask[key])).filter(Number.isFinite);
  return values.length === 0 ? undefined : Math.max(...values);
}

// Answers of Flink 1.19's REST API, as far as they are read.

interface Overview {
  readonly jid: string;
  readonly name: string;
  readonly state: string;
  readonly 'start-time': number;
  readonly 'end-time': number;
  readonly tasks: { readonly total: number; readonly running: number; readonly finished: number };
}

interface Vertex {
  readonly id: string;
  readonly name: string;
  readonly parallelism: number;
}

/** Over the subtasks of a vertex. */
interface Sum {
  readonly id: string;
  readonly sum: number;
}

interface Details {
  readonly vertices: readonly Vertex[];
  readonly plan: {
    readonly nodes: readonly { readonly id: string; readonly inputs?: readonly { readonly id: string }[] }[];
  };
}

interface Config {
  readonly 'execution-config'?: { readonly 'user-config'?: Readonly<Record<string, string>> };
}

interface Checkpoint {
  readonly id: number;
  readonly state_size: number;
  readonly end_to_end_duration: number;
  readonly latest_ack_timestamp: number;
  readonly external_path?: string;
}

interface Checkpoints {
  readonly counts: { readonly completed: number; readonly failed: number; readonly restored: number };
  readonly latest: { readonly completed: Checkpoint | null; readonly savepoint: Checkpoint | null };
}

interface Exceptions {
  readonly 'root-exception'?: string | null;
  readonly exceptionHistory?: {
    readonly entries: readonly {
      readonly timestamp: number;
      readonly taskName: string | null;
      readonly stacktrace: string;
    }[];
  };
}

interface Pressure {
  readonly subtasks?: readonly { readonly ratio?: number; readonly busyRatio?: number }[];
}

interface TaskManagers {
  readonly taskmanagers: readonly { readonly 'taskmanager-id': string }[];
}

interface Trigger {
  readonly 'request-id': string;
}

interface Operation {
  readonly status: { readonly id: string };
  readonly operation?: {
    readonly location?: string;
    readonly 'failure-cause'?: { readonly 'stack-trace'?: string };
  } | null;
}
