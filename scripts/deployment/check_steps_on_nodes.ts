import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { SqlDatabase } from '#feature_store/database/sql_database';
import { createLogger } from '#monitoring/log';
import type { WorkflowDocument } from '#workflows/document/document';
import { jobRunner } from '#workflows/jobs/job_runner';
import { kubernetesApi } from '#workflows/jobs/kubernetes_api';
import { serveJob } from '#workflows/jobs/serve_job';
import { task } from '#workflows/tasks/task';
import { TaskRegistry } from '#workflows/tasks/task_registry';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import type { ApiServer } from './api_server.ts';
import { ENDS } from './kwok_nodes.ts';

const NAMESPACE = '--namespace=headwater';
const WITHIN_MS = 180_000;

interface Pod {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: { readonly phase: string };
}

type Check = (what: string, work: () => Promise<unknown>) => Promise<void>;

/**
 * Runs steps of workflows as Jobs on nodes, by the worker's own code as its service account: the end of each Job, however it comes, is the end of its step.
 * Pods run no code: where a step is to have a result, this process writes it as the pod would, once the pod runs.
 *
 * @param tokenFile - of the service account `workflows`
 */
export async function checkStepsOnNodes(
  { kubectl, url, caFile }: ApiServer,
  folder: string,
  tokenFile: string,
  check: Check,
): Promise<void> {
  const log = createLogger({ level: 'error' });
  const database = new SqlDatabase({ sql: new PgliteExecutor(join(folder, 'workflows')), log }, 'pglite');
  await database.start();
  const { sql } = database;
  const tasks = new TaskRegistry([task('train', (input) => ({ trained: input }), { process: true })]);
  const api = kubernetesApi({ server: url, caFile, tokenFile, namespace: 'headwater' });
  const runInProcess = jobRunner({ sql, api, resourcesOf: () => ({}) }, { cronJob: 'workflow-step', pollMs: 100 });
  const worker = new WorkflowWorker(
    { sql, log, tasks, runInProcess },
    { concurrency: 8, leaseMs: 5_000, pollMs: 100, upkeepMs: 200, isOnlyProcess: false },
  );
  await worker.start();

  const until = async <T>(what: string, look: () => Promise<T | undefined>): Promise<T> => {
    for (const end = Date.now() + WITHIN_MS; Date.now() < end; await delay(300)) {
      const found = await look();
      if (found !== undefined) return found;
    }
    throw new Error(`${what} did not come within ${WITHIN_MS / 1_000} s`);
  };
  /** Starts a run of one step, and waits for its pod on a node. */
  const running = async (run: string, state: object = {}): Promise<{ readonly job: string; readonly pod: Pod }> => {
    const step = { Type: 'Task', Resource: 'train@1', End: true, ...state };
    const document = { StartAt: 'Step', States: { Step: step } } as unknown as WorkflowDocument;
    await worker.store.startRun({
      ...{ id: run, workflow: 'on_nodes', document, input: { run }, origin: { kind: 'manual', by: 'check' } },
    });
    return until(`the pod of ${run}`, async () => {
      const jobs = JSON.parse(await kubectl('get', 'jobs', NAMESPACE, '-o', 'json')) as {
        readonly items: readonly { readonly metadata: { readonly name: string } }[];
      };
      const job = jobs.items.find((each) => JSON.stringify(each).includes(`${run}:Step:1`))?.metadata.name;
      if (job === undefined) return undefined;
      const pod = await podOf(job);
      return pod?.status.phase === 'Running' ? { job, pod } : undefined;
    });
  };
  const podOf = async (job: string): Promise<Pod | undefined> => {
    const pods = await kubectl('get', 'pods', NAMESPACE, '-l', `job-name=${job}`, '-o', 'json');
    return (JSON.parse(pods) as { readonly items: readonly Pod[] }).items[0];
  };
  const ended = (run: string) =>
    until(`the end of ${run}`, async () => {
      const found = await worker.store.get(run);
      return found.endedAt === null ? undefined : found;
    });
  const failsWith = async (run: string, cause: RegExp): Promise<void> => {
    const { status, error, cause: why } = await ended(run);
    if (status !== 'failed' || error !== 'Workflow.JobFailed' || !cause.test(why ?? '')) {
      throw new Error(`${run} is ${status} with ${error}: ${why}`);
    }
  };
  const gone = (job: string): Promise<true> =>
    until(`the end of Job ${job}`, () =>
      kubectl('get', 'job', job, NAMESPACE).then(
        () => undefined,
        () => true as const,
      ),
    );

  try {
    await check('nodes: a step is scheduled, has its result, and its Job and pod are deleted', async () => {
      const { job, pod } = await running('well');
      await serveJob(
        { sql, tasks, values: { variables: {}, connections: {} }, log },
        'well:Step:1',
        new AbortController().signal,
      );
      await kubectl('annotate', 'pod', pod.metadata.name, NAMESPACE, `${ENDS}=true`);
      const { status, output } = await ended('well');
      if (status !== 'succeeded' || JSON.stringify(output) !== '{"trained":{"run":"well"}}') {
        throw new Error(`well is ${status} with ${JSON.stringify(output)}`);
      }
      await gone(job);
      await until('the end of its pod', async () => ((await podOf(job)) === undefined ? true : undefined));
    });
    await check('nodes: a Job that ends without a result fails its step', async () => {
      const { pod } = await running('empty');
      await kubectl('annotate', 'pod', pod.metadata.name, NAMESPACE, `${ENDS}=true`);
      await failsWith('empty', /CompletionsReached|its pod has ended without a result/);
    });
    await check('nodes: a Job whose pod fails fails its step', async () => {
      const { pod } = await running('broken');
      const status = JSON.stringify({ status: { phase: 'Failed', reason: 'OOMKilled' } });
      await kubectl('patch', 'pod', pod.metadata.name, NAMESPACE, '--subresource=status', '--type=merge', '-p', status);
      await failsWith('broken', /BackoffLimitExceeded/);
    });
    await check('nodes: a Job that is deleted fails its step', async () => {
      const { job } = await running('deleted');
      await kubectl('delete', 'job', job, NAMESPACE);
      await failsWith('deleted', /it was deleted/);
    });
    await check('nodes: a step that is retried is another Job', async () => {
      const Retry = [{ ErrorEquals: ['Workflow.JobFailed'], IntervalSeconds: 1, MaxAttempts: 1 }];
      const { job } = await running('again', { Retry });
      await kubectl('delete', 'job', job, NAMESPACE);
      const second = await until('the second Job', async () => {
        const jobs = await kubectl('get', 'jobs', NAMESPACE, '-o', 'json');
        return jobs.includes('again:Step:2') ? true : undefined;
      });
      if (second) await worker.store.cancel('again', 'check', 'seen');
    });
    await check('nodes: a node that is lost fails the steps on it', async () => {
      const { pod } = await running('lost');
      await kubectl('delete', 'node', pod.spec.nodeName as string);
      await failsWith('lost', /BackoffLimitExceeded/);
    });
  } finally {
    await worker.stop();
    await database.stop();
  }
}

/** A volume for the claim of the workers' files, as a storage class would make it. */
export async function bindFiles(kubectl: ApiServer['kubectl'], folder: string): Promise<void> {
  const volume = {
    ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'workflow-files' } },
    spec: {
      ...{ capacity: { storage: '50Gi' }, accessModes: ['ReadWriteMany'], hostPath: { path: '/unused' } },
      claimRef: { namespace: 'headwater', name: 'workflow-files' },
    },
  };
  const file = join(folder, 'volume.json');
  await writeFile(file, JSON.stringify(volume));
  await kubectl('apply', '--server-side', '-f', file);
}
