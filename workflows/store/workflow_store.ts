import type { SqlExecutor, SqlStatement } from '#feature_store/database/sql_executor';
import type { JsonValue } from '#kernel/json';
import { unstorableTextIn } from '#kernel/text/unstorable_text';
import type { LogLine, RunEvent, RunOrigin, RunRecord, RunStatus, TokenAnswer } from '#kernel/workflow_runs';
import { machineAt, taskOf, type WorkflowDocument } from '../document/document.ts';
import type { RunLimits } from '../document/run_limits.ts';
import { RunConflictError, RunNotFoundError, RunRefusedError, RunStateError, WorkflowValueError } from '../errors.ts';
import { lineageOfRun } from '../lineage/lineage_store.ts';
import type { LineageOfRun } from '../lineage/open_lineage.ts';
import { admitStatements, lockWorkflow } from './admission.ts';
import { DUE_CHANNEL } from './frame_store.ts';
import { redriven } from './redrive.ts';
import { isLimited, mayBeRefused, refusalParameters, refusalQuery } from './run_limits.ts';

export interface NewRun {
  readonly id: string;
  readonly workflow: string;
  /** Its tasks are named with their versions. */
  readonly document: WorkflowDocument;
  readonly input: JsonValue;
  readonly origin: RunOrigin;
  readonly concurrencyKey?: string;
  readonly limits?: RunLimits;
}

export interface RunFilter {
  readonly workflow?: string | undefined;
  readonly status?: RunStatus | undefined;
  readonly limit?: number;
}

/** Which state an answer is for. */
export interface AnswerTo {
  readonly token?: string | undefined;
  readonly run?: string | undefined;
  /** Of the run's states that wait for a token; needed where several do. */
  readonly state?: string | undefined;
}

/** Runs of workflows, as callers see them. */
export interface WorkflowStore {
  /**
   * Starts a run, or queues it; an id that exists with the same workflow and input is that run.
   *
   * @returns whether it is new
   * @throws {@link RunRefusedError} where the workflow's settings allow no further run now
   */
  startRun(run: NewRun): Promise<boolean>;
  get(id: string): Promise<RunRecord>;
  list(filter?: RunFilter): Promise<readonly RunRecord[]>;
  history(id: string): Promise<readonly RunEvent[]>;
  /** Lines after `after`, the oldest first. */
  logs(id: string, after?: number, limit?: number): Promise<readonly LogLine[]>;
  document(id: string): Promise<WorkflowDocument>;
  /** What a run has read and made. */
  lineage(id: string): Promise<LineageOfRun>;
  /** Cancels a run that is queued or runs. */
  cancel(id: string, by: string, reason: string): Promise<void>;
  /** Runs a run again from the states that failed or were cancelled; those that succeeded keep their results. */
  redrive(id: string, by: string): Promise<void>;
  /** Answers a state that waits for a token. @returns the state */
  answer(to: AnswerTo, answer: TokenAnswer, by: string): Promise<{ readonly run: string; readonly state: string }>;
  /** Extends the time of a state that waits for a token by its HeartbeatSeconds. */
  heartbeat(token: string): Promise<void>;
  /** Deletes runs that ended so long ago, with their history and logs. @returns how many */
  deleteEndedBefore(ageMs: number): Promise<number>;
  /** Ends runs whose TimeoutSeconds have passed. @returns their ids */
  timeOut(): Promise<readonly string[]>;
  /** Starts queued runs that the limits allow. */
  admit(): Promise<void>;
  statistics(tasks: readonly string[]): Promise<WorkflowStatistics>;
}

/** What metrics and alerts show of all runs. */
export interface WorkflowStatistics {
  readonly runs: readonly { readonly workflow: string; readonly status: string; readonly runs: number }[];
  /** Age of the oldest step that is due and that no worker has taken, s. */
  readonly oldestDueSeconds: number;
  /** Age of the oldest queued run of each workflow, s. */
  readonly queued: readonly { readonly workflow: string; readonly seconds: number }[];
  /** Tasks that steps need and that this worker does not have. */
  readonly missingTasks: readonly { readonly task: string; readonly steps: number }[];
}

