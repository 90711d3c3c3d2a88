import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { jobRunner } from '#workflows/jobs/job_runner';
import { kubernetesApi } from '#workflows/jobs/kubernetes_api';
import { serveJob } from '#workflows/jobs/serve_job';
import { type TaskContext, TaskError, task } from '#workflows/tasks/task';
import { TaskRegistry } from '#workflows/tasks/task_registry';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import { ended, openPglite, quietLog, startRun } from '../../support/platforms/workflow_platform.ts';

// Steps as Jobs, with an API server of the test's own, whose pods are functions: they do what a Job's process does. A real API server takes the
// same requests in npm run check:deployment.

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const TOKEN = 'token-of-the-account';

let database: { readonly sql: SqlExecutor; close(): Promise<void> };
let server: Server;
let folder: string;
let worker: WorkflowWorker | undefined;
/** What the API server was asked to do. */
let requests: string[];
let jobs: Map<string, { readonly args: readonly string[]; failed?: string }>;
/** What a created Job does. */
let pod: (key: string, name: string) => Promise<void>;
let isAway = false;
let release = (): void => {};
let aborted = 0;

const tasks = new TaskRegistry([
  task(
    'train',
    (input: { readonly rows: number }, context: TaskContext) => {
      context.log(`${input.rows} rows`);
      context.heartbeat();
      context.sql('INSERT INTO effects VALUES ($1)', [context.idempotencyKey]);
      return { rows: input.rows, password: context.variable('greeting') };
    },
    { process: true },
  ),
  task(
    'fails',
    () => {
      throw new TaskError('Model.NotBetter', 'it is worse');
    },
    { process: true },
  ),
  task(
    'held',
    async (_: unknown, { signal }: TaskContext) => {
      await new Promise<void>((resolve) => {
        const end = (): void => {
          aborted += 1;
          resolve();
        };
        signal.addEventListener('abort', end);
        release = () => {
          signal.removeEventListener('abort', end);
          resolve();
        };
      });
      return 'done';
    },
    { process: true },
  ),
]);
const template = { spec: { jobTemplate: { spec: { template: { spec: { containers: [{ name: 'headwater' }] } } } } } };

const serve = (key: string): Promise<void> =>
  serveJob(
    { sql: database.sql, tasks, values: { variables: { greeting: 'hello' }, connections: {} }, log: quietLog },
    key,
    new AbortController().signal,
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headwater-jobs-'));
  await writeFile(join(folder, 'token'), `${TOKEN}\n`);
  database = await openPglite();
  await database.sql.query('CREATE TABLE effects (key text)');
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk;
    });
    request.on('end', () => {
      const path = (request.url ?? '').replace('/apis/batch/v1/namespaces/ml/', '');
      requests.push(`${request.method} ${path}`);
      const answer = (status: number, value: object): void => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(value));
      };
      if (isAway) return void answer(503, { message: 'etcd has no leader' });
      if (request.headers.authorization !== `Bearer ${TOKEN}`) return void answer(401, { message: 'Unauthorized' });
      if (path === 'cronjobs/workflow-step') return void answer(200, template);
      if (request.method === 'POST') {
        const { metadata, spec } = JSON.parse(body) as {
          metadata: { name: string };
          spec: { template: { spec: { containers: [{ args: [string, string, string] }] } } };
        };
        if (jobs.has(metadata.name)) return void answer(409, { message: 'already exists' });
        const { args } = spec.template.spec.containers[0];
        jobs.set(metadata.name, { args });
        void pod(args[2], metadata.name);
        return void answer(201, {});
      }
      const name = /^jobs\/([^?]+)/.exec(path)?.[1] ?? '';
      const job = jobs.get(name);
      if (job === undefined) return void answer(404, { message: 'not found' });
      if (request.method === 'DELETE') jobs.delete(name);
      const conditions =
        job.failed === undefined
          ? []
          : [{ type: 'Failed', status: 'True', reason: job.failed, message: 'its pod failed' }];
      answer(200, { status: { conditions } });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(() => {
  [requests, jobs, isAway, aborted] = [[], new Map(), false, 0];
  pod = (key) => serve(key);
});

async function startWorker(leaseMs = 5_000): Promise<WorkflowWorker> {
  const { port } = server.address() as AddressInfo;
  const api = kubernetesApi({
    ...{ server: `http://127.0.0.1:${port}`, namespace: 'ml', tokenFile: join(folder, 'token'), caFile: '' },
  });
  worker = new WorkflowWorker(
    {
      ...{ sql: database.sql, log: quietLog, tasks },
      runInProcess: jobRunner(
        { sql: database.sql, api, resourcesOf: () => ({}) },
        { cronJob: 'workflow-step', pollMs: 20 },
      ),
    },
    { concurrency: 4, leaseMs, pollMs: 50, upkeepMs: 100, isOnlyProcess: false },
  );
  await worker.start();
  return worker;
}

