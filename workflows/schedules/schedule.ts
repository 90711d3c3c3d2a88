import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { JsonValue } from '#kernel/json';
import { HOUR_MS, SECOND_MS } from '#kernel/time';
import { type Duration, tryParseDuration } from '#kernel/times/duration';
import { isTimeZone, zoneOffsetMs } from '#kernel/times/time_zone';
import { WorkflowDefinitionError } from '../errors.ts';
import { calendarOf, EXCHANGES, type Exchange, nextDate, type SessionTime, sessionTimeOf } from './calendar.ts';
import { CronTimes } from './cron_times.ts';

/** What happens at a scheduled time while a run of the schedule is queued or runs. */
export type OverlapPolicy = 'skip' | 'queue' | 'allow';
/** Which of the times that have passed without a worker are run. */
export type CatchUpPolicy = 'none' | 'latest' | 'all';

/** When a workflow runs, as a project declares it. */
export interface ScheduleSpec {
  readonly workflow: string;
  /** Minute, hour, day of the month, month, day of the week: `30 6 * * MON-FRI`. */
  readonly cron?: string;
  /** Of `cron`; default: UTC. */
  readonly timeZone?: string;
  /** Runs on the trading days of an exchange, instead of `cron`. */
  readonly calendar?: Exchange;
  /** On each trading day: `close`, `30 minutes after close`, `5 minutes before open`. */
  readonly at?: string;
  /** Input of the runs; `schedule` with name, time and date is added. */
  readonly input?: Readonly<Record<string, JsonValue>>;
  /** Default: `skip`. */
  readonly overlap?: OverlapPolicy;
  /** Default: `latest`. */
  readonly catchUp?: CatchUpPolicy;
  /** Runs start up to so much later, each time of a schedule always by the same. One hour at most. */
  readonly jitter?: Duration;
}

/** A time of a schedule, and the day it is for. */
export interface ScheduledTime {
  readonly timeMs: number;
  /** Of the zone's clocks; of a calendar, the trading day. */
  readonly date: string;
}

const NAME = /^[a-z][a-z0-9_-]{0,62}$/;
const MOST_JITTER_MS = HOUR_MS;
/** A time of a trading day is at most so many days away from its date. */
const DAYS_AROUND = 3;

const specSchema = z.strictObject({
  workflow: z.string().min(1),
  cron: z.string().optional(),
  timeZone: z.string().refine(isTimeZone, 'is not a time zone; write one such as Europe/Berlin').optional(),
  calendar: z.enum(EXCHANGES).optional(),
  at: z
    .string()
    .refine(
      (at) => sessionTimeOf(at) !== undefined,
      'write "close", "30 minutes after close" or "5 minutes before open"',
    )
    .optional(),
  input: z
    .record(z.string(), z.json())
    .refine((input) => !Object.hasOwn(input, 'schedule'), '"schedule" is set by the platform; name the field otherwise')
    .optional(),
  overlap: z.enum(['skip', 'queue', 'allow']).default('skip'),
  catchUp: z.enum(['none', 'latest', 'all']).default('latest'),
  jitter: z
    .string()
    .refine((jitter) => (tryParseDuration(jitter) ?? Infinity) <= MOST_JITTER_MS, 'write a duration of 1h at most')
    .optional(),
});

const CONTRADICTIONS: Readonly<Record<string, string>> = {
  'skip all': 'overlap "skip" would skip most of the times that catchUp "all" runs; choose overlap "queue" or "allow"',
  'queue none':
    'a run that overlap "queue" holds back is late, and catchUp "none" runs none that is; choose catchUp "latest" or "all"',
};

/** A schedule of a project: its times, and the runs it starts. */
export class Schedule {
  readonly name: string;
  readonly workflow: string;
  readonly overlap: OverlapPolicy;
  readonly catchUp: CatchUpPolicy;
  readonly timeZone: string;
  /** Says when, for people: `30 6 * * * in Europe/Berlin`. */
  readonly when: string;
  readonly calendar: Exchange | undefined;
  readonly #input: Readonly<Record<string, JsonValue>>;
  readonly #jitterMs: number;
  readonly #cron: CronTimes | undefined;
  readonly #at: SessionTime;

