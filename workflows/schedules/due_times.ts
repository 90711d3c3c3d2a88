import { HOUR_MS, MINUTE_MS } from '#kernel/time';
import { CalendarRangeError } from '../errors.ts';
import type { Schedule, ScheduledTime } from './schedule.ts';

/** A time without catch-up is run so long after it. */
const GRACE_MS = MINUTE_MS;
/** So many runs are started in one transaction; the others follow in the next. */
const MOST_RUNS = 100;

/** What is done about a schedule that is due. */
export interface DueTimes {
  readonly run: readonly ScheduledTime[];
  /** Undefined at the end of a calendar's data. */
  readonly next: ScheduledTime | undefined;
}

/** Returns which times from `from` on are run now, and the time that is waited for then. */
export function dueTimes(schedule: Schedule, from: ScheduledTime, nowMs: number): DueTimes {
  if (schedule.catchUp === 'all') {
    const most = schedule.overlap === 'queue' ? 1 : MOST_RUNS;
    const run: ScheduledTime[] = [];
    let next: ScheduledTime | undefined = from;
    while (next !== undefined && run.length < most && schedule.dueMs(next) <= nowMs) {
      run.push(next);
      next = timeAfter(schedule, next.timeMs);
    }
    return { run, next };
  }
  const last = lastDue(schedule, from, nowMs);
  if (last === undefined) return { run: [], next: from };
  const isLate = schedule.catchUp === 'none' && schedule.dueMs(last) < nowMs - GRACE_MS;
  return { run: isLate ? [] : [last], next: timeAfter(schedule, last.timeMs) };
}

/** The last time from `from` on that is due: sought in longer and longer spans before now, since there may be a year of minutes. */
function lastDue(schedule: Schedule, from: ScheduledTime, nowMs: number): ScheduledTime | undefined {
  for (let span = 2 * HOUR_MS; ; span *= 4) {
    const isAll = nowMs - span <= from.timeMs;
    let last: ScheduledTime | undefined;
    let next = isAll ? from : timeAfter(schedule, nowMs - span);
    while (next !== undefined && schedule.dueMs(next) <= nowMs) {
      last = next;
      next = timeAfter(schedule, next.timeMs);
    }
    if (last !== undefined || isAll) return last;
  }
}

/** Returns the next time; undefined where the calendar's data ends. */
export function timeAfter(schedule: Schedule, instantMs: number): ScheduledTime | undefined {
  try {
    return schedule.after(instantMs);
  } catch (error) {
    if (error instanceof CalendarRangeError) return undefined;
    throw error;
  }
}