const document = (resource: string, more: object = {}): object => ({
  StartAt: 'Step',
  States: { Step: { Type: 'Task', Resource: resource, End: true, ...more } },
});

test('a step is a Job: its result, statements and lines are those of the run, and the Job is deleted', async () => {
  const running = await startWorker();
  await startRun(running.store, 'r1', document('train@1'), { rows: 7 });
  expect(await ended(running.store, 'r1')).toMatchObject({
    ...{ status: 'succeeded', output: { rows: 7, password: 'hello' } },
  });
  await running.stop();
  expect(await database.sql.query('SELECT key FROM effects')).toEqual([{ key: 'r1:Step:1' }]);
  expect((await running.store.logs('r1')).map(({ line, state }) => [state, line])).toEqual([['Step', '7 rows']]);
  expect(jobs.size).toBe(0);
  expect(requests.slice(0, 2)).toEqual(['GET cronjobs/workflow-step', 'POST jobs']);
  // Settings stay in the processes that have them.
  expect(JSON.stringify(await database.sql.query('SELECT * FROM workflow_jobs'))).not.toContain('greeting');
});

test('errors of the task, and pods that end without a result, fail the step by name; each retry is another Job', async () => {
  const running = await startWorker();
  await startRun(running.store, 'r2', document('fails@1'));
  expect(await ended(running.store, 'r2')).toMatchObject({ error: 'Model.NotBetter', cause: 'it is worse' });
  pod = async (_, name) => void jobs.set(name, { args: [], failed: 'OOMKilled' });
  const retry = [{ ErrorEquals: ['Workflow.JobFailed'], IntervalSeconds: 1, MaxAttempts: 1 }];
  await startRun(running.store, 'r3', document('train@1', { Retry: retry }), { rows: 1 });
  expect(await ended(running.store, 'r3')).toMatchObject({
    ...{
      error: 'Workflow.JobFailed',
      cause: expect.stringMatching(/^Job workflow-step-\w+ of task train@1: OOMKilled/),
    },
  });
  await running.stop();
  expect(requests.filter((request) => request === 'POST jobs')).toHaveLength(3);
});

test('a Job outlives its worker: the next one waits for the same Job', async () => {
  const first = await startWorker(300);
  await startRun(first.store, 'r4', document('held@1'));
  while (jobs.size === 0) await pause(10);
  await first.stop();
  expect(jobs.size).toBe(1);
  const second = await startWorker();
  while (requests.filter((request) => request === 'POST jobs').length < 2) await pause(10);
  release();
  expect(await ended(second.store, 'r4')).toMatchObject({ status: 'succeeded', output: 'done' });
  await second.stop();
  expect(jobs.size).toBe(0);
  expect(aborted).toBe(0);
});

test('a Job whose run is cancelled ends by itself', async () => {
  const running = await startWorker();
  let served: Promise<void> = Promise.resolve();
  pod = async (key) => {
    served = serve(key);
  };
  await startRun(running.store, 'r5', document('held@1'));
  while (jobs.size === 0) await pause(10);
  await running.store.cancel('r5', 'ann', 'not needed');
  await served;
  expect(aborted).toBe(1);
  await running.stop();
});

test('a step that is late fails, and its Job is deleted', async () => {
  const running = await startWorker();
  await startRun(running.store, 'r6', document('held@1', { TimeoutSeconds: 1 }));
  expect(await ended(running.store, 'r6')).toMatchObject({ error: 'States.Timeout' });
  while (jobs.size > 0) await pause(10);
  await running.stop();
});

test('an API server that is away, or refuses, fails the attempt with its status', async () => {
  isAway = true;
  const running = await startWorker();
  await startRun(running.store, 'r7', document('train@1'), { rows: 1 });
  expect(await ended(running.store, 'r7')).toMatchObject({
    error: 'WORKFLOWS_KUBERNETES',
    cause: expect.stringContaining('503, etcd has no leader'),
  });
  isAway = false;
  await writeFile(join(folder, 'token'), 'another');
  await startRun(running.store, 'r8', document('train@1'), { rows: 1 });
  expect(await ended(running.store, 'r8')).toMatchObject({ cause: expect.stringContaining('401, Unauthorized') });
  await writeFile(join(folder, 'token'), TOKEN);
  await running.stop();
});
