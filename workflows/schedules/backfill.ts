import { WorkflowValueError } from '../errors.ts';
import type { NewRun, WorkflowStore } from '../store/workflow_store.ts';
import type { Schedule, ScheduledTime } from './schedule.ts';

const MOST_RUNS = 10_000;

/**
 * Returns the times of dates, both included, for a back-fill.
 *
 * @throws {@link CalendarRangeError} for dates without data; {@link WorkflowValueError} for dates in the wrong order, times to come, and too many
 */
export function backfillTimes(schedule: Schedule, from: string, to: string, nowMs: number): readonly ScheduledTime[] {
  const what = `back-fill of "${schedule.name}" from ${from} to ${to}`;
  if (from > to) throw new WorkflowValueError(what, 'it ends before it begins; swap the dates');
  const times: ScheduledTime[] = [];
  for (const time of schedule.between(from, to)) {
    if (time.timeMs > nowMs) {
      throw new WorkflowValueError(what, `${time.date} has not come yet; end it with a day before`);
    }
    if (times.length === MOST_RUNS)
      throw new WorkflowValueError(what, `it has more than ${MOST_RUNS} times; divide it`);
    times.push(time);
  }
  return times;
}

export interface Backfilled {
  readonly schedule: string;
  /** How many times the days have. */
  readonly times: number;
  /** Ids of the runs that were started. */
  readonly started: readonly string[];
}

/** Runs the times of days, both included, that have no run. @throws as {@link backfillTimes} does */
export async function runBackfill(
  { store, newRun }: { readonly store: WorkflowStore; readonly newRun: (time: ScheduledTime) => NewRun },
  schedule: Schedule,
  { from, to, nowMs }: { readonly from: string; readonly to: string; readonly nowMs: number },
): Promise<Backfilled> {
  const times = backfillTimes(schedule, from, to, nowMs);
  return { schedule: schedule.name, times: times.length, started: await startMissing(store, times.map(newRun)) };
}

/** Starts runs that do not exist. A time that the schedule or another back-fill has run has a run already. @returns the ids of the new ones */
export async function startMissing(store: WorkflowStore, runs: readonly NewRun[]): Promise<readonly string[]> {
  const started: string[] = [];
  for (const run of runs) {
    try {
      if (await store.startRun(run)) started.push(run.id);
    } catch (error) {
      // It was run when the schedule had another input.
      if ((error as { readonly code?: string }).code !== 'WORKFLOWS_RUN_CONFLICT') throw error;
    }
  }
  return started;
}
