import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { rememberSecrets } from '#kernel/secrets';
import { RunRefusedError } from '#workflows/errors';
import { LineageSender } from '#workflows/lineage/lineage_sender';
import { type TaskContext, TaskError, task } from '#workflows/tasks/task';
import { TaskRegistry } from '#workflows/tasks/task_registry';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import { createWorker, ended, openPglite, quietLog, startRun } from '../../support/platforms/workflow_platform.ts';

let database: { readonly sql: SqlExecutor; close(): Promise<void> };
let sql: SqlExecutor;
let worker: WorkflowWorker;
const LEASE_MS = 600;
const done: string[] = [];
let running = 0;
let mostRunning = 0;
let aborted = 0;
let healthy = false;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const write = (context: TaskContext): void => context.sql('INSERT INTO effects VALUES ($1)', [context.idempotencyKey]);
const tasks = [
  task('write', (_: unknown, context) => {
    write(context);
    return { key: context.idempotencyKey };
  }),
  task('flaky', (_: unknown, context) => {
    write(context);
    if (context.attempt < 3) throw new TaskError('Flaky', `attempt ${context.attempt}`);
    return null;
  }),
  task('unsteady', (_: unknown, context) => {
    write(context);
    // Of the key: the same faults each time the test runs.
    const hash = createHash('sha256').update(context.idempotencyKey).digest();
    if ((hash[0] as number) < 51) throw new TaskError('Dependency.Away', 'try again');
    return null;
  }),
  task('bad-sql', (_: unknown, context) => {
    write(context);
    context.sql('INSERT INTO nowhere VALUES (1)');
    return null;
  }),
  task('nul', () => ({ text: 'a\0b' })),
  task('slow', async (input: { readonly ms: number }) => {
    running += 1;
    mostRunning = Math.max(mostRunning, running);
    await pause(input.ms);
    running -= 1;
    done.push('slow');
    return null;
  }),
  task('endless', async (_: unknown, { signal }) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    aborted += 1;
    return null;
  }),
  task('sick', (_: unknown, context) => {
    write(context);
    if (!healthy) throw new TaskError('Sick', 'not yet');
    return 'healthy';
  }),
  task('ask', () => null),
].map((each) => each as never);

const one = (state: Readonly<Record<string, unknown>>): unknown => ({
  StartAt: 'A',
  States: { A: { Type: 'Task', End: true, ...state } },
});
const effectsOf = async (run: string): Promise<readonly string[]> =>
  (
    await sql.query<{ readonly key: string }>(`SELECT key FROM effects WHERE key LIKE $1 || ':%' ORDER BY key`, [run])
  ).map(({ key }) => key);

beforeAll(async () => {
  database = await openPglite();
  sql = database.sql;
  await sql.query('CREATE TABLE effects (key text)');
  worker = createWorker(sql, tasks, { leaseMs: LEASE_MS });
  await worker.start();
}, 120_000);

afterAll(async () => {
  await worker?.stop();
  await database?.close();
});

test('a statement of an attempt that fails takes no effect; the key names run, state and attempt', async () => {
  const retry = [{ ErrorEquals: ['Flaky'], IntervalSeconds: 0, MaxAttempts: 5 }];
  await startRun(worker.store, 'flaky', one({ Resource: 'flaky@1', Retry: retry }));
  expect((await ended(worker.store, 'flaky')).status).toBe('succeeded');
  expect(await effectsOf('flaky')).toEqual(['flaky:A:3']);
});

test('statements that the database refuses fail the state, with none of them done', async () => {
  const document = {
    StartAt: 'A',
    States: {
      A: {
        Type: 'Task',
        Resource: 'bad-sql@1',
        Next: 'B',
        Catch: [{ ErrorEquals: ['Workflow.SqlFailed'], Next: 'B' }],
      },
      B: { Type: 'Pass', Parameters: { 'error.$': '$.Error' }, End: true },
    },
  };
  await startRun(worker.store, 'bad', document);
  expect(await ended(worker.store, 'bad')).toMatchObject({
    status: 'succeeded',
    output: { error: 'Workflow.SqlFailed' },
  });
  expect(await effectsOf('bad')).toEqual([]);
});

