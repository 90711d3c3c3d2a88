import { setTimeout as delay } from 'node:timers/promises';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { Service } from '#kernel/lifecycle';
import { type Clock, SECOND_MS } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { NewRun } from '../store/workflow_store.ts';
import { dueTimes, timeAfter } from './due_times.ts';
import { rfc3339, type Schedule, type ScheduledTime } from './schedule.ts';
import type { ScheduleMetrics } from './schedule_metrics.ts';
import { type NextTime, SqlScheduleStore, type WaitingSchedule } from './schedule_store.ts';

export interface SchedulerDeps {
  readonly sql: SqlExecutor;
  readonly log: Logger;
  readonly clock: Clock;
  readonly schedules: readonly Schedule[];
  newRun(schedule: Schedule, time: ScheduledTime, kind: 'schedule' | 'backfill', by: string): NewRun;
  /** Wakes the worker of this process. */
  onRuns?(): void;
  readonly metrics?: ScheduleMetrics | undefined;
}

/** Longest pause between looks at the schedules: what another process changes is seen within it. */
const MOST_PAUSE_MS = SECOND_MS;
/** A schedule that workers of another version of the project have written is taken over when it is so late. */
const TAKE_OVER_MS = 30 * SECOND_MS;

/** Starts the runs of schedules when their times come. Any number of schedulers share a database: one of them starts the runs of a time. */
export class Scheduler implements Service {
  readonly name = 'workflow scheduler';
  readonly #deps: SchedulerDeps;
  readonly #store: SqlScheduleStore;
  readonly #log: Logger;
  readonly #schedules: ReadonlyMap<string, Schedule>;
  #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #isRegistered = false;

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
    this.#store = new SqlScheduleStore(deps.sql);
    this.#log = deps.log.child({ component: 'workflows.scheduler' });
    this.#schedules = new Map(deps.schedules.map((schedule) => [schedule.name, schedule]));
  }

  async start(): Promise<void> {
    this.#stopping = new AbortController();
    this.#loop = this.#run(this.#stopping.signal);
  }

  async drain(): Promise<void> {
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let pauseMs = MOST_PAUSE_MS;
      try {
        pauseMs = await this.look();
      } catch (error) {
        this.#log.warn({ error }, 'schedules.look_failed');
      }
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Starts what is due. @returns how long nothing is, ms */
  async look(): Promise<number> {
    const nowMs = this.#deps.clock.now();
    if (!this.#isRegistered) {
      for (const schedule of this.#schedules.values()) await this.#register(schedule, nowMs);
      this.#isRegistered = true;
    }
    let pauseMs = MOST_PAUSE_MS;
    for (const row of await this.#store.waiting([...this.#schedules.keys()])) {
      const schedule = this.#schedules.get(row.name) as Schedule;
      const { timeMs, dueMs } = row;
      const isWaiting = timeMs !== null && dueMs !== null && !row.paused;
      this.#deps.metrics?.lateness.set({ schedule: row.name }, isWaiting ? Math.max(0, nowMs - dueMs) / SECOND_MS : 0);
      if (!isWaiting) continue;
      if (dueMs > nowMs) pauseMs = Math.min(pauseMs, dueMs - nowMs);
      else if (await this.#fire(schedule, row, { timeMs, dueMs }, nowMs)) pauseMs = 0;
    }
    this.#deps.metrics?.observeCalendars(this.#deps.schedules, nowMs);
    return pauseMs;
  }

  /** @returns whether it moved on, and may be due again */
  async #fire(schedule: Schedule, { timing }: WaitingSchedule, waited: NextTime, nowMs: number): Promise<boolean> {
    const { newRun, metrics, onRuns } = this.#deps;
    const { name } = schedule;
    if (timing !== schedule.timing) {
      if (waited.dueMs < nowMs - TAKE_OVER_MS) await this.#register(schedule, nowMs - TAKE_OVER_MS);
      return false;
    }
    // Another where a newer calendar has moved it.
    const from = timeAfter(schedule, waited.timeMs - 1);
    const { run, next } = from === undefined ? { run: [], next: undefined } : dueTimes(schedule, from, nowMs);
    const lastMs = run.at(-1)?.timeMs ?? waited.timeMs;
    const runs = run.map((time) => newRun(schedule, time, 'schedule', name));
    const started = await this.#store.fire(schedule, waited, { runs, lastMs, next: nextOf(schedule, next) });
    if (started === undefined) return false;
    if (started > 0) onRuns?.();
    metrics?.times.inc({ schedule: name, outcome: 'started' }, started);
    metrics?.times.inc(
      { schedule: name, outcome: 'skipped' },
      Math.max(0, runs.length - started) + (runs.length === 0 ? 1 : 0),
    );
    const at = run.map(({ timeMs }) => rfc3339(timeMs));
    this.#log.info({ schedule: name, times: at, started, next: next && rfc3339(next.timeMs) }, 'schedules.fired');
    if (next === undefined)
      this.#log.error({ schedule: name, calendar: schedule.calendar }, 'schedules.calendar_ended');
    return true;
  }

  async #register(schedule: Schedule, nowMs: number): Promise<void> {
    await this.#store.register(schedule, nextAfter(schedule, nowMs));
  }
}

/** Returns a time with the moment its run starts. */
const nextOf = (schedule: Schedule, time: ScheduledTime | undefined): NextTime | undefined =>
  time === undefined ? undefined : { timeMs: time.timeMs, dueMs: schedule.dueMs(time) };

/** Returns the time after an instant, with the moment its run starts; undefined where the calendar's data ends. */
export const nextAfter = (schedule: Schedule, instantMs: number): NextTime | undefined =>
  nextOf(schedule, timeAfter(schedule, instantMs));
