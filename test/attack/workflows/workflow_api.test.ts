import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createJobHttp } from '#cli/jobs/embedded_job';
import { monitorConfigSchema } from '#cli/project/config/monitor_config';
import { workflowApi } from '#cli/roles/workflows/workflow_worker';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { processingTime } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { workflow } from '#workflows/document/define_workflow';
import { sqlScheduleStore } from '#workflows/schedules/schedule_store';
import { Scheduler } from '#workflows/schedules/scheduler';
import { sqlWorkflowStore } from '#workflows/store/workflow_store';
import { TaskError, task } from '#workflows/tasks/task';
import type { WorkflowWorker } from '#workflows/worker/workflow_worker';
import { createWorker, ended, openPglite } from '../../support/platforms/workflow_platform.ts';

// The routes of workflows on a real listener, database and worker, by callers with one scope each.

let isSick = true;
const check = task('check', async (_: unknown, context) => {
  context.log('checking');
  context.reads('features/fraud@1');
  context.writes('models/fraud', 7);
  if (isSick) throw new TaskError('Sick', 'not yet');
  return { ok: true };
});
const catalog = new WorkflowCatalog(
  [
    workflow<{ readonly n?: number }>('ask', (w) => w.approval('Approve', { timeoutSeconds: 60 })),
    workflow('ask_risk', (w) => w.approval('Approve', { parameters: { role: 'risk' }, timeoutSeconds: 60 })),
    workflow<{ readonly n?: number }>('check', (w) => w.task('Check', check)),
  ],
  [],
  {
    days: { workflow: 'ask', calendar: 'XNYS', at: '30 minutes after close' },
    hourly: { workflow: 'check', cron: '0 * * * *' },
  },
);
const KEYS = Object.fromEntries(
  [
    ...['workflows:ask', 'operate:ask', 'approve:ask', 'workflows:check', 'admin', 'predict'],
    ...['approve:ask_risk', 'role:risk', 'approve:ask_risk role:money', 'approve:ask_risk role:risk'],
  ].map((scope) => [scope, `key-of-a-caller-with-${scope}`]),
);

let sql: SqlExecutor;
let close: () => Promise<void>;
let worker: WorkflowWorker;
let service: HttpService;

beforeAll(async () => {
  ({ sql, close } = await openPglite());
  worker = createWorker(
    sql,
    catalog.tasks.ids.map((id) => catalog.tasks.resolve(id)),
  );
  await worker.start();
  const registry = createMetricsRegistry({ process: false });
  const apiKeys = Object.entries(KEYS).map(([scope, key]) => ({
    key,
    name: `caller of ${scope}`,
    scopes: scope.split(' '),
  }));
  const offline = { workflows: sqlWorkflowStore(sql, () => worker.wake()), schedules: sqlScheduleStore(sql) };
  service = await createJobHttp(
    {
      ...{ log: silentLogger, metrics: registry, plugins: [] },
      health: { sources: [], notReady: () => undefined },
      api: workflowApi({ catalog, offline }),
    },
    { ...monitorConfigSchema.parse({ port: 0, apiKeys }), name: 'monitor', portSetting: 'MONITOR_PORT' },
  );
  await service.start();
  await new Scheduler({
    ...{ sql, log: silentLogger, schedules: catalog.schedules, clock: { now: () => processingTime(Date.now()) } },
    newRun: (...of) => catalog.scheduledRun(...of),
  }).look();
}, 120_000);
afterAll(async () => {
  await service?.stop();
  await worker?.stop();
  await close?.();
});

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, never>> & { readonly [field: string]: unknown };
}