test('a result that no store takes fails the state by name', async () => {
  await startRun(worker.store, 'nul', one({ Resource: 'nul@1' }));
  const { status, error, cause } = await ended(worker.store, 'nul');
  expect([status, error]).toEqual(['failed', 'Workflow.InvalidOutput']);
  expect(cause).toContain("result's text holds a NUL");
});

test('leases: a step longer than the lease runs once, and a wait longer than the lease is not cut short', async () => {
  done.length = 0;
  const document = {
    StartAt: 'A',
    States: {
      A: { Type: 'Task', Resource: 'slow@1', ResultPath: null, Next: 'W' },
      W: { Type: 'Wait', Seconds: 2, Next: 'S' },
      S: { Type: 'Succeed' },
    },
  };
  const begun = Date.now();
  await startRun(worker.store, 'long', document, { ms: 3 * LEASE_MS });
  expect((await ended(worker.store, 'long')).status).toBe('succeeded');
  expect(done).toEqual(['slow']);
  expect(Date.now() - begun).toBeGreaterThanOrEqual(3 * LEASE_MS + 2_000);
});

test('TimeoutSeconds and HeartbeatSeconds end a step, and its signal aborts', async () => {
  aborted = 0;
  await startRun(worker.store, 'late', one({ Resource: 'endless@1', TimeoutSeconds: 1 }));
  await startRun(worker.store, 'silent', one({ Resource: 'endless@1', TimeoutSeconds: 9, HeartbeatSeconds: 1 }));
  expect((await ended(worker.store, 'late')).error).toBe('States.Timeout');
  expect((await ended(worker.store, 'silent')).error).toBe('States.HeartbeatTimeout');
  expect(aborted).toBe(2);
});

test('cancel ends a run; its step aborts and is not recorded', async () => {
  aborted = 0;
  await startRun(worker.store, 'cancelled', one({ Resource: 'endless@1' }));
  await pause(500);
  await worker.store.cancel('cancelled', 'ann', 'not needed');
  expect(await ended(worker.store, 'cancelled')).toMatchObject({ status: 'cancelled', cause: 'not needed' });
  await pause(LEASE_MS);
  expect(aborted).toBe(1);
  await expect(worker.store.cancel('cancelled', 'ann', 'again')).rejects.toMatchObject({ code: 'WORKFLOWS_RUN_STATE' });
});

test('a state with a token waits for the first answer; others are refused', async () => {
  const waiting = one({ Resource: 'ask@1.waitForTaskToken', TimeoutSeconds: 30 });
  for (const id of ['yes', 'no', 'late-answer'])
    await startRun(
      worker.store,
      id,
      id === 'late-answer' ? one({ Resource: 'ask@1.waitForTaskToken', TimeoutSeconds: 1 }) : waiting,
    );
  await pause(600);
  await worker.store.answer({ run: 'yes' }, { output: { approved: true } }, 'ann');
  await worker.store.answer({ run: 'no', state: 'A' }, { error: 'Approval.Rejected', cause: 'ben: no' }, 'ben');
  expect(await ended(worker.store, 'yes')).toMatchObject({ status: 'succeeded', output: { approved: true } });
  expect(await ended(worker.store, 'no')).toMatchObject({ status: 'failed', error: 'Approval.Rejected' });
  expect((await ended(worker.store, 'late-answer')).error).toBe('States.Timeout');
  await expect(worker.store.answer({ run: 'yes' }, { output: null }, 'ann')).rejects.toMatchObject({
    code: 'WORKFLOWS_VALUE',
  });
});