const MOST_INPUT_CHARS = 1_048_576;
const DEFAULT_ROWS = 50;
const MOST_ROWS = 10_000;

const RUN_COLUMNS = `r.id, r.workflow, r.status, r.input, r.output, r.error, r.cause, r.origin, r.concurrency_key AS "concurrencyKey",
  to_json(r.queued_at)#>>'{}' AS "queuedAt", to_json(r.started_at)#>>'{}' AS "startedAt", to_json(r.ended_at)#>>'{}' AS "endedAt",
  coalesce((
    SELECT jsonb_agg(jsonb_build_object('path', f.path, 'state', f.state, 'phase', f.phase, 'task', f.task) ORDER BY f.path)
    FROM workflow_frames f WHERE f.run_id = r.id AND f.status = 'open' AND f.phase <> 'join' AND r.status = 'running'
  ), '[]') AS at`;

export const sqlWorkflowStore = (sql: SqlExecutor, onDue: () => void = () => {}): WorkflowStore =>
  new SqlWorkflowStore(sql, onDue);

class SqlWorkflowStore implements WorkflowStore {
  readonly #sql: SqlExecutor;
  readonly #onDue: () => void;

  constructor(sql: SqlExecutor, onDue: () => void) {
    this.#sql = sql;
    this.#onDue = onDue;
  }