  /** @throws {@link WorkflowDefinitionError} with every problem and its place */
  constructor(name: string, declared: ScheduleSpec) {
    const parsed = specSchema.safeParse(declared);
    const problems = parsed.success
      ? []
      : parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    if (!NAME.test(name)) {
      problems.push(
        'a name begins with a lower-case letter and has lower-case letters, digits, "_" and "-", 63 at most',
      );
    }
    const { cron, timeZone, calendar, at } = declared;
    if ((cron === undefined) === (calendar === undefined)) problems.push('it needs either cron or calendar');
    if (calendar !== undefined && timeZone !== undefined)
      problems.push('timeZone: a calendar has the zone of its exchange');
    if (calendar === undefined && at !== undefined) problems.push('at: it needs a calendar');
    const contradiction = parsed.success ? CONTRADICTIONS[`${parsed.data.overlap} ${parsed.data.catchUp}`] : undefined;
    if (contradiction !== undefined) problems.push(contradiction);
    let times: CronTimes | undefined;
    if (cron !== undefined && parsed.success) {
      try {
        times = new CronTimes(cron, timeZone ?? 'UTC');
      } catch (error) {
        problems.push(`cron "${cron}": ${(error as Error).message}`);
      }
    }
    if (problems.length > 0 || !parsed.success) {
      throw new WorkflowDefinitionError(`schedule "${name}": ${problems.join('; ')}`);
    }
    const { data } = parsed;
    this.name = name;
    this.workflow = data.workflow;
    this.overlap = data.overlap;
    this.catchUp = data.catchUp;
    this.calendar = data.calendar;
    this.timeZone = calendar === undefined ? (timeZone ?? 'UTC') : calendarOf(calendar).timeZone;
    this.#input = data.input ?? {};
    this.#jitterMs = data.jitter === undefined ? 0 : (tryParseDuration(data.jitter) as number);
    this.#cron = times;
    this.#at = sessionTimeOf(at ?? 'close') as SessionTime;
    this.when = cron === undefined ? `${at ?? 'close'} of ${calendar}` : `${cron} in ${this.timeZone}`;
  }

  /** What decides its times. */
  get timing(): string {
    return `${this.when}, jitter ${this.#jitterMs} ms`;
  }

  /** What it does, without its times. */
  get settings(): Readonly<Record<string, JsonValue>> {
    return { workflow: this.workflow, overlap: this.overlap, catchUp: this.catchUp, input: this.#input };
  }

  /**
   * Returns its first time after an instant, of days up to `lastDate`; undefined where there is none.
   *
   * @throws {@link CalendarRangeError} where its calendar has no data
   */
  after(instantMs: number, lastDate?: string): ScheduledTime | undefined {
    if (this.#cron !== undefined) {
      const timeMs = this.#cron.after(instantMs);
      if (timeMs === undefined) return undefined;
      const date = this.dateOf(timeMs);
      return lastDate !== undefined && date > lastDate ? undefined : { timeMs, date };
    }
    const calendar = calendarOf(this.calendar as Exchange);
    const today = this.dateOf(instantMs);
    if (nextDate(today, DAYS_AROUND) < calendar.first) calendar.session(today);
    const around = nextDate(today, -DAYS_AROUND);
    for (let date = around < calendar.first ? calendar.first : around; ; date = nextDate(date)) {
      if (lastDate !== undefined && date > lastDate) return undefined;
      const session = calendar.session(date);
      if (session === undefined) continue;
      const timeMs = (this.#at.of === 'open' ? session.openMs : session.closeMs) + this.#at.offsetMs;
      if (timeMs > instantMs) return { timeMs, date };
    }
  }

  /**
   * Returns the times of the days from a date on, until another where there is one, both included.
   *
   * @throws {@link CalendarRangeError} where its calendar has no data
   */
  *between(from: string, to?: string): Generator<ScheduledTime> {
    if (this.calendar !== undefined) {
      calendarOf(this.calendar).session(from);
      if (to !== undefined) calendarOf(this.calendar).session(to);
    }
    // In the west, the zone's date is still the day before.
    let next = this.after(Date.parse(`${nextDate(from, 1 - DAYS_AROUND)}T00:00:00Z`), to);
    while (next !== undefined) {
      if (next.date >= from) yield next;
      next = this.after(next.timeMs, to);
    }
  }

  /** Returns when a run of a time starts: the time, and its share of the jitter. */
  dueMs({ timeMs }: ScheduledTime): number {
    if (this.#jitterMs < SECOND_MS) return timeMs;
    const hash = createHash('sha256').update(`${this.name} ${timeMs}`).digest().readUInt32BE(0);
    return timeMs + (hash % Math.floor(this.#jitterMs / SECOND_MS)) * SECOND_MS;
  }

  /** The date that the zone's clocks show. */
  dateOf(instantMs: number): string {
    return new Date(instantMs + zoneOffsetMs(instantMs, this.timeZone)).toISOString().slice(0, 'YYYY-MM-DD'.length);
  }

  /** Returns the id of the run of a time: one time has one run. */
  runId({ timeMs }: ScheduledTime): string {
    return `${this.name}@${rfc3339(timeMs)}`;
  }

  inputOf({ timeMs, date }: ScheduledTime): JsonValue {
    return { ...this.#input, schedule: { name: this.name, time: rfc3339(timeMs), date } };
  }
}

/** RFC 3339 without fractions of a second: cron and calendars have none. */
export const rfc3339 = (timeMs: number): string => new Date(timeMs).toISOString().replace(/\.\d+Z$/, 'Z');