test('redrive runs only what failed again, with a new key', async () => {
  const branch = (resource: string) => ({
    StartAt: 'T',
    States: { T: { Type: 'Task', Resource: resource, End: true } },
  });
  const document = {
    StartAt: 'P',
    States: {
      P: {
        Type: 'Parallel',
        Branches: [
          branch('write@1'),
          { StartAt: 'W', States: { W: { Type: 'Wait', Seconds: 1, Next: 'T' }, ...branch('sick@1').States } },
        ],
        End: true,
      },
    },
  };
  healthy = false;
  await startRun(worker.store, 'redriven', document);
  expect((await ended(worker.store, 'redriven')).error).toBe('Sick');
  healthy = true;
  await worker.store.redrive('redriven', 'ann');
  expect(await ended(worker.store, 'redriven')).toMatchObject({
    status: 'succeeded',
    output: [{ key: 'redriven:1.P[0]/T:1' }, 'healthy'],
  });
  expect(await effectsOf('redriven')).toEqual(['redriven:1.P[0]/T:1', 'redriven:1.P[1]/T:2']);
  await expect(worker.store.redrive('redriven', 'ann')).rejects.toMatchObject({ code: 'WORKFLOWS_RUN_STATE' });
});

test('limits: so many runs of a workflow, and of a key, at a time; the others are queued in order', async () => {
  mostRunning = 0;
  const slow = one({ Resource: 'slow@1' });
  const more = { workflow: 'limited', limits: { mostRuns: 2, mostRunsOfKey: 1 } };
  const ids = ['l1', 'l2', 'l3', 'l4'];
  for (const [index, id] of ids.entries()) {
    await startRun(worker.store, id, slow, { ms: 300 }, { ...more, concurrencyKey: index < 2 ? 'a' : 'b' });
  }
  const statuses = (await worker.store.list({ workflow: 'limited' })).map(({ status }) => status);
  expect(statuses.filter((status) => status === 'running').length).toBeLessThanOrEqual(2);
  for (const id of ids) expect((await ended(worker.store, id)).status).toBe('succeeded');
  expect(mostRunning).toBeLessThanOrEqual(2);
});

test('of ten starts at once one is a run where others are refused; then cool-down and runs a week hold, by key', async () => {
  const start = (id: string, concurrencyKey: string, limits: object) =>
    startRun(
      worker.store,
      id,
      one({ Resource: 'slow@1' }),
      { ms: 50 },
      { workflow: 'retrain', concurrencyKey, limits },
    );
  const together = async (limits: object, round: string) => {
    const tried = await Promise.allSettled(
      Array.from({ length: 20 }, (_, at) => start(`${round}-${at}`, at % 2 === 0 ? 'fraud' : 'churn', limits)),
    );
    return tried.flatMap((result) => (result.status === 'rejected' ? [result.reason as RunRefusedError] : []));
  };
  const first = await together({ isOneAtATime: true, cooldownMs: 60_000, mostRunsAWeek: 2 }, 'first');
  expect(first).toHaveLength(18);
  expect(first[0]).toBeInstanceOf(RunRefusedError);
  expect(first[0]?.message).toMatch(/no run of workflow "retrain" is started: run "first-\d+" (is|ended)/);
  for (const { id } of await worker.store.list({ workflow: 'retrain' })) await ended(worker.store, id);
  const cooling = await together({ isOneAtATime: true, cooldownMs: 60_000 }, 'cooling');
  expect(cooling).toHaveLength(20);
  expect(cooling[0]?.message).toMatch(/run "first-\d+" ended 00:00:0\d ago, and the cool-down is 00:01:00/);
  // A run that exists is not refused: its id says that it is the same.
  expect(
    await start((await worker.store.list({ workflow: 'retrain' }))[0]?.id as string, 'fraud', {
      isOneAtATime: true,
      cooldownMs: 60_000,
    }),
  ).toBe(false);
  expect(await together({ mostRunsAWeek: 2 }, 'week')).toHaveLength(18);
  const week = await together({ mostRunsAWeek: 2 }, 'again');
  expect(week).toHaveLength(20);
  expect(week[0]?.message).toMatch(/2 runs were started within seven days, and 2 are allowed/);
});

