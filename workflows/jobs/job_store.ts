import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { JsonValue } from '#kernel/json';
import type { Failure } from '../interpreter/decision.ts';
import type { TaskResult } from '../tasks/task.ts';

/** What a Job has to do. */
export interface JobOrder {
  readonly key: string;
  readonly run: string;
  readonly path: string;
  readonly state: string;
  readonly attempt: number;
  readonly workflow: string;
  readonly task: string;
  readonly token: string | null;
  readonly input: JsonValue;
}

/** What a Job has come to. */
export type JobResult = TaskResult | Failure;

/** Orders and results of Jobs, in the offline database. */
export class JobStore {
  readonly #sql: SqlExecutor;

  constructor(sql: SqlExecutor) {
    this.#sql = sql;
  }

  /** Keeps an order; one that is kept already stays, with its result. */
  async order({ key, run, path, state, attempt, workflow, task, token, input }: JobOrder): Promise<void> {
    await this.#sql.query(
      `INSERT INTO workflow_jobs (key, run_id, path, state, attempt, workflow, task, token, input)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb) ON CONFLICT (key) DO NOTHING`,
      [key, run, path, state, attempt, workflow, task, token, JSON.stringify(input)],
    );
  }

  async read(key: string): Promise<JobOrder | undefined> {
    const [row] = await this.#sql.query<JobOrder>(
      `SELECT key, run_id AS run, path, state, attempt, workflow, task, token, input FROM workflow_jobs WHERE key = $1`,
      [key],
    );
    return row;
  }

  /** Returns how far a Job has come; undefined when its run was deleted. */
  async progress(key: string): Promise<{ readonly result: JobResult | null; readonly heartbeats: number } | undefined> {
    const [row] = await this.#sql.query<{ readonly result: JobResult | null; readonly heartbeats: number }>(
      'SELECT result, heartbeats FROM workflow_jobs WHERE key = $1',
      [key],
    );
    return row;
  }

  /** Keeps the first result of a Job. */
  async end(key: string, result: JobResult): Promise<void> {
    await this.#sql.query('UPDATE workflow_jobs SET result = $2::jsonb WHERE key = $1 AND result IS NULL', [
      key,
      JSON.stringify(result),
    ]);
  }

  async heartbeat(key: string): Promise<void> {
    await this.#sql.query('UPDATE workflow_jobs SET heartbeats = heartbeats + 1 WHERE key = $1', [key]);
  }

  /** Whether the run still waits for this attempt: it was not cancelled, and the step has not failed. */
  async isAwaited({ run, path, state, attempt }: JobOrder): Promise<boolean> {
    const rows = await this.#sql.query(
      `SELECT 1 FROM workflow_frames
       WHERE run_id = $1 AND path = $2 AND status = 'open' AND state = $3 AND coalesce((attempts->>state)::integer, 1) = $4`,
      [run, path, state, attempt],
    );
    return rows.length > 0;
  }
}
