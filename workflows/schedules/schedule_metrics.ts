import { SECOND_MS } from '#kernel/time';
import { Counter, Gauge, type Registry } from '#monitoring/metrics';
import { calendarOf } from './calendar.ts';
import type { Schedule } from './schedule.ts';

/** What a scheduler counts. */
export class ScheduleMetrics {
  readonly lateness: Gauge<'schedule'>;
  readonly times: Counter<'schedule' | 'outcome'>;
  readonly calendarLeft: Gauge<'calendar'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.lateness = new Gauge({
      name: 'workflow_schedule_lateness_seconds',
      help: 'How long a time of a schedule is due without its run',
      labelNames: ['schedule'],
      registers,
    });
    this.times = new Counter({
      name: 'workflow_schedule_times_total',
      help: 'Times of a schedule by outcome: started, or skipped for overlap, for lateness, or as a back-fill had run it',
      labelNames: ['schedule', 'outcome'],
      registers,
    });
    this.calendarLeft = new Gauge({
      name: 'workflow_calendar_remaining_seconds',
      help: 'Time until the end of the data of an exchange calendar that a schedule uses',
      labelNames: ['calendar'],
      registers,
    });
  }

  observeCalendars(schedules: readonly Schedule[], nowMs: number): void {
    for (const { calendar } of schedules) {
      if (calendar === undefined) continue;
      const end = Date.parse(`${calendarOf(calendar).last}T00:00:00Z`);
      this.calendarLeft.set({ calendar }, (end - nowMs) / SECOND_MS);
    }
  }
}