  async startRun(run: NewRun): Promise<boolean> {
    const { insert, isSerialized, statements } = startStatements(run);
    const isNew = isSerialized
      ? (await this.#sql.transaction(statements)) !== undefined
      : (await this.#sql.query(insert.text, insert.parameters)).length > 0;
    if (!isNew) await this.#checkSame(run);
    else await this.#announce();
    return isNew;
  }

  async #checkSame({ id, workflow, input, concurrencyKey = '', limits = {} }: NewRun): Promise<void> {
    const [found] = await this.#sql.query<{ readonly workflow: string; readonly same: boolean }>(
      'SELECT workflow, input = $2::jsonb AS same FROM workflow_runs WHERE id = $1',
      [id, JSON.stringify(input)],
    );
    if (found === undefined) {
      const [refused] = await this.#sql.query<{ readonly reason: string }>(
        refusalQuery(1),
        refusalParameters(workflow, concurrencyKey, limits),
      );
      throw new RunRefusedError(workflow, refused?.reason ?? 'a run that was active has just ended');
    }
    if (found.workflow !== workflow) throw new RunConflictError(id, `workflow "${found.workflow}"`);
    if (!found.same) throw new RunConflictError(id, 'another input');
  }

  /** Wakes the workers of this process, and of others. */
  async #announce(): Promise<void> {
    this.#onDue();
    if (this.#sql.listen !== undefined) await this.#sql.query(`SELECT pg_notify('${DUE_CHANNEL}', '')`);
  }

  async get(id: string): Promise<RunRecord> {
    const [run] = await this.#sql.query<RunRecord>(`SELECT ${RUN_COLUMNS} FROM workflow_runs r WHERE r.id = $1`, [id]);
    if (run === undefined) throw new RunNotFoundError(id);
    return run;
  }

  list({ workflow, status, limit = DEFAULT_ROWS }: RunFilter = {}): Promise<readonly RunRecord[]> {
    return this.#sql.query<RunRecord>(
      `SELECT ${RUN_COLUMNS} FROM workflow_runs r
       WHERE ($1::text IS NULL OR r.workflow = $1) AND ($2::text IS NULL OR r.status = $2)
       ORDER BY r.queued_at DESC, r.id LIMIT $3`,
      [workflow ?? null, status ?? null, Math.min(limit, MOST_ROWS)],
    );
  }

  async history(id: string): Promise<readonly RunEvent[]> {
    await this.#require(id);
    return this.#sql.query<RunEvent>(
      `SELECT n::float8 AS n, to_json(at)#>>'{}' AS at, path, state, attempt, kind, detail FROM workflow_events
       WHERE run_id = $1 ORDER BY n`,
      [id],
    );
  }

  async logs(id: string, after = 0, limit = MOST_ROWS): Promise<readonly LogLine[]> {
    await this.#require(id);
    return this.#sql.query<LogLine>(
      `SELECT n::float8 AS n, to_json(at)#>>'{}' AS at, path, state, attempt, stream, line FROM workflow_logs
       WHERE run_id = $1 AND n > $2 ORDER BY n LIMIT $3`,
      [id, after, Math.min(limit, MOST_ROWS)],
    );
  }

  async document(id: string): Promise<WorkflowDocument> {
    const [run] = await this.#sql.query<{ readonly document: WorkflowDocument }>(
      'SELECT document FROM workflow_runs WHERE id = $1',
      [id],
    );
    if (run === undefined) throw new RunNotFoundError(id);
    return run.document;
  }

  async #require(id: string): Promise<{ readonly status: RunStatus; readonly workflow: string }> {
    const [run] = await this.#sql.query<{ readonly status: RunStatus; readonly workflow: string }>(
      'SELECT status, workflow FROM workflow_runs WHERE id = $1',
      [id],
    );
    if (run === undefined) throw new RunNotFoundError(id);
    return run;
  }

  async cancel(id: string, by: string, reason: string): Promise<void> {
    checkStorable('reason', reason);
    const { status, workflow } = await this.#require(id);
    const done = await this.#sql.transaction([
      {
        text: `UPDATE workflow_runs SET status = 'cancelled', error = 'Cancelled', cause = $2, ended_at = now()
               WHERE id = $1 AND status IN ('queued', 'running') RETURNING id`,
        parameters: [id, reason],
        mustReturn: true,
      },
      ...closeFrames(id),
      {
        text: `INSERT INTO workflow_events (run_id, kind, detail) VALUES ($1, 'run_cancelled', jsonb_build_object('by', $2::text, 'reason', $3::text))`,
        parameters: [id, by, reason],
      },
      ...admitStatements(workflow),
    ]);
    if (done === undefined) throw new RunStateError(id, status, 'cancel', 'a run that is queued or runs');
    await this.#announce();
  }

  async redrive(id: string, by: string): Promise<void> {
    const { status } = await this.#require(id);
    const refused = (): RunStateError =>
      new RunStateError(id, status, 'redrive', 'a run that has failed, timed out or was cancelled');
    if (!['failed', 'timed_out', 'cancelled'].includes(status)) throw refused();
    const frames = await this.#sql.query<Parameters<typeof redriven>[0][number]>(
      `SELECT path, parent_path AS "parentPath", parent_step AS "parentStep", step, phase, status FROM workflow_frames WHERE run_id = $1`,
      [id],
    );
    const { entered, joined } = redriven(frames);
    const done = await this.#sql.transaction([
      {
        text: `UPDATE workflow_runs SET status = 'running', error = NULL, cause = NULL, ended_at = NULL, lineage_sent_at = NULL,
                 started_at = coalesce(started_at, now()), deadline = now() + timeout_ms * interval '1 millisecond'
               WHERE id = $1 AND status IN ('failed', 'timed_out', 'cancelled') RETURNING id`,
        parameters: [id],
        mustReturn: true,
      },
      {
        text: `UPDATE workflow_frames SET status = 'open', phase = 'enter', retries = '[]', error = NULL, cause = NULL, claims = 0,
                 started_at = NULL, token = NULL, answer = NULL, fence = fence + 1, owner = NULL, due = now(),
                 attempts = jsonb_set(attempts, ARRAY[state], to_jsonb(coalesce((attempts->>state)::integer, 1) + 1))
               WHERE run_id = $1 AND path = ANY($2::text[])`,
        parameters: [id, entered],
      },
      {
        text: `UPDATE workflow_frames f SET status = 'open', error = NULL, cause = NULL, claims = 0, fence = fence + 1, owner = NULL,
                 due = CASE WHEN j.pending = 0 THEN now() ELSE 'infinity' END, pending = j.pending
               FROM jsonb_to_recordset($2::jsonb) AS j(path text, pending integer) WHERE f.run_id = $1 AND f.path = j.path`,
        parameters: [id, JSON.stringify(joined)],
      },
      {
        text: `INSERT INTO workflow_events (run_id, kind, detail) VALUES ($1, 'run_redriven', jsonb_build_object('by', $2::text))`,
        parameters: [id, by],
      },
    ]);
    if (done === undefined) throw refused();
    await this.#announce();
  }

  async answer(
    { token, run, state }: AnswerTo,
    answer: TokenAnswer,
    by: string,
  ): Promise<{ run: string; state: string }> {
    checkStorable('answer', answer as unknown as JsonValue);
    for (const given of [token, run, state]) if (given !== undefined) checkStorable('state to answer', given);
    const waiting = await this.#sql.query<{ readonly token: string; readonly run: string; readonly state: string }>(
      `SELECT token, run_id AS run, state FROM workflow_frames
       WHERE status = 'open' AND token IS NOT NULL AND answer IS NULL
         AND ($1::text IS NULL OR token = $1) AND ($2::text IS NULL OR run_id = $2) AND ($3::text IS NULL OR state = $3) LIMIT 2`,
      [token ?? null, run ?? null, state ?? null],
    );
    const [only, other] = waiting;
    const what = run === undefined ? 'the token' : `run "${run}"`;
    if (only === undefined) {
      if (run !== undefined) await this.#require(run);
      const of = state === undefined ? '' : ` "${state}"`;
      throw new WorkflowValueError(what, `no state${of} waits for an answer: it has one, or the run has moved on`);
    }
    if (other !== undefined) {
      throw new WorkflowValueError(
        what,
        `several states wait for an answer (${only.state}, ${other.state}); name the state, or its token`,
      );
    }
    // The first answer counts.
    const [answered] = await this.#sql.query(
      `WITH answered AS (
         UPDATE workflow_frames SET answer = $2::jsonb, due = CASE WHEN phase = 'token' THEN now() ELSE due END
         WHERE token = $1 AND status = 'open' AND answer IS NULL RETURNING run_id, path, state
       ), signal AS (
         INSERT INTO workflow_signals (run_id, path, state, token, answer, by) SELECT run_id, path, state, $1, $2::jsonb, $3 FROM answered
       ), logged AS (
         INSERT INTO workflow_events (run_id, path, state, kind, detail)
         SELECT run_id, path, state, 'answered', jsonb_build_object('by', $3::text, 'answer', $2::jsonb) FROM answered
       ) SELECT 1 FROM answered`,
      [only.token, JSON.stringify(answer), by],
    );
    if (answered === undefined) throw new WorkflowValueError(what, 'it was answered just before');
    await this.#announce();
    return { run: only.run, state: only.state };
  }

  async heartbeat(token: string): Promise<void> {
    const [kept] = await this.#sql.query(
      `UPDATE workflow_frames SET due = CASE WHEN phase = 'token' AND heartbeat_ms IS NOT NULL
         THEN least(token_deadline, now() + heartbeat_ms * interval '1 millisecond') ELSE due END
       WHERE token = $1 AND status = 'open' AND answer IS NULL RETURNING 1`,
      [token],
    );
    if (kept === undefined) throw new WorkflowValueError('heartbeat', 'no state waits with this token');
  }

  async deleteEndedBefore(ageMs: number): Promise<number> {
    const old = `SELECT id FROM workflow_runs WHERE ended_at < now() - $1 * interval '1 millisecond'`;
    const answers = await this.#sql.transaction([
      ...['workflow_events', 'workflow_signals', 'workflow_logs'].map((table) => ({
        text: `DELETE FROM ${table} WHERE run_id IN (${old})`,
        parameters: [ageMs],
      })),
      { text: `DELETE FROM workflow_runs WHERE id IN (${old}) RETURNING id`, parameters: [ageMs] },
    ]);
    return answers?.at(-1)?.length ?? 0;
  }

  async timeOut(): Promise<readonly string[]> {
    const late = await this.#sql.query<{ readonly id: string; readonly workflow: string }>(
      `SELECT id, workflow FROM workflow_runs WHERE status = 'running' AND deadline <= now() ORDER BY deadline LIMIT 100`,
    );
    const ended: string[] = [];
    for (const { id, workflow } of late) {
      const done = await this.#sql.transaction([
        {
          text: `UPDATE workflow_runs SET status = 'timed_out', error = 'States.Timeout', cause = 'TimeoutSeconds of the workflow have passed', ended_at = now()
                 WHERE id = $1 AND status = 'running' AND deadline <= now() RETURNING id`,
          parameters: [id],
          mustReturn: true,
        },
        ...closeFrames(id),
        { text: `INSERT INTO workflow_events (run_id, kind) VALUES ($1, 'run_timed_out')`, parameters: [id] },
        ...admitStatements(workflow),
      ]);
      if (done !== undefined) ended.push(id);
    }
    return ended;
  }

  async lineage(id: string): Promise<LineageOfRun> {
    const found = await lineageOfRun(this.#sql, id);
    if (found === undefined) throw new RunNotFoundError(id);
    return found;
  }

  async admit(): Promise<void> {
    const workflows = await this.#sql.query<{ readonly workflow: string }>(
      `SELECT DISTINCT workflow FROM workflow_runs WHERE status = 'queued'`,
    );
    for (const { workflow } of workflows) await this.#sql.transaction(admitStatements(workflow));
  }

  async statistics(tasks: readonly string[]): Promise<WorkflowStatistics> {
    const [runs, [due], queued, missingTasks] = await Promise.all([
      this.#sql.query<WorkflowStatistics['runs'][number]>(
        `SELECT workflow, status, count(*)::integer AS runs FROM workflow_runs WHERE status IN ('queued', 'running') GROUP BY 1, 2`,
      ),
      this.#sql.query<{ readonly seconds: number }>(
        `SELECT coalesce(extract(epoch FROM now() - min(due)), 0)::float8 AS seconds FROM workflow_frames
         WHERE status = 'open' AND due <= now() AND (task IS NULL OR task = ANY($1::text[]))`,
        [tasks],
      ),
      this.#sql.query<WorkflowStatistics['queued'][number]>(
        `SELECT workflow, extract(epoch FROM now() - min(queued_at))::float8 AS seconds FROM workflow_runs WHERE status = 'queued' GROUP BY 1`,
      ),
      this.#sql.query<WorkflowStatistics['missingTasks'][number]>(
        `SELECT task, count(*)::integer AS steps FROM workflow_frames
         WHERE status = 'open' AND due <= now() AND task IS NOT NULL AND NOT task = ANY($1::text[]) GROUP BY 1 ORDER BY 1`,
        [tasks],
      ),
    ]);
    return { runs, oldestDueSeconds: due?.seconds ?? 0, queued, missingTasks };
  }
}

