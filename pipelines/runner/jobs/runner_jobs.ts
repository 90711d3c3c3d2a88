import { similarName } from '#kernel/known_names';
import type { Construct, EnvironmentProto } from '#pipelines/model/graph';
import type { OptionValue } from '../portable/job_client.ts';
import { JobNotFoundError } from './errors.ts';

export type JobState = 'starting' | 'running' | 'restarting' | 'stopping' | 'done' | 'stopped' | 'cancelled' | 'failed';

const ENDED: ReadonlySet<JobState> = new Set(['done', 'stopped', 'cancelled', 'failed']);

/** A job as a list shows it. */
export interface JobSummary {
  /** The runner's own. */
  readonly id: string;
  readonly name: string;
  readonly state: JobState;
  /** ISO 8601. */
  readonly startedAt: string | undefined;
  /** ISO 8601; undefined while it runs. */
  readonly endedAt: string | undefined;
}

/** One transform, or several that the runner executes together. */
export interface JobTransform {
  readonly name: string;
  readonly parallelism: number;
  readonly inputs: readonly string[];
  /** Since the job started last. */
  readonly recordsIn: number | undefined;
  readonly recordsOut: number | undefined;
  readonly recordsInPerSecond: number | undefined;
  readonly recordsOutPerSecond: number | undefined;
  /** Event time, ISO 8601; undefined before the first and after the last event. */
  readonly watermark: string | undefined;
  /** Share of time in which it waits for those after it, 0 to 1. */
  readonly backPressure: number | undefined;
  /** Share of time in which it works, 0 to 1. */
  readonly busy: number | undefined;
  /** Of the newest snapshot. */
  readonly stateBytes: number | undefined;
}

/** A snapshot of a job's state, taken by the runner or by request. */
export interface JobSnapshot {
  readonly at: string;
  readonly durationMs: number;
  readonly bytes: number;
  readonly place: string | undefined;
}

export interface JobDetails extends JobSummary {
  /** Fingerprint of the graph that it was submitted with. */
  readonly graph: string | undefined;
  readonly transforms: readonly JobTransform[];
  readonly lastSnapshot: JobSnapshot | undefined;
  readonly snapshots: { readonly completed: number; readonly failed: number; readonly restored: number } | undefined;
  /** What made it restart or fail the last time. */
  readonly error: string | undefined;
}

export interface JobSubmission {
  readonly name: string;
  readonly construct: Construct;
  /** Where workers run: not in the process that submits, which ends. */
  readonly environment: EnvironmentProto;
  /** Pipeline options of the runner, in snake case. */
  readonly runnerOptions: Readonly<Record<string, OptionValue>>;
  /** Savepoint to begin from. */
  readonly savepoint?: string;
  /** Begins also when the savepoint has state of transforms that the graph does not have; that state is dropped. */
  readonly allowNonRestored?: boolean;
}

export interface JobStop {
  /** Folder for the savepoint; the runner's own by default. */
  readonly directory?: string;
}

/** The jobs of a runner. A job outlives the process that submits it. */
export interface RunnerJobs {
  readonly runner: string;
  /** Jobs that run, and those that have ended as far as the runner keeps them; the newest first. */
  list(): Promise<readonly JobSummary[]>;
  describe(job: JobSummary): Promise<JobDetails>;
  /**
   * Hands a job to the runner and resolves when the runner has it.
   *
   * @throws JobFailedError with what the runner gave as its reason
   */
  submit(submission: JobSubmission): Promise<JobSummary>;
  /** Ends a job with its windows closed and its results whole. */
  drain(job: JobSummary): Promise<void>;
  /** Ends a job with its state in a savepoint, from which another is submitted. @returns where the savepoint is */
  stop(job: JobSummary, stop: JobStop): Promise<string>;
  /** Ends a job at once; what its newest snapshot does not cover is lost. */
  cancel(job: JobSummary): Promise<void>;
  /** Lines of its log, the oldest first. */
  logs(job: JobSummary): AsyncIterable<string>;
  close(): void;
}

export const hasEnded = ({ state }: Pick<JobSummary, 'state'>): boolean => ENDED.has(state);

/** Returns the job that runs under a name. @throws {@link JobNotFoundError} when several do */
export async function activeJob(
  jobs: Pick<RunnerJobs, 'list' | 'runner'>,
  name: string,
): Promise<JobSummary | undefined> {
  const active = (await jobs.list()).filter((job) => job.name === name && !hasEnded(job));
  if (active.length > 1) throw ambiguous(name, active);
  return active[0];
}

/**
 * Returns the job with this id, or the one that runs under this name, or the newest that ran under it.
 *
 * @throws {@link JobNotFoundError} when there is none, or several run under the name
 */
export async function findJob(jobs: Pick<RunnerJobs, 'list' | 'runner'>, nameOrId: string): Promise<JobSummary> {
  const all = await jobs.list();
  const byId = all.find(({ id }) => id === nameOrId);
  if (byId !== undefined) return byId;
  const named = all.filter(({ name }) => name === nameOrId);
  const active = named.filter((job) => !hasEnded(job));
  if (active.length > 1) throw ambiguous(nameOrId, active);
  const found = active[0] ?? named[0];
  if (found !== undefined) return found;
  const meant = similarName(nameOrId, [...new Set(all.map(({ name }) => name))]);
  throw new JobNotFoundError(
    `${jobs.runner} has no job "${nameOrId}"${meant === undefined ? '' : ` (did you mean "${meant}"?)`}: "headwater jobs list" prints those that it has`,
  );
}

const ambiguous = (name: string, jobs: readonly JobSummary[]): JobNotFoundError =>
  new JobNotFoundError(
    `${jobs.length} jobs run under the name "${name}": give the id of one, ${jobs.map(({ id }) => id).join(' or ')}`,
  );