async function call(scope: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${service.url}${path}`, {
    method,
    headers: {
      'x-api-key': KEYS[scope] as string,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

const waiting = async (id: string): Promise<void> => {
  for (;;) {
    const { at } = await worker.store.get(id);
    if (at.some(({ phase }) => phase === 'token')) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

test('a run is started once for its id, read, and approved with a reason by a caller who may', async () => {
  const start = () => call('operate:ask', 'POST', '/workflows/ask/runs', { id: 'first', input: { n: 1 } });
  expect(await start()).toMatchObject({ status: 200, body: { id: 'first', workflow: 'ask' } });
  expect(await start()).toMatchObject({ status: 200, body: { id: 'first' } });
  expect(await call('operate:ask', 'POST', '/workflows/ask/runs', { id: 'first', input: { n: 2 } })).toMatchObject({
    ...{ status: 409, body: { code: 'WORKFLOWS_RUN_CONFLICT', status: 409, instance: '/workflows/ask/runs' } },
  });
  await waiting('first');
  const approve = { reason: 'AUC is better' };
  expect((await call('operate:ask', 'POST', '/workflows/ask/runs/first/approve', approve)).status).toBe(403);
  expect((await call('approve:ask', 'POST', '/workflows/ask/runs/first/approve', {})).status).toBe(400);
  expect((await call('approve:ask', 'POST', '/workflows/ask/runs/first/approve', approve)).status).toBe(200);
  expect((await ended(worker.store, 'first')).status).toBe('succeeded');
  const { body } = await call('workflows:ask', 'GET', '/workflows/ask/runs/first/history');
  const events = body.events as unknown as readonly { readonly kind: string; readonly detail: unknown }[];
  expect(events.find(({ kind }) => kind === 'answered')?.detail).toMatchObject({
    ...{ by: 'key caller of approve:ask', answer: { output: { reason: 'AUC is better', approved: true } } },
  });
});

test('lineage of a run is for callers who may read its workflow, and of that workflow alone', async () => {
  isSick = false;
  await call('admin', 'POST', '/workflows/check/runs', { id: 'traced' });
  await ended(worker.store, 'traced');
  isSick = true;
  const path = '/workflows/check/runs/traced/lineage';
  expect(await call('workflows:check', 'GET', path)).toMatchObject({
    status: 200,
    body: {
      ...{ run: 'traced', job: 'check', outcome: 'succeeded', endedAt: expect.stringMatching(/^20/) },
      datasets: [
        { direction: 'input', name: 'features/fraud@1', version: '' },
        { direction: 'output', name: 'models/fraud', version: '7' },
      ],
    },
  });
  for (const scope of ['predict', 'workflows:ask']) expect((await call(scope, 'GET', path)).status).toBe(403);
  const other = await call('workflows:ask', 'GET', '/workflows/ask/runs/traced/lineage');
  expect(other).toMatchObject({ status: 404, body: { code: 'WORKFLOWS_RUN_NOT_FOUND' } });
  expect((await call('workflows:check', 'GET', '/workflows/check/runs/no_run/lineage')).status).toBe(404);
});

test('a state that names a role is answered by a caller who has it, whether it names the state or not', async () => {
  await call('admin', 'POST', '/workflows/ask_risk/runs', { id: 'risky' });
  await waiting('risky');
  const approve = (scope: string, body: object = {}) =>
    call(scope, 'POST', '/workflows/ask_risk/runs/risky/approve', { reason: 'seen', ...body });
  for (const scope of ['approve:ask_risk', 'role:risk', 'approve:ask_risk role:money', 'approve:ask']) {
    for (const body of [{}, { state: 'Approve' }, { reject: true }]) {
      expect([scope, (await approve(scope, body)).status]).toEqual([scope, 403]);
    }
  }
  expect((await approve('approve:ask_risk role:risk')).status).toBe(200);
  expect((await ended(worker.store, 'risky')).status).toBe('succeeded');
});

test('a rejection fails the state; a cancel needs a reason; what a run does not take in its state is 409', async () => {
  for (const id of ['no', 'stopped']) await call('operate:ask', 'POST', '/workflows/ask/runs', { id });
  await waiting('no');
  await call('approve:ask', 'POST', '/workflows/ask/runs/no/approve', { reason: 'too few rows', reject: true });
  expect(await ended(worker.store, 'no')).toMatchObject({ status: 'failed', error: 'Approval.Rejected' });
  expect((await call('operate:ask', 'POST', '/workflows/ask/runs/stopped/cancel', {})).status).toBe(400);
  const cancel = () => call('operate:ask', 'POST', '/workflows/ask/runs/stopped/cancel', { reason: 'wrong input' });
  expect(await cancel()).toMatchObject({ status: 200, body: { status: 'cancelled', cause: 'wrong input' } });
  expect(await cancel()).toMatchObject({ status: 409, body: { code: 'WORKFLOWS_RUN_STATE' } });
  const { body } = await call('workflows:ask', 'GET', '/workflows/ask/runs?status=cancelled');
  expect((body.runs as unknown as readonly { readonly id: string }[]).map(({ id }) => id)).toEqual(['stopped']);
});

test('a failed run is redriven, and its logs are read from where a caller has read', async () => {
  await call('admin', 'POST', '/workflows/check/runs', { id: 'sick' });
  expect((await ended(worker.store, 'sick')).error).toBe('Sick');
  isSick = false;
  expect((await call('admin', 'POST', '/workflows/check/runs/sick/redrive', {})).status).toBe(200);
  expect((await ended(worker.store, 'sick')).status).toBe('succeeded');
  const read = async (query: string) =>
    (await call('workflows:check', 'GET', `/workflows/check/runs/sick/logs${query}`)).body
      .lines as unknown as readonly {
      readonly n: number;
      readonly line: string;
    }[];
  const lines = await read('');
  expect(lines.map(({ line }) => line)).toEqual(['checking', 'checking']);
  expect(await read(`?after=${lines[0]?.n}`)).toEqual(lines.slice(1));
});

test('a run, schedule or workflow that a caller may not read is refused by scope, and not found under another workflow', async () => {
  expect((await call('workflows:check', 'GET', '/workflows/ask/runs/first')).status).toBe(403);
  expect(await call('workflows:check', 'GET', '/workflows/check/runs/first')).toMatchObject({
    ...{ status: 404, body: { code: 'WORKFLOWS_RUN_NOT_FOUND' } },
  });
  expect((await call('admin', 'POST', '/workflows/check/runs/first/cancel', { reason: 'x' })).status).toBe(404);
  expect(await call('admin', 'GET', '/workflows/check/schedules/days/next')).toMatchObject({
    ...{ status: 404, body: { code: 'WORKFLOWS_SCHEDULE_NOT_FOUND' } },
  });
  expect(await call('admin', 'GET', '/workflows/none')).toMatchObject({
    status: 404,
    body: { code: 'WORKFLOWS_NOT_FOUND' },
  });
  const names = async (scope: string) =>
    ((await call(scope, 'GET', '/workflows')).body.workflows as unknown as readonly { readonly name: string }[]).map(
      ({ name }) => name,
    );
  expect(await names('workflows:ask')).toEqual(['ask']);
  expect(await names('admin')).toEqual(['ask', 'ask_risk', 'check']);
  expect((await call('predict', 'GET', '/workflows')).status).toBe(403);
});

test('schedules: next times, a date beyond the data, pause, resume, trigger, and a back-fill that starts none twice', async () => {
  const days = '/workflows/ask/schedules/days';
  expect((await call('workflows:ask', 'GET', `${days}/next?from=2024-12-24&count=2`)).body).toEqual({
    times: [
      { time: '2024-12-24T18:30:00Z', date: '2024-12-24' },
      { time: '2024-12-26T21:30:00Z', date: '2024-12-26' },
    ],
  });
  expect(await call('workflows:ask', 'GET', `${days}/next?from=2040-01-02`)).toMatchObject({
    ...{ status: 400, body: { code: 'WORKFLOWS_CALENDAR_RANGE' } },
  });
  expect(await call('operate:ask', 'POST', `${days}/pause`, {})).toMatchObject({
    status: 200,
    body: { status: 'paused' },
  });
  expect(await call('operate:ask', 'POST', `${days}/resume`)).toMatchObject({
    status: 200,
    body: { status: 'active' },
  });
  expect((await call('workflows:ask', 'GET', '/workflows/ask/schedules')).body.schedules).toMatchObject([
    { name: 'days' },
  ]);
  expect((await call('operate:ask', 'POST', `${days}/trigger`, {})).body.origin).toMatchObject({
    kind: 'manual',
    schedule: 'days',
  });
  const fill = () => call('operate:ask', 'POST', `${days}/backfill`, { from: '2024-12-20', to: '2025-01-02' });
  expect((await fill()).body).toMatchObject({ times: 8 });
  expect((await fill()).body).toMatchObject({ times: 8, started: [] });
  expect((await call('operate:ask', 'POST', `${days}/backfill`, { from: '2025-01-02', to: '2024-12-20' })).status).toBe(
    400,
  );
});

test.each<[string, unknown]>([
  ['a body with a key twice', '{"id":"a","id":"b"}'],
  ['a field that does not exist', { id: 'a', priority: 1 }],
  ['an id that is a number', { id: 1 }],
  ['NUL in the input', { id: 'nul', input: { text: 'a\0b' } }],
  ['an input beyond 1 MiB', { id: 'large', input: { text: 'a'.repeat(1_048_577) } }],
  ['no JSON', '{'],
])('%s is refused with problem details, and starts nothing', async (_, body) => {
  const before = (await worker.store.list({ limit: 1_000 })).length;
  const answer = await call('operate:ask', 'POST', '/workflows/ask/runs', body);
  expect([400, 413]).toContain(answer.status);
  expect(answer.body).toMatchObject({ code: expect.any(String), detail: expect.any(String), status: answer.status });
  expect((await worker.store.list({ limit: 1_000 })).length).toBe(before);
});