/** Runs of a schedule that are queued or run, besides those of a back-fill. */
export const ACTIVE_OF_SCHEDULE = (workflow: string, schedule: string): string =>
  `SELECT 1 FROM workflow_runs a WHERE a.workflow = ${workflow} AND a.status IN ('queued', 'running') AND a.origin->>'kind' <> 'backfill' AND a.origin->>'schedule' = ${schedule}`;

/**
 * Returns the statements that start a run, or queue it; the insert returns a row where the run is new.
 *
 * @param unlessActiveOf - a schedule: while one of its runs is queued or runs, nothing is started
 */
export function startStatements(
  run: NewRun,
  unlessActiveOf: string | null = null,
): { readonly insert: SqlStatement; readonly isSerialized: boolean; readonly statements: readonly SqlStatement[] } {
  const { id, workflow, document, input, origin, concurrencyKey = '', limits = {} } = run;
  checkStorable(`id of a run of ${workflow}`, id);
  checkStorable(`input of run "${id}"`, input);
  checkStorable(`concurrency key of run "${id}"`, concurrencyKey);
  const isSerialized = isLimited(limits);
  const isRefusable = mayBeRefused(limits);
  const timeoutMs = document.TimeoutSeconds === undefined ? null : document.TimeoutSeconds * 1_000;
  const insert: SqlStatement = {
    text: `
WITH run AS (
  INSERT INTO workflow_runs (id, workflow, document, input, status, origin, concurrency_key, most_runs, most_runs_of_key, timeout_ms, started_at, deadline)
  SELECT $1::text, $2::text, $3::jsonb, $4::jsonb, $5::text, $6::jsonb, $7::text, $8::integer, $9::integer, $10::bigint,
  CASE WHEN $5 = 'running' THEN now() END, CASE WHEN $5 = 'running' THEN now() + $10::bigint * interval '1 millisecond' END
  WHERE ($13::text IS NULL OR NOT EXISTS (${ACTIVE_OF_SCHEDULE('$2', '$13')})) ${isRefusable ? `AND NOT EXISTS (${refusalQuery(14)})` : ''}
  ON CONFLICT (id) DO NOTHING RETURNING id
), logged AS (
  INSERT INTO workflow_events (run_id, kind, detail)
  SELECT id, CASE WHEN $5 = 'running' THEN 'run_started' ELSE 'run_queued' END, jsonb_build_object('input', $4::jsonb, 'origin', $6::jsonb) FROM run
)
INSERT INTO workflow_frames (run_id, path, machine, state, task, input, due)
SELECT id, '', '[]', $11, $12, $4::jsonb, CASE WHEN $5 = 'running' THEN now() ELSE 'infinity' END FROM run
RETURNING run_id`,
    parameters: [
      ...[id, workflow, JSON.stringify(document), JSON.stringify(input), isSerialized ? 'queued' : 'running'],
      ...[JSON.stringify(origin), concurrencyKey, limits.mostRuns ?? null, limits.mostRunsOfKey ?? null, timeoutMs],
      ...[document.StartAt, taskOfState(document, document.StartAt), unlessActiveOf],
      ...(isRefusable ? refusalParameters(workflow, concurrencyKey, limits) : []),
    ],
    mustReturn: true,
  };
  const statements = isSerialized ? [lockWorkflow(workflow), insert, ...admitStatements(workflow)] : [insert];
  return { insert, isSerialized, statements };
}

