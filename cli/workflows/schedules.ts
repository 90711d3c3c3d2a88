import Table from 'cli-table3';
import { runBackfill } from '#workflows/schedules/backfill';
import { rfc3339, type ScheduledTime } from '#workflows/schedules/schedule';
import { nextAfter } from '#workflows/schedules/scheduler';
import { nextTimes, shownSchedules } from '#workflows/schedules/shown_schedules';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject } from '../project/project.ts';
import { print, printJsonArray, printList } from '../terminal/print.ts';
import { author } from './author.ts';
import { loadWorkflows } from './load_workflows.ts';

const withStores = async <T>(work: (offline: OfflineDatabase) => Promise<T>): Promise<T> =>
  withOffline(await loadProject(), work);

/** `headwater schedules list`. */
export async function listSchedules({ json }: { readonly json: boolean }): Promise<void> {
  const { schedules } = await loadWorkflows();
  const rows = shownSchedules(schedules, await withStores((offline) => offline.schedules.list()));
  if (json) {
    printJsonArray(rows);
    return;
  }
  const table = new Table({
    head: ['schedule', 'workflow', 'when', 'status', 'last', 'next'],
    style: { head: [], border: [] },
  });
  for (const { name, workflow, when, status, lastTime, nextTime } of rows) {
    table.push([name, workflow, when, status, lastTime ?? '', nextTime ?? '']);
  }
  print(rows.length === 0 ? 'no schedules' : table.toString());
}

/** `headwater schedules next`. */
export async function showNext(
  name: string,
  { count, from, json }: { readonly count: number; readonly from?: string; readonly json: boolean },
): Promise<void> {
  const schedule = (await loadWorkflows()).schedule(name);
  const times = nextTimes(schedule, { count, from, nowMs: Date.now() });
  printList(
    Array.from(times, ({ timeMs, date }) => ({ time: rfc3339(timeMs), date })),
    { json, line: ({ time, date }) => `${time}  ${date}`, empty: 'no more times' },
  );
}

/** `headwater schedules pause`. */
export async function pauseSchedule(name: string): Promise<void> {
  await withStores(({ schedules }) => schedules.pause(name));
  print(`${name} is paused`);
}

/** `headwater schedules resume`. */
export async function resumeSchedule(name: string): Promise<void> {
  const schedule = (await loadWorkflows()).schedule(name);
  const next = nextAfter(schedule, Date.now());
  await withStores(({ schedules }) => schedules.resume(name, next));
  print(`${name} runs again${next === undefined ? '' : `: next at ${rfc3339(next.timeMs)}`}`);
}

/** `headwater schedules trigger`. */
export async function triggerSchedule(
  name: string,
  { by, json }: { readonly by?: string; readonly json: boolean },
): Promise<void> {
  const run = (await loadWorkflows()).triggeredRun(name, Date.now(), author(by));
  const record = await withStores(async ({ workflows }) => {
    await workflows.startRun(run);
    return workflows.get(run.id);
  });
  print(json ? JSON.stringify(record) : `${record.id}  ${record.workflow}  ${record.status}`);
}

/** `headwater schedules backfill`. */
export async function backfillSchedule(
  name: string,
  { from, to, by, json }: { readonly from: string; readonly to: string; readonly by?: string; readonly json: boolean },
): Promise<void> {
  const catalog = await loadWorkflows();
  const schedule = catalog.schedule(name);
  const newRun = (time: ScheduledTime) => catalog.scheduledRun(schedule, time, 'backfill', author(by));
  const result = await withStores(({ workflows: store }) =>
    runBackfill({ store, newRun }, schedule, { from, to, nowMs: Date.now() }),
  );
  const { times, started } = result;
  if (json) print(JSON.stringify(result));
  else print(`${started.length} runs started, ${times - started.length} times had a run already`);
}
