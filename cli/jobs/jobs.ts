import Table from 'cli-table3';
import { buildGraph, fingerprintOf } from '#pipelines/model/graph';
import { JobNotFoundError, JobStateError } from '#pipelines/runner/jobs/errors';
import {
  activeJob,
  findJob,
  type JobDetails,
  type JobSubmission,
  type JobSummary,
  type RunnerJobs,
} from '#pipelines/runner/jobs/runner_jobs';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print, printList } from '../terminal/print.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { type JobPlace, openJobs } from './open_jobs.ts';
import { openPipeline } from './pipeline_modules.ts';
import { environmentOf, pairsOf, runnerOptionsOf } from './runner_options.ts';

interface Printed {
  readonly json: boolean;
}

async function withJobs<T>(place: JobPlace, work: (jobs: RunnerJobs) => Promise<T>): Promise<T> {
  const jobs = openJobs(place);
  try {
    return await work(jobs);
  } finally {
    jobs.close();
  }
}

export interface SubmitSettings extends JobPlace, Printed {
  readonly name?: string;
  readonly option: readonly string[];
  readonly environment: string;
  readonly runnerOption: readonly string[];
  readonly savepoint?: string;
  readonly savepointDirectory?: string;
  readonly allowNonRestored: boolean;
}

/** What a submission has done. */
type Submitted = 'submitted' | 'unchanged' | 'updated';

/**
 * `headwater jobs submit PIPELINE`: hands a job to the runner and ends. A job that runs under the name with the same graph is left as it is; one with another graph is an error, or,
 * with `--update`, replaced from a savepoint.
 */
export async function submitJob(
  pipeline: string,
  settings: SubmitSettings & { readonly update: boolean },
): Promise<void> {
  await withSubmission(pipeline, settings, async (jobs, submission) => {
    const running = await activeJob(jobs, submission.name);
    if (running === undefined) return ['submitted', await jobs.submit(submission)];
    const graph = fingerprintOf(buildGraph(submission.construct));
    const { graph: other } = await jobs.describe(running);
    if (other === graph) return ['unchanged', running];
    if (!settings.update) {
      throw new JobStateError(
        `job "${running.name}" (${running.id}) runs with graph ${other ?? 'of another program'}, and this pipeline has graph ${graph}: replace it with "headwater jobs update", or give another --name`,
      );
    }
    return ['updated', await replace(jobs, running, submission, settings)];
  });
}

/** `headwater jobs update PIPELINE`: replaces the job that runs under the name by this pipeline, with its state. */
export async function updateJob(pipeline: string, settings: SubmitSettings): Promise<void> {
  await withSubmission(pipeline, settings, async (jobs, submission) => {
    const running = await activeJob(jobs, submission.name);
    if (running === undefined) {
      throw new JobNotFoundError(
        `no job runs under the name "${submission.name}" on ${jobs.runner}: submit it with "headwater jobs submit", from a savepoint with --savepoint`,
      );
    }
    return ['updated', await replace(jobs, running, submission, settings)];
  });
}

async function withSubmission(
  pipeline: string,
  settings: SubmitSettings,
  work: (jobs: RunnerJobs, submission: JobSubmission) => Promise<readonly [Submitted, JobSummary]>,
): Promise<void> {
  const environment = environmentOf(settings.environment);
  if (environment === undefined) {
    throw new UsageError(
      'a job outlives the command that submits it, so that its workers cannot be in it: give --environment external:HOST:PORT, process:COMMAND or docker:IMAGE',
    );
  }
  const { savepoint, allowNonRestored } = settings;
  const { construct, close } = await openPipeline({ name: pipeline, options: pairsOf(settings.option) });
  try {
    const submission: JobSubmission = {
      ...{ name: settings.name ?? jobNameOf(pipeline), construct, environment, allowNonRestored },
      runnerOptions: runnerOptionsOf(settings.runnerOption),
      ...(savepoint === undefined ? {} : { savepoint }),
    };
    const [what, job] = await withJobs(settings, (jobs) => work(jobs, submission));
    if (settings.json) print(JSON.stringify({ ...job, submission: what }));
    else print(`${job.id}  ${job.name}  ${what === 'unchanged' ? `${job.state} already` : what}`);
  } finally {
    await close();
  }
}