/** Cancels the open frames of a run: branches before the states that wait for them, the order in which they end. */
const closeFrames = (id: string): readonly SqlStatement[] => [
  {
    text: `SELECT 1 FROM workflow_frames WHERE run_id = $1 AND status = 'open' ORDER BY length(path) DESC, path FOR UPDATE`,
    parameters: [id],
  },
  {
    text: `UPDATE workflow_frames SET status = 'cancelled', fence = fence + 1, due = 'infinity', owner = NULL WHERE run_id = $1 AND status = 'open'`,
    parameters: [id],
  },
];

/** Returns the task of a state of a machine; null for states of other types. */
export function taskOfState(
  document: WorkflowDocument,
  state: string,
  pointer: readonly (string | number)[] = [],
): string | null {
  const found = machineAt(document, pointer).States[state];
  return found?.Type === 'Task' ? taskOf(found.Resource).task : null;
}

function checkStorable(what: string, value: JsonValue): void {
  const problem = unstorableTextIn(value);
  if (problem !== undefined) {
    throw new WorkflowValueError(what, `${problem.path === '' ? 'it' : problem.path} ${problem.problem}`);
  }
  const size = JSON.stringify(value).length;
  if (size > MOST_INPUT_CHARS) {
    throw new WorkflowValueError(
      what,
      `it has ${size} characters as JSON; at most ${MOST_INPUT_CHARS}. Pass the place of large data instead`,
    );
  }
}
