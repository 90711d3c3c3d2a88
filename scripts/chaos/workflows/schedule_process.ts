import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '#kernel/random';
import { type Clock, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { defineWorkflow } from '#workflows/document/define_workflow';
import { Scheduler } from '#workflows/schedules/scheduler';
import { type ChaosDatabase, openChaosDatabase } from './database.ts';
import { killingExecutor } from './killing_executor.ts';

/** What a scheduler of the kill test is started with. */
export interface ScheduleOrders {
  readonly database: ChaosDatabase;
  readonly seed: number;
  readonly killProbability: number;
  /** The test's clock shows `fromMs` at `startedMs`, and is so many times as fast as the machine's. */
  readonly fromMs: number;
  readonly startedMs: number;
  readonly speed: number;
  /** The process ends when all times up to here have runs. */
  readonly untilMs: number;
}

const orders = JSON.parse(process.argv[2] as string) as ScheduleOrders;
const { sql, start } = openChaosDatabase(orders.database);
await start();
const clock: Clock = {
  now: () => processingTime(Math.min(orders.untilMs, orders.fromMs + (Date.now() - orders.startedMs) * orders.speed)),
};
const document = { StartAt: 'A', States: { A: { Type: 'Pass', End: true } } };
const every = { workflow: 'minute', cron: '* * * * *', overlap: 'allow', catchUp: 'all' } as const;
const catalog = new WorkflowCatalog([defineWorkflow('minute', document)], [], { minute: every });
const scheduler = new Scheduler({
  ...{ sql: killingExecutor(sql, new Random(orders.seed), orders.killProbability), log: silentLogger, clock },
  schedules: catalog.schedules,
  newRun: (...of) => catalog.scheduledRun(...of),
});
for (;;) {
  await scheduler.look();
  const [row] = await sql.query<{ readonly ms: number }>(
    `SELECT (extract(epoch FROM next_time) * 1000)::float8 AS ms FROM workflow_schedules WHERE name = 'minute'`,
  );
  if ((row?.ms ?? 0) > orders.untilMs) break;
  await delay(2);
}
await sql.close();
process.exit(0);