/** The name of a job without one: that of its pipeline, without what runners refuse in names. */
export const jobNameOf = (pipeline: string): string =>
  pipeline
    .replace(/\.[cm]?[jt]s$/, '')
    .replace(/[^a-zA-Z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

/**
 * Ends the job that runs and submits the other from its state: from a savepoint, or, of a job that restarts and takes none, from its newest snapshot. When the runner refuses the other,
 * the state stays where the error names it.
 */
async function replace(
  jobs: RunnerJobs,
  running: JobSummary,
  submission: JobSubmission,
  { savepointDirectory }: SubmitSettings,
): Promise<JobSummary> {
  const savepoint = submission.savepoint ?? (await endWithState(jobs, running, savepointDirectory));
  try {
    return await jobs.submit({ ...submission, savepoint });
  } catch (error) {
    throw new CommandFailedError(
      `job "${running.name}" was stopped, and the other could not begin from its savepoint ${savepoint}: ${error instanceof Error ? error.message : String(error)}. Submit the version of before with --savepoint ${savepoint}, or this one with --allow-non-restored, which drops state that has no transform any more`,
    );
  }
}

async function endWithState(jobs: RunnerJobs, job: JobSummary, directory: string | undefined): Promise<string> {
  if (job.state === 'running') return jobs.stop(job, directory === undefined ? {} : { directory });
  const { lastSnapshot } = await jobs.describe(job);
  if (lastSnapshot?.place === undefined) {
    throw new JobStateError(
      `job "${job.name}" (${job.id}) is ${job.state} and has no snapshot to begin from: wait until it runs, or cancel it and submit it without its state`,
    );
  }
  await jobs.cancel(job);
  return lastSnapshot.place;
}

/** `headwater jobs list`. */
export async function listJobs(settings: JobPlace & Printed & { readonly all: boolean }): Promise<void> {
  const all = await withJobs(settings, (jobs) => jobs.list());
  const shown = settings.all ? all : all.filter(({ endedAt }) => endedAt === undefined);
  if (settings.json) {
    printList(shown, { json: true, line: String, empty: '' });
    return;
  }
  if (shown.length === 0) {
    process.stderr.write(
      `no jobs run on ${settings.runner}${all.length === 0 ? '' : '; --all prints those that have ended'}\n`,
    );
    return;
  }
  const table = tableOf(['id', 'name', 'state', 'started', 'ended']);
  for (const { id, name, state, startedAt, endedAt } of shown)
    table.push([id, name, state, startedAt ?? '', endedAt ?? '']);
  print(table.toString());
}

const tableOf = (head: string[]) => new Table({ head, style: { head: [], border: [] } });

const PERCENT = 100;
const percent = (share: number | undefined): string => (share === undefined ? '' : `${Math.round(share * PERCENT)} %`);

const rate = (perSecond: number | undefined): string | undefined => perSecond?.toFixed(1);

/** `headwater jobs status JOB`. */
export async function showJob(nameOrId: string, settings: JobPlace & Printed): Promise<void> {
  const job = await withJobs(settings, async (jobs) => jobs.describe(await findJob(jobs, nameOrId)));
  if (settings.json) {
    print(JSON.stringify(job));
    return;
  }
  printDetails(job);
}

function printDetails(job: JobDetails): void {
  print(`${job.id}  ${job.name}  ${job.state}  since ${job.startedAt ?? 'not started'}`);
  if (job.error !== undefined) print(`error: ${job.error}`);
  const { lastSnapshot: last, snapshots } = job;
  if (snapshots !== undefined) {
    const newest =
      last === undefined
        ? ''
        : `; the newest at ${last.at}: ${last.bytes} bytes in ${last.durationMs} ms${last.place === undefined ? '' : `, ${last.place}`}`;
    print(`snapshots: ${snapshots.completed} completed, ${snapshots.failed} failed${newest}`);
  }
  const head = ['transform', 'parallelism', 'in', 'in/s', 'out', 'out/s', 'watermark', 'busy', 'back-pressure'];
  const table = tableOf([...head, 'state bytes']);
  for (const { name, parallelism, watermark, ...counts } of job.transforms) {
    const { recordsIn, recordsInPerSecond, recordsOut, recordsOutPerSecond } = counts;
    const numbers = [recordsIn, rate(recordsInPerSecond), recordsOut, rate(recordsOutPerSecond)];
    const { busy, backPressure, stateBytes } = counts;
    table.push(
      [name, parallelism, ...numbers, watermark, percent(busy), percent(backPressure), stateBytes].map((cell) =>
        String(cell ?? ''),
      ),
    );
  }
  print(table.toString());
}

/** `headwater jobs drain JOB`. */
export async function drainJob(nameOrId: string, settings: JobPlace): Promise<void> {
  await withJobs(settings, async (jobs) => {
    const job = await findJob(jobs, nameOrId);
    await jobs.drain(job);
    print(`${job.id}  ${job.name}  drained`);
  });
}

/** `headwater jobs stop JOB`: prints where the savepoint is. */
export async function stopJob(
  nameOrId: string,
  settings: JobPlace & Printed & { readonly savepoint?: string },
): Promise<void> {
  await withJobs(settings, async (jobs) => {
    const job = await findJob(jobs, nameOrId);
    const { savepoint: directory } = settings;
    const savepoint = await jobs.stop(job, directory === undefined ? {} : { directory });
    print(settings.json ? JSON.stringify({ id: job.id, name: job.name, savepoint }) : savepoint);
  });
}

/** `headwater jobs cancel JOB`. */
export async function cancelJob(nameOrId: string, settings: JobPlace): Promise<void> {
  await withJobs(settings, async (jobs) => {
    const job = await findJob(jobs, nameOrId);
    await jobs.cancel(job);
    print(`${job.id}  ${job.name}  cancelled`);
  });
}

/** `headwater jobs logs JOB`. */
export async function showJobLogs(nameOrId: string, settings: JobPlace): Promise<void> {
  await withJobs(settings, async (jobs) => {
    for await (const line of jobs.logs(await findJob(jobs, nameOrId))) print(line);
  });
}
