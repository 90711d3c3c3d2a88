import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { assetPath } from '#kernel/project_root';
import { HOUR_MS, MINUTE_MS, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type ChaosDatabase, openChaosDatabase } from '#scripts/chaos/workflows/database';
import type { ScheduleOrders } from '#scripts/chaos/workflows/schedule_process';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { defineWorkflow } from '#workflows/document/define_workflow';
import { backfillTimes, startMissing } from '#workflows/schedules/backfill';
import { rfc3339, Schedule, type ScheduleSpec } from '#workflows/schedules/schedule';
import { ScheduleMetrics } from '#workflows/schedules/schedule_metrics';
import { SqlScheduleStore, sqlScheduleStore } from '#workflows/schedules/schedule_store';
import { nextAfter, Scheduler } from '#workflows/schedules/scheduler';
import { sqlWorkflowStore } from '#workflows/store/workflow_store';

const folder = mkdtempSync(join(tmpdir(), 'headwater-schedules-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const kinds: readonly ChaosDatabase['kind'][] = ['pglite', 'postgres'];
const databaseOf = (kind: ChaosDatabase['kind'], name: string): ChaosDatabase =>
  kind === 'pglite'
    ? { kind, directory: join(folder, name) }
    : { kind, url: process.env.TEST_POSTGRES_URL as string, schema: `schedules_${name}_${process.pid}` };

const START = Date.parse('2024-03-01T00:00:30Z');
const waiting = { StartAt: 'A', States: { A: { Type: 'Wait', Seconds: 86_400, End: true } } };

describe.each(kinds)('schedules on %s', (kind) => {
  let sql: SqlExecutor;
  let nowMs = START;
  const clock = { now: () => processingTime(nowMs) };

  beforeAll(async () => {
    const opened = openChaosDatabase(databaseOf(kind, 'shared'));
    await opened.start();
    sql = opened.sql;
  }, 120_000);
  afterAll(() => sql?.close());

  /** A project of one schedule, in which no run ends by itself. */
  function project(name: string, spec: Omit<ScheduleSpec, 'workflow'>) {
    const workflow = defineWorkflow(name, waiting);
    const catalog = new WorkflowCatalog([workflow], [], { [name]: { workflow: name, ...spec } });
    const scheduler = () =>
      new Scheduler({
        ...{
          sql,
          log: silentLogger,
          clock,
          schedules: catalog.schedules,
          metrics: new ScheduleMetrics(createMetricsRegistry({ process: false })),
        },
        newRun: (...of) => catalog.scheduledRun(...of),
      });
    return { catalog, scheduler, schedule: catalog.schedule(name) };
  }
  const store = () => sqlWorkflowStore(sql);
  const idsOf = async (workflow: string): Promise<readonly string[]> =>
    (await store().list({ workflow, limit: 1_000 })).map(({ id }) => id).sort();
  const at = (name: string, ...minutes: readonly number[]): readonly string[] =>
    minutes.map((minute) => `${name}@2024-03-01T00:${String(minute).padStart(2, '0')}:00Z`);

  test('of ten workers that look at the same moment, one starts the run of a time', async () => {
    nowMs = START;
    const { scheduler } = project('once', { cron: '* * * * *', overlap: 'allow' });
    const workers = Array.from({ length: 10 }, scheduler);
    for (const worker of workers) await worker.look();
    for (let minute = 1; minute <= 5; minute += 1) {
      nowMs = START + minute * MINUTE_MS;
      await Promise.all(workers.map((worker) => worker.look()));
    }
    expect(await idsOf('once')).toEqual(at('once', 1, 2, 3, 4, 5));
    const [run] = await store().list({ workflow: 'once', limit: 1 });
    expect(run).toMatchObject({
      origin: { kind: 'schedule', by: 'once', schedule: 'once' },
      input: { schedule: { name: 'once', date: '2024-03-01' } },
    });
  });

  test.each<[string, Omit<ScheduleSpec, 'workflow'>, readonly number[], readonly number[]]>([
    ['skip', { overlap: 'skip' }, [1], [1, 4]],
    ['queue', { overlap: 'queue' }, [1], [1, 3]],
    ['queue-all', { overlap: 'queue', catchUp: 'all' }, [1], [1, 2]],
    ['allow', { overlap: 'allow' }, [1, 2, 3], [1, 2, 3, 4]],
  ])('overlap: %s', async (name, spec, during, after) => {
    nowMs = START;
    const { scheduler } = project(name, { cron: '* * * * *', ...spec });
    const worker = scheduler();
    for (let minute = 0; minute <= 3; minute += 1) {
      nowMs = START + minute * MINUTE_MS;
      await worker.look();
    }
    expect(await idsOf(name)).toEqual(at(name, ...during));
    for (const id of await idsOf(name)) await store().cancel(id, 'test', 'ended');
    if (spec.overlap !== 'queue') nowMs += MINUTE_MS;
    await worker.look();
    await worker.look();
    expect(await idsOf(name)).toEqual(at(name, ...after));
  });

  test('a paused schedule runs nothing, and resumes with its next time; a trigger runs meanwhile', async () => {
    nowMs = START;
    const { scheduler, schedule, catalog } = project('paused', { cron: '* * * * *', overlap: 'allow', catchUp: 'all' });
    const worker = scheduler();
    await worker.look();
    await sqlScheduleStore(sql).pause('paused');
    nowMs = START + 10 * MINUTE_MS;
    await worker.look();
    expect(await idsOf('paused')).toEqual([]);
    await store().startRun(catalog.triggeredRun('paused', nowMs, 'ann'));
    expect((await store().list({ workflow: 'paused' })).map(({ origin }) => origin)).toEqual([
      { kind: 'manual', by: 'ann', schedule: 'paused' },
    ]);
    await sqlScheduleStore(sql).resume('paused', nextAfter(schedule, nowMs));
    await worker.look();
    nowMs += MINUTE_MS;
    await worker.look();
    expect((await idsOf('paused')).filter((id) => !id.includes('manual'))).toEqual(at('paused', 11));
    await expect(sqlScheduleStore(sql).pause('no-such')).rejects.toMatchObject({
      code: 'WORKFLOWS_SCHEDULE_NOT_FOUND',
    });
  });

  test('a back-fill runs each trading day once, also beside the schedule and a second back-fill', async () => {
    nowMs = Date.parse('2024-12-23T12:00:00Z');
    const { scheduler, schedule, catalog } = project('days', {
      ...{ calendar: 'XNYS', at: '30 minutes after close', overlap: 'allow', catchUp: 'all' },
    });
    const worker = scheduler();
    await worker.look();
    nowMs = Date.parse('2024-12-24T23:00:00Z');
    await worker.look();
    expect(await idsOf('days')).toEqual(['days@2024-12-23T21:30:00Z', 'days@2024-12-24T18:30:00Z']);
    nowMs = Date.parse('2025-01-10T23:00:00Z');
    const fill = () =>
      startMissing(
        store(),
        backfillTimes(schedule, '2024-12-20', '2025-01-10', nowMs).map((time) =>
          catalog.scheduledRun(schedule, time, 'backfill', 'ann'),
        ),
      );
    const [first, second] = await Promise.all([fill(), fill()]);
    await worker.look();
    const dates = (await store().list({ workflow: 'days', limit: 100 })).map(
      ({ input }) => (input as { readonly schedule: { readonly date: string } }).schedule.date,
    );
    expect(dates.sort()).toEqual([
      ...['2024-12-20', '2024-12-23', '2024-12-24', '2024-12-26', '2024-12-27', '2024-12-30', '2024-12-31'],
      ...['2025-01-02', '2025-01-03', '2025-01-06', '2025-01-07', '2025-01-08', '2025-01-10'],
    ]);
    expect(first.length + second.length).toBe(11);
    expect(await fill()).toEqual([]);
  });

  test('a changed schedule waits for its new times; other settings leave its time; another version takes over a late one', async () => {
    nowMs = START;
    const next = async () => (await sqlScheduleStore(sql).list()).find(({ name }) => name === 'changed')?.nextTime;
    await project('changed', { cron: '10 * * * *' }).scheduler().look();
    expect(Date.parse((await next()) as string)).toBe(Date.parse('2024-03-01T00:10:00Z'));
    nowMs = START + 5 * MINUTE_MS;
    await project('changed', { cron: '10 * * * *', input: { a: 1 } })
      .scheduler()
      .look();
    expect(Date.parse((await next()) as string)).toBe(Date.parse('2024-03-01T00:10:00Z'));
    const newer = project('changed', { cron: '20 * * * *' }).scheduler();
    await newer.look();
    expect(Date.parse((await next()) as string)).toBe(Date.parse('2024-03-01T00:20:00Z'));
    // A worker of before has started again, and is gone: its time passes without it.
    await project('changed', { cron: '10 * * * *' }).scheduler().look();
    nowMs = START + HOUR_MS;
    await newer.look();
    expect(Date.parse((await next()) as string)).toBe(Date.parse('2024-03-01T01:20:00Z'));
  });
});

// Between what a worker does for a time and its run, it may die at any moment: before the commit, within it, after it.
test.each(kinds)(
  'kill -9 around the commit of a time loses none and doubles none, on %s',
  async (kind) => {
    const database = databaseOf(kind, 'killed');
    const fromMs = START;
    const untilMs = START + 1_500 * MINUTE_MS;
    const seed = Date.now() % 1_000_000;
    let startedMs = 0;
    const mostKills = kind === 'pglite' ? 3 : 30;
    let kills = 0;
    let started = 0;
    const run = async (): Promise<void> => {
      for (let isOver = false; !isOver; ) {
        started += 1;
        const orders: ScheduleOrders = {
          ...{ database, fromMs, startedMs, untilMs, seed: seed + started, speed: 5_000 },
          killProbability: kills < mostKills ? 0.3 : 0,
        };
        const child: ChildProcess = fork(
          assetPath('dist/scripts/chaos/workflows/schedule_process.js'),
          [JSON.stringify(orders)],
          {
            execArgv: [],
            env: { ...process.env, NODE_OPTIONS: '' },
          },
        );
        const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
          child.on('exit', (...of) => resolve(of)),
        );
        if (signal === 'SIGKILL') kills += 1;
        else if (code !== 0) throw new Error(`a scheduler ended with ${code}, seed ${seed}`);
        isOver = code === 0;
      }
    };
    await inDatabase(database, async (sql) => {
      const spec = { workflow: 'minute', cron: '* * * * *', overlap: 'allow', catchUp: 'all' } as const;
      const schedule = new Schedule('minute', spec);
      await new SqlScheduleStore(sql).register(schedule, nextAfter(schedule, fromMs));
    });
    startedMs = Date.now();
    await Promise.all(Array.from({ length: kind === 'pglite' ? 1 : 3 }, run));
    const runs = await inDatabase(database, (sql) =>
      sql.query<{ readonly at: string; readonly events: number; readonly frames: number }>(
        `SELECT origin->>'at' AS at,
           (SELECT count(*)::integer FROM workflow_events e WHERE e.run_id = r.id) AS events,
           (SELECT count(*)::integer FROM workflow_frames f WHERE f.run_id = r.id) AS frames
         FROM workflow_runs r ORDER BY 1`,
      ),
    );
    const expected: string[] = [];
    for (let time = fromMs + MINUTE_MS / 2; time <= untilMs; time += MINUTE_MS) expected.push(rfc3339(time));
    expect([seed, runs.map(({ at }) => at)]).toEqual([seed, expected]);
    expect(runs.every(({ events, frames }) => events === 1 && frames === 1)).toBe(true);
    expect(kills).toBeGreaterThan(0);
  },
  400_000,
);

async function inDatabase<T>(database: ChaosDatabase, work: (sql: SqlExecutor) => Promise<T>): Promise<T> {
  const { sql, start } = openChaosDatabase(database);
  await start();
  try {
    return await work(sql);
  } finally {
    await sql.close();
  }
}