test('of 200 runs whose steps fail now and then more than 99 % succeed, each effect once', async () => {
  const states = ['A', 'B', 'C', 'D', 'E'];
  const document = {
    StartAt: 'A',
    States: Object.fromEntries(
      states.map((state, at) => [
        state,
        {
          ...{ Type: 'Task', Resource: 'unsteady@1', ResultPath: null },
          ...(at + 1 < states.length ? { Next: states[at + 1] } : { End: true }),
          // A fifth of the attempts fail: six in a row do once in 15,000 steps.
          Retry: [{ ErrorEquals: ['Dependency.Away'], IntervalSeconds: 1, MaxDelaySeconds: 1, MaxAttempts: 5 }],
        },
      ]),
    ),
  };
  const ids = Array.from({ length: 200 }, (_, at) => `unsteady-${at}`);
  await Promise.all(ids.map((id) => startRun(worker.store, id, document)));
  const runs = [];
  for (const id of ids) runs.push(await ended(worker.store, id, 90_000));
  const succeeded = runs.filter(({ status }) => status === 'succeeded');
  expect(succeeded.length).toBeGreaterThan(0.99 * ids.length);
  const [counted] = await sql.query<{ readonly effects: number; readonly keys: number; readonly faults: number }>(
    `SELECT count(*)::integer AS effects, count(DISTINCT key)::integer AS keys,
       (SELECT count(*)::integer FROM workflow_events WHERE run_id LIKE 'unsteady-%' AND kind = 'state_failed') AS faults
     FROM effects WHERE key LIKE 'unsteady-%'`,
  );
  expect(counted?.effects).toBe(counted?.keys);
  expect(counted?.effects).toBeGreaterThanOrEqual(succeeded.length * states.length);
  expect(counted?.faults).toBeGreaterThan(100);
}, 120_000);

test('lineage of every run: what tasks name is kept with results, sent once however the run ends, and again after a failure', async () => {
  const maker = task('makes', (input: { readonly fails?: boolean }, context) => {
    context.reads('prices', 'a1');
    context.writes('averages', context.attempt);
    if (input.fails === true) throw new TaskError('Bad', 'it fails');
    return null;
  }) as never;
  const other = createWorker(sql, [maker]);
  await other.start();
  const folder = await mkdtemp(join(tmpdir(), 'lineage-'));
  const file = join(folder, 'events.jsonl');
  const away = new LineageSender({ sql, log: quietLog }, { namespace: 'bank', url: 'http://127.0.0.1:9/' });
  const sender = new LineageSender({ sql, log: quietLog }, { namespace: 'bank', file });
  try {
    await sql.query('UPDATE workflow_runs SET lineage_sent_at = now() WHERE ended_at IS NOT NULL');
    await startRun(other.store, 'made', one({ Resource: 'makes@1' }));
    await startRun(other.store, 'not-made', one({ Resource: 'makes@1' }), { fails: true });
    for (const run of ['made', 'not-made']) await ended(other.store, run);
    await startRun(other.store, 'stopped', { StartAt: 'W', States: { W: { Type: 'Wait', Seconds: 600, End: true } } });
    await other.store.cancel('stopped', 'ann', 'test');
    await expect(away.sendDue()).rejects.toThrow();
    expect(await sender.sendDue()).toBe(3);
    expect(await sender.sendDue()).toBe(0);
    const events = (await readFile(file, 'utf8')).trim().split('\n');
    const shown = events.map((line) => {
      const { eventType, run, inputs, outputs } = JSON.parse(line) as {
        eventType: string;
        run: { facets: { headwater_run: { run: string } } };
        inputs: { name: string; facets: { version: { datasetVersion: string } } }[];
        outputs: { name: string; facets: { version: { datasetVersion: string } } }[];
      };
      const named = (sets: typeof inputs) => sets.map(({ name, facets }) => `${name}@${facets.version.datasetVersion}`);
      return [run.facets.headwater_run.run, eventType, named(inputs), named(outputs)];
    });
    expect(shown).toHaveLength(6);
    expect(shown).toEqual(
      expect.arrayContaining([
        ['made', 'START', ['prices@a1'], []],
        ['made', 'COMPLETE', ['prices@a1'], ['averages@1']],
        ['not-made', 'FAIL', [], []],
        ['stopped', 'ABORT', [], []],
      ]),
    );
    expect((await other.store.lineage('made')).datasets).toHaveLength(2);
  } finally {
    await other.stop();
    await rm(folder, { recursive: true });
  }
});

