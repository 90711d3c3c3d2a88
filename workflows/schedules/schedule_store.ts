import type { SqlExecutor, SqlStatement } from '#feature_store/database/sql_executor';
import { ScheduleNotFoundError } from '../errors.ts';
import { DUE_CHANNEL } from '../store/frame_store.ts';
import { ACTIVE_OF_SCHEDULE, type NewRun, startStatements } from '../store/workflow_store.ts';
import type { Schedule } from './schedule.ts';

/** A schedule as the workers keep it. Times are RFC 3339. */
export interface ScheduleRecord {
  readonly name: string;
  readonly workflow: string;
  readonly paused: boolean;
  /** The last time that was handled. */
  readonly lastTime: string | null;
  /** Null at the end of a calendar's data. */
  readonly nextTime: string | null;
}

/** A time that is waited for, ms, and when its run starts. */
export interface NextTime {
  readonly timeMs: number;
  readonly dueMs: number;
}

/** What callers do with schedules. */
export interface ScheduleStore {
  list(): Promise<readonly ScheduleRecord[]>;
  /** From now on its times pass without runs. */
  pause(name: string): Promise<void>;
  /** Runs it again, from `next` on: times of the pause are not caught up. */
  resume(name: string, next: NextTime | undefined): Promise<void>;
}

/** A schedule's row as a worker reads it. */
export interface WaitingSchedule {
  readonly name: string;
  readonly timing: string;
  readonly timeMs: number | null;
  readonly dueMs: number | null;
  readonly paused: boolean;
}

const MS_OF = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;
const iso = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());
const CHANGED = 'changed_at = now()';

/** Returns the schedules of a database, for callers. */
export const sqlScheduleStore = (sql: SqlExecutor): ScheduleStore => new SqlScheduleStore(sql);

/** Schedules, and the times that they wait for. */
export class SqlScheduleStore implements ScheduleStore {
  readonly #sql: SqlExecutor;

  constructor(sql: SqlExecutor) {
    this.#sql = sql;
  }

  list(): Promise<readonly ScheduleRecord[]> {
    return this.#sql.query<ScheduleRecord>(
      `SELECT name, workflow, paused, to_json(last_time)#>>'{}' AS "lastTime", to_json(next_time)#>>'{}' AS "nextTime"
       FROM workflow_schedules ORDER BY name`,
    );
  }

  async pause(name: string): Promise<void> {
    await this.#change(name, 'paused = true', []);
  }

  async resume(name: string, next: NextTime | undefined): Promise<void> {
    await this.#change(
      name,
      `next_time = CASE WHEN paused THEN $2::timestamptz ELSE next_time END, due = CASE WHEN paused THEN $3::timestamptz ELSE due END, paused = false`,
      [iso(next?.timeMs), iso(next?.dueMs)],
    );
  }

  async #change(name: string, set: string, parameters: readonly unknown[]): Promise<void> {
    const changed = await this.#sql.query(
      `UPDATE workflow_schedules SET ${set}, ${CHANGED} WHERE name = $1 RETURNING name`,
      [name, ...parameters],
    );
    if (changed.length === 0)
      throw new ScheduleNotFoundError(
        name,
        (await this.list()).map((each) => each.name),
      );
  }

  /** Writes a schedule as this worker has it. One whose times are the same keeps the time it waits for. */
  async register(schedule: Schedule, next: NextTime | undefined): Promise<void> {
    await this.#sql.query(
      `INSERT INTO workflow_schedules AS s (name, workflow, definition, next_time, due)
       VALUES ($1, $2, $3::jsonb, $4::timestamptz, $5::timestamptz)
       ON CONFLICT (name) DO UPDATE SET workflow = EXCLUDED.workflow, definition = EXCLUDED.definition, ${CHANGED},
         next_time = CASE WHEN s.definition->>'timing' = EXCLUDED.definition->>'timing' THEN coalesce(s.next_time, EXCLUDED.next_time) ELSE EXCLUDED.next_time END,
         due = CASE WHEN s.definition->>'timing' = EXCLUDED.definition->>'timing' THEN coalesce(s.due, EXCLUDED.due) ELSE EXCLUDED.due END
       WHERE s.definition IS DISTINCT FROM EXCLUDED.definition OR s.next_time IS NULL`,
      [
        ...[schedule.name, schedule.workflow],
        JSON.stringify({ timing: schedule.timing, ...schedule.settings }),
        ...[iso(next?.timeMs), iso(next?.dueMs)],
      ],
    );
  }

  waiting(names: readonly string[]): Promise<readonly WaitingSchedule[]> {
    return this.#sql.query<WaitingSchedule>(
      `SELECT name, definition->>'timing' AS timing, ${MS_OF('next_time')} AS "timeMs", ${MS_OF('due')} AS "dueMs", paused
       FROM workflow_schedules WHERE name = ANY($1::text[])`,
      [names],
    );
  }

  /**
   * Moves a schedule on from the time it waits for, and starts the runs, in one transaction: of several workers one does it, and a worker that dies has
   * done all of it or nothing.
   *
   * @returns how many runs are new; undefined where another worker was faster, or the schedule must wait
   */
  async fire(
    schedule: Schedule,
    waited: NextTime,
    {
      runs,
      lastMs,
      next,
    }: { readonly runs: readonly NewRun[]; readonly lastMs: number; readonly next: NextTime | undefined },
  ): Promise<number | undefined> {
    const { name, workflow, timing, overlap } = schedule;
    const waits =
      overlap === 'queue' ? `AND NOT EXISTS (${ACTIVE_OF_SCHEDULE('$7', '$1')})` : 'AND $7::text IS NOT NULL';
    const advance: SqlStatement = {
      text: `UPDATE workflow_schedules SET last_time = $4::timestamptz, next_time = $5::timestamptz, due = $6::timestamptz
             WHERE name = $1 AND next_time = $2::timestamptz AND NOT paused AND definition->>'timing' = $3 ${waits} RETURNING name`,
      parameters: [name, iso(waited.timeMs), timing, iso(lastMs), iso(next?.timeMs), iso(next?.dueMs), workflow],
      mustReturn: true,
    };
    const statements: SqlStatement[] = [advance];
    const inserts: number[] = [];
    for (const run of runs) {
      const { insert, statements: starting } = startStatements(run, overlap === 'skip' ? name : null);
      for (const statement of starting) {
        if (statement === insert) inserts.push(statements.length);
        // A time that a back-fill has run already is not run again.
        statements.push({ ...statement, mustReturn: false });
      }
    }
    const answers = await this.#sql.transaction(statements);
    if (answers === undefined) return undefined;
    if (runs.length > 0 && this.#sql.listen !== undefined)
      await this.#sql.query(`SELECT pg_notify('${DUE_CHANNEL}', '')`);
    return inserts.filter((index) => (answers[index]?.length ?? 0) > 0).length;
  }
}
