import { setTimeout as delay } from 'node:timers/promises';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { JsonValue } from '#kernel/json';
import { KubernetesError } from '../errors.ts';
import { type GivenToTask, STEP_ENDED, type TaskDefinition, TaskError, type TaskResult } from '../tasks/task.ts';
import { type CronJob, jobManifest, jobName, type StepResources } from './job_manifest.ts';
import { JobStore } from './job_store.ts';
import type { KubernetesApi } from './kubernetes_api.ts';

export interface JobRunnerDeps {
  readonly sql: SqlExecutor;
  readonly api: KubernetesApi;
  /** What a task asks of its machine, by its input. */
  readonly resourcesOf: (task: TaskDefinition, input: JsonValue) => StepResources;
}

export interface JobRunnerSettings {
  /** A suspended CronJob, whose template the Jobs have. */
  readonly cronJob: string;
  /** How often results are looked for, ms. */
  readonly pollMs: number;
}

interface JobStatus {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}

/** The state of a Job is read at every so many looks for its result. */
const LOOKS_A_STATUS = 5;

/**
 * Returns a function that runs tasks as Kubernetes Jobs. A Job outlives the worker that has created it: the worker that takes the step over finds the
 * Job by its name and waits for the same result. A Job whose step has ended is deleted; one whose run was cancelled ends by itself.
 */
export function jobRunner({ sql, api, resourcesOf }: JobRunnerDeps, { cronJob, pollMs }: JobRunnerSettings) {
  const store = new JobStore(sql);
  return async (task: TaskDefinition, input: JsonValue, given: GivenToTask): Promise<TaskResult> => {
    const { signal, heartbeat, run, path, state, attempt, workflow, token, idempotencyKey: key, timeoutMs } = given;
    const name = jobName(key);
    await store.order({ key, run, path, state, attempt, workflow, task: task.id, token: token ?? null, input });
    const template = await api<CronJob>('GET', `cronjobs/${cronJob}`);
    const resources = resourcesOf(task, input);
    let wasEnded = false;
    try {
      await create(jobManifest(template, { key, run, workflow, state, timeoutMs, resources }));
      let beats = 0;
      for (let look = 0; !signal.aborted; look += 1) {
        const progress = await store.progress(key);
        const result = progress?.result ?? null;
        if (result !== null) {
          wasEnded = true;
          if ('error' in result) throw new TaskError(result.error, result.cause);
          // A result of an earlier release names no rows.
          return { ...result, written: result.written ?? [] };
        }
        if ((progress?.heartbeats ?? 0) > beats) {
          beats = progress?.heartbeats ?? 0;
          heartbeat();
        }
        const failure = look % LOOKS_A_STATUS === LOOKS_A_STATUS - 1 ? await failureOfJob() : undefined;
        // The result may have come meanwhile.
        if (failure !== undefined && (await store.progress(key))?.result === null) {
          wasEnded = true;
          throw new TaskError('Workflow.JobFailed', `Job ${name} of task ${task.id}: ${failure}`);
        }
        await delay(pollMs, undefined, { signal }).catch(() => {});
      }
      wasEnded = signal.reason === STEP_ENDED;
      throw new TaskError('Workflow.Aborted', `the worker no longer waits for Job ${name}`);
    } finally {
      if (wasEnded) await api('DELETE', `jobs/${name}?propagationPolicy=Background`).catch(() => {});
    }

    async function create(manifest: object): Promise<void> {
      try {
        await api('POST', 'jobs', manifest);
      } catch (error) {
        // Of a worker before this one, or of a request whose answer was lost.
        if (!(error instanceof KubernetesError) || error.status !== 409) throw error;
      }
    }

    /** Why the Job will not have a result. */
    async function failureOfJob(): Promise<string | undefined> {
      try {
        const { status } = await api<JobStatus>('GET', `jobs/${name}`);
        const ended = status?.conditions?.find(
          ({ type, status: is }) => (type === 'Failed' || type === 'Complete') && is === 'True',
        );
        if (ended === undefined) return undefined;
        return `${ended.reason ?? ended.type}: ${ended.message ?? 'its pod has ended without a result'}`;
      } catch (error) {
        if (error instanceof KubernetesError && error.status === 404) return 'it was deleted';
        if (error instanceof KubernetesError && error.retryable) return undefined;
        throw error;
      }
    }
  };
}