test('a changed variable holds for the next run', async () => {
  const reads = task('reads-region', (_: unknown, context) => context.variable('region')) as never;
  for (const region of ['eu', 'us']) {
    const other = createWorker(sql, [reads], { values: { variables: { region }, connections: {} } });
    await other.start();
    await startRun(other.store, `region-${region}`, one({ Resource: 'reads-region@1' }));
    expect(await ended(other.store, `region-${region}`)).toMatchObject({ output: region });
    await other.stop();
  }
});

test('a worker without steps for 30 minutes says so once; one that has run a step waits anew', async () => {
  let now = 0;
  let idle = 0;
  const logged: unknown[] = [];
  const log = { ...quietLog, child: () => ({ ...quietLog, info: (_: object, event: string) => logged.push(event) }) };
  const settings = { concurrency: 1, leaseMs: 5_000, pollMs: 20, upkeepMs: 5, isOnlyProcess: false, idleMs: 1_800_000 };
  const quiet = new WorkflowWorker(
    {
      ...{ sql, log: log as never, tasks: new TaskRegistry([task('brief', () => 1) as never]) },
      ...{ clock: { now: () => now as never }, onIdle: () => (idle += 1) },
    },
    settings,
  );
  await quiet.start();
  now = 29 * 60_000;
  await startRun(quiet.store, 'brief', one({ Resource: 'brief@1' }));
  await ended(quiet.store, 'brief');
  now = 31 * 60_000;
  await pause(50);
  expect([idle, logged]).toEqual([0, []]);
  now = 60 * 60_000;
  await pause(50);
  now = 120 * 60_000;
  await pause(50);
  await quiet.stop();
  expect([idle, logged]).toEqual([1, ['workflows.worker_idle']]);
});

test('variables and connections: tasks read them, and their credentials are in no log, cause or result', async () => {
  rememberSecrets(['hunter-two-9']);
  const values = {
    variables: { region: 'eu' },
    connections: { warehouse: { url: 'https://w', password: 'hunter-two-9' } },
  };
  const secretive = [
    task('reads', (input: { readonly what: string }, context) => {
      const { url, password } = context.connection('warehouse') as { url: string; password: string };
      context.log(`${context.variable('region')} ${url} with ${password}`);
      if (input.what === 'throw') throw new TaskError('Warehouse.Away', `login with ${password} is refused`);
      if (input.what === 'missing') return context.variable('zone');
      return input.what === 'return' ? { password } : { url };
    }),
  ].map((each) => each as never);
  const other = createWorker(sql, secretive, { values });
  await other.start();
  const runOf = async (what: string) => {
    await startRun(other.store, `secret-${what}`, one({ Resource: 'reads@1' }), { what });
    return ended(other.store, `secret-${what}`);
  };
  try {
    expect(await runOf('work')).toMatchObject({ status: 'succeeded', output: { url: 'https://w' } });
    expect((await other.store.logs('secret-work')).map(({ line }) => line)).toEqual(['eu https://w with [redacted]']);
    expect(await runOf('throw')).toMatchObject({ error: 'Warehouse.Away', cause: 'login with [redacted] is refused' });
    expect(await runOf('return')).toMatchObject({ error: 'Workflow.SecretInOutput' });
    expect(await runOf('missing')).toMatchObject({
      ...{ error: 'Workflow.VariableMissing', cause: 'variable "zone" is not set; workflows.variables has region' },
    });
    const [kept] = await sql.query<{ readonly n: number }>(
      `SELECT count(*)::integer AS n FROM (SELECT detail::text AS t FROM workflow_events UNION ALL SELECT line FROM workflow_logs
       UNION ALL SELECT coalesce(output::text, '') || coalesce(cause, '') FROM workflow_runs) AS all_text WHERE t LIKE '%hunter-two-9%'`,
    );
    expect(kept?.n).toBe(0);
  } finally {
    await other.stop();
  }
});

