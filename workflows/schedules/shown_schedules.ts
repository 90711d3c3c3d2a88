import type { Schedule, ScheduledTime } from './schedule.ts';
import type { ScheduleRecord } from './schedule_store.ts';

/** A schedule as commands and the API show it. */
export interface ShownSchedule {
  readonly name: string;
  readonly workflow: string;
  readonly when: string;
  readonly timeZone: string;
  readonly overlap: string;
  readonly catchUp: string;
  /** `new`: no worker has begun with it. */
  readonly status: 'new' | 'active' | 'paused';
  readonly lastTime: string | null;
  readonly nextTime: string | null;
}

/** Joins schedules of a project with what the workers keep of them. */
export function shownSchedules(
  schedules: readonly Schedule[],
  records: readonly ScheduleRecord[],
): readonly ShownSchedule[] {
  const kept = new Map(records.map((record) => [record.name, record]));
  return schedules.map(({ name, workflow, when, timeZone, overlap, catchUp }) => {
    const record = kept.get(name);
    const status = record === undefined ? 'new' : record.paused ? 'paused' : 'active';
    const nextTime = status === 'active' ? (record?.nextTime ?? null) : null;
    return { name, workflow, when, timeZone, overlap, catchUp, status, lastTime: record?.lastTime ?? null, nextTime };
  });
}

/** Returns times of a schedule: after now, or of a date and later. @throws {@link CalendarRangeError} where its calendar has no data */
export function* nextTimes(
  schedule: Schedule,
  { count, from, nowMs }: { readonly count: number; readonly from?: string | undefined; readonly nowMs: number },
): Generator<ScheduledTime> {
  let left = count;
  for (const time of from === undefined ? timesAfter(schedule, nowMs) : schedule.between(from)) {
    yield time;
    left -= 1;
    if (left === 0) return;
  }
}

function* timesAfter(schedule: Schedule, instantMs: number): Generator<ScheduledTime> {
  for (let next = schedule.after(instantMs); next !== undefined; next = schedule.after(next.timeMs)) yield next;
}