test('a run that needs a version of a task waits for a worker that has it, and is counted', async () => {
  await startRun(worker.store, 'versioned', one({ Resource: 'train@7' }));
  await pause(500);
  expect((await worker.store.get('versioned')).status).toBe('running');
  expect((await worker.store.statistics(['write@1'])).missingTasks).toContainEqual({ task: 'train@7', steps: 1 });
  const other = createWorker(sql, [task('train@7', () => 'trained') as never]);
  await other.start();
  try {
    expect(await ended(worker.store, 'versioned')).toMatchObject({ status: 'succeeded', output: 'trained' });
  } finally {
    await other.stop();
  }
});

test('a step that ends its workers again and again fails, and stops nothing else', async () => {
  const document = {
    StartAt: 'A',
    States: {
      A: { Type: 'Task', Resource: 'train@8', Next: 'B', Catch: [{ ErrorEquals: ['Workflow.WorkerLost'], Next: 'B' }] },
      B: { Type: 'Pass', End: true },
    },
  };
  await startRun(worker.store, 'deadly', document);
  await sql.query(`UPDATE workflow_frames SET claims = 20 WHERE run_id = 'deadly'`);
  const other = createWorker(sql, [task('train@8', () => 'not begun') as never]);
  await other.start();
  try {
    expect(await ended(worker.store, 'deadly')).toMatchObject({
      status: 'succeeded',
      output: { Error: 'Workflow.WorkerLost' },
    });
  } finally {
    await other.stop();
  }
});

test('an id is one run: the same again starts nothing, another input is refused', async () => {
  const document = one({ Resource: 'write@1' });
  expect(await startRun(worker.store, 'same', document, { n: 1 })).toBe(true);
  expect(await startRun(worker.store, 'same', document, { n: 1 })).toBe(false);
  await expect(startRun(worker.store, 'same', document, { n: 2 })).rejects.toMatchObject({
    code: 'WORKFLOWS_RUN_CONFLICT',
  });
  await expect(startRun(worker.store, 'nul-input', document, { text: 'a\0b' })).rejects.toMatchObject({
    code: 'WORKFLOWS_VALUE',
  });
  expect((await ended(worker.store, 'same')).status).toBe('succeeded');
  expect(await effectsOf('same')).toEqual(['same:A:1']);
});

test('TimeoutSeconds of a workflow ends its runs; old runs are deleted with their history', async () => {
  await startRun(worker.store, 'overdue', {
    StartAt: 'W',
    TimeoutSeconds: 1,
    States: { W: { Type: 'Wait', Seconds: 60, End: true } },
  });
  expect(await ended(worker.store, 'overdue')).toMatchObject({ status: 'timed_out', error: 'States.Timeout' });
  expect((await worker.store.history('overdue')).length).toBeGreaterThan(0);
  expect(await worker.store.deleteEndedBefore(0)).toBeGreaterThan(0);
  await expect(worker.store.get('overdue')).rejects.toMatchObject({ code: 'WORKFLOWS_RUN_NOT_FOUND' });
  expect(await sql.query(`SELECT 1 FROM workflow_events WHERE run_id = 'overdue'`)).toEqual([]);
});
