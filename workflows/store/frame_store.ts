import type { SqlExecutor, SqlStatement } from '#feature_store/database/sql_executor';
import type { JsonValue } from '#kernel/json';
import { LeaseLostError } from '../errors.ts';
import type { Branch, Failure } from '../interpreter/decision.ts';
import { admitStatements } from './admission.ts';
import type { Due, Frame, FrameEvent, HeldFrame } from './frame.ts';

/** Sent to sessions of PostgreSQL that listen when a frame is due at once. */
export const DUE_CHANNEL = 'headwater_workflows';

/** What a frame becomes when it moves. */
export interface Move {
  readonly state: string;
  readonly phase: Frame['phase'];
  readonly step: number;
  readonly attempts: Readonly<Record<string, number>>;
  readonly retries: readonly number[];
  readonly input: JsonValue;
  readonly task: string | null;
  readonly due: Due;
  /** Whether another state, or another attempt, begins. */
  readonly begins: boolean;
  readonly token?: string | null;
  /** Time limits of the answer that it waits for. */
  readonly tokenTimeoutMs?: number | undefined;
  readonly heartbeatMs?: number | undefined;
  readonly pending?: number;
  readonly events: readonly FrameEvent[];
}

/** How a machine ended. */
export type End = { readonly output: JsonValue } | { readonly failure: Failure };

/** A branch's record, as its Parallel or Map state reads it. */
export interface BranchRecord {
  readonly branch: number;
  readonly status: 'open' | 'succeeded' | 'failed' | 'cancelled';
  readonly output: JsonValue;
  readonly error: string | null;
  readonly cause: string | null;
}

const MS = "interval '1 millisecond'";

const CLAIM = `
WITH next AS (
  SELECT run_id, path FROM workflow_frames
  WHERE status = 'open' AND due <= now() AND (task IS NULL OR task = ANY($3::text[]))
  ORDER BY due LIMIT $4 FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE workflow_frames f
  SET owner = $1, due = now() + $2 * ${MS}, fence = f.fence + 1, claims = f.claims + 1, started_at = coalesce(f.started_at, now())
  FROM next WHERE f.run_id = next.run_id AND f.path = next.path RETURNING f.*
)
SELECT t.run_id AS "runId", t.path, t.parent_path AS "parentPath", t.parent_step AS "parentStep", t.machine, t.item, t.state, t.phase,
  t.step, t.attempts, t.retries, t.input, t.task, to_json(t.entered_at)#>>'{}' AS "enteredAt", t.token, t.answer, t.fence::text AS fence, t.claims,
  (extract(epoch FROM now() - t.started_at) * 1000)::float8 AS "runningMs",
  coalesce(t.token_deadline <= now(), false) AS "isTokenLate",
  r.workflow, r.document, r.input AS "runInput", to_json(r.started_at)#>>'{}' AS "runStartedAt",
  (r.most_runs IS NOT NULL OR r.most_runs_of_key IS NOT NULL) AS "isLimited"
FROM taken t JOIN workflow_runs r ON r.id = t.run_id`;

const EVENTS = `
  INSERT INTO workflow_events (run_id, path, state, attempt, kind, detail)
  SELECT $1, $2, e.state, e.attempt, e.kind, e.detail
  FROM moved, jsonb_to_recordset($4::jsonb) AS e(state text, attempt integer, kind text, detail jsonb)`;

const MOVE = `
WITH moved AS (
  UPDATE workflow_frames SET
    state = $5, phase = $6, step = $7, attempts = $8::jsonb, retries = $9::jsonb, input = $10::jsonb, task = $11,
    entered_at = CASE WHEN step <> $7 THEN clock_timestamp() ELSE entered_at END,
    started_at = CASE WHEN $12::boolean THEN CASE WHEN $13::text = 'hold' THEN clock_timestamp() END ELSE started_at END,
    token = $15,
    token_deadline = now() + $16::bigint * ${MS},
    heartbeat_ms = $17::bigint,
    answer = CASE WHEN token IS NOT DISTINCT FROM $15 THEN answer END,
    due = CASE $13::text
      WHEN 'hold' THEN now() + $14::float8 * ${MS}
      WHEN 'in' THEN now() + $14::float8 * ${MS}
      WHEN 'until' THEN to_timestamp($14::float8 / 1000)
      WHEN 'token' THEN CASE
        WHEN token IS NOT DISTINCT FROM $15 AND answer IS NOT NULL THEN now()
        ELSE least(now() + $16::bigint * ${MS}, now() + $17::bigint * ${MS}, 'infinity') END
      ELSE 'infinity' END,
    owner = CASE WHEN $13::text = 'hold' THEN owner END,
    claims = 0, pending = $18::integer
  WHERE run_id = $1 AND path = $2 AND fence = $3::bigint AND status = 'open' RETURNING run_id
), logged AS (${EVENTS})
SELECT run_id FROM moved`;

const END_FRAME = `
  UPDATE workflow_frames SET status = $5, output = $6::jsonb, error = $7, cause = $8, due = 'infinity', owner = NULL, claims = 0,
    token = NULL, answer = NULL
  WHERE run_id = $1 AND path = $2 AND fence = $3::bigint AND status = 'open' RETURNING run_id, parent_path, parent_step`;

const END_BRANCH = `WITH moved AS (${END_FRAME}), logged AS (${EVENTS}) SELECT run_id FROM moved`;

const END_RUN = `
WITH moved AS (${END_FRAME}), logged AS (${EVENTS}), ended AS (
  UPDATE workflow_runs r SET status = $5, output = $6::jsonb, error = $7, cause = $8, ended_at = now()
  FROM moved WHERE r.id = moved.run_id AND r.status = 'running'
)
SELECT run_id FROM moved`;

/** The last branch, or one that failed, wakes the state that waits for them. */
const TELL_PARENT = `
UPDATE workflow_frames SET pending = pending - 1, due = CASE WHEN pending <= 1 OR $4::boolean THEN now() ELSE due END
WHERE run_id = $1 AND path = $2 AND step = $3 AND phase = 'join' AND status = 'open'`;

/** With a limit of branches at a time, the end of one starts the next. */
const START_NEXT_BRANCH = `
UPDATE workflow_frames SET due = now() WHERE run_id = $1 AND path = (
  SELECT path FROM workflow_frames
  WHERE run_id = $1 AND parent_path = $2 AND parent_step = $3 AND status = 'open' AND phase = 'enter' AND due = 'infinity'
  ORDER BY branch LIMIT 1 FOR UPDATE)`;

const ADD_BRANCHES = `
INSERT INTO workflow_frames (run_id, path, parent_path, parent_step, branch, machine, item, state, task, input, due)
SELECT $1, b.path, $2, $3, b.branch, b.machine, b.item, b.state, b.task, b.input,
  CASE WHEN b.branch < $5 THEN now() ELSE 'infinity' END
FROM jsonb_to_recordset($4::jsonb)
  AS b(path text, branch integer, machine jsonb, item jsonb, state text, task text, input jsonb)`;

/** Frames below a path; a higher fence takes them from their workers. */
const CANCEL_BELOW = `
UPDATE workflow_frames SET status = 'cancelled', fence = fence + 1, due = 'infinity', owner = NULL
WHERE run_id = $1 AND starts_with(path, $2) AND path <> $2 AND status = 'open'`;

/** A branch with where it begins. */
export interface NewBranch extends Branch {
  readonly path: string;
  readonly state: string;
  readonly task: string | null;
}

/** The frames of runs in SQL: claims, leases, and moves that only the newest claim may commit. */
export class FrameStore {
  readonly #sql: SqlExecutor;
  readonly #leaseMs: number;

  constructor(sql: SqlExecutor, settings: { readonly leaseMs: number }) {
    this.#sql = sql;
    this.#leaseMs = settings.leaseMs;
  }

  /** Takes frames that are due and whose tasks this worker has. */
  claim(owner: string, tasks: readonly string[], limit: number): Promise<readonly HeldFrame[]> {
    return this.#sql.query<HeldFrame>(CLAIM, [owner, this.#leaseMs, tasks, limit]);
  }

  /**
   * Extends the leases of frames. One that has moved on to a wait has no owner any more, and keeps its time.
   *
   * @returns those that are still held; the others were taken over or cancelled
   */
  extend(
    owner: string,
    frames: readonly Pick<HeldFrame, 'runId' | 'path' | 'fence'>[],
  ): Promise<readonly { readonly runId: string; readonly path: string; readonly fence: string }[]> {
    return this.#sql.query(
      `UPDATE workflow_frames f SET due = now() + $1 * ${MS}
       FROM unnest($2::text[], $3::text[], $4::bigint[]) AS held(run_id, path, fence)
       WHERE f.run_id = held.run_id AND f.path = held.path AND f.fence = held.fence AND f.status = 'open' AND f.owner = $5
       RETURNING f.run_id AS "runId", f.path, f.fence::text AS fence`,
      [
        this.#leaseMs,
        frames.map(({ runId }) => runId),
        frames.map(({ path }) => path),
        frames.map(({ fence }) => fence),
        owner,
      ],
    );
  }

  /** Lets other workers take frames that this one stops working on. */
  async release(owner: string, frames: readonly Pick<HeldFrame, 'runId' | 'path' | 'fence'>[]): Promise<void> {
    if (frames.length === 0) return;
    await this.#sql.query(
      `UPDATE workflow_frames f SET due = now(), owner = NULL, claims = greatest(claims - 1, 0)
       FROM unnest($1::text[], $2::text[], $3::bigint[]) AS held(run_id, path, fence)
       WHERE f.run_id = held.run_id AND f.path = held.path AND f.fence = held.fence AND f.status = 'open' AND f.owner = $4`,
      [frames.map(({ runId }) => runId), frames.map(({ path }) => path), frames.map(({ fence }) => fence), owner],
    );
  }

  /** Releases every frame that is held: for a database that only this process has, which has just started. */
  async releaseAll(): Promise<void> {
    await this.#sql.query(
      `UPDATE workflow_frames SET due = now(), owner = NULL WHERE status = 'open' AND owner IS NOT NULL`,
    );
  }

  /** Returns how long until the next frame is due, ms: 0 for one that is; undefined where none will be by itself. */
  async msUntilDue(tasks: readonly string[]): Promise<number | undefined> {
    const [next] = await this.#sql.query<{ readonly ms: number }>(
      `SELECT greatest(0, extract(epoch FROM due - clock_timestamp()) * 1000)::float8 AS ms FROM workflow_frames
       WHERE status = 'open' AND due < 'infinity' AND (task IS NULL OR task = ANY($1::text[])) ORDER BY due LIMIT 1`,
      [tasks],
    );
    return next?.ms;
  }

  /**
   * Commits a move.
   *
   * @param effects - statements of the step that run in the same transaction
   * @throws {@link LeaseLostError} when the frame was taken over or cancelled; nothing is written then
   */
  async move(frame: HeldFrame, move: Move, effects: readonly SqlStatement[] = []): Promise<void> {
    await this.#commit(frame, [moveStatement(frame, move, this.#leaseMs), ...effects]);
  }

  /** Starts branches, and lets the frame wait for them. */
  async fork(frame: HeldFrame, move: Move, branches: readonly NewBranch[], maxConcurrency: number): Promise<void> {
    const rows = branches.map(({ path, pointer, item, state, task, input }, branch) => ({
      ...{ path, branch, state, task, input, item: item ?? null },
      machine: [...frame.machine, ...pointer],
    }));
    const most = maxConcurrency === 0 ? branches.length : maxConcurrency;
    await this.#commit(frame, [
      moveStatement(frame, { ...move, pending: branches.length }, this.#leaseMs),
      { text: ADD_BRANCHES, parameters: [frame.runId, frame.path, move.step, JSON.stringify(rows), most] },
    ]);
  }

  /** Ends the machine of a frame, and with the run's own machine the run. */
  async end(
    frame: HeldFrame,
    end: End,
    events: readonly FrameEvent[],
    effects: readonly SqlStatement[] = [],
  ): Promise<void> {
    const isFailure = 'failure' in end;
    const ended = {
      parameters: [
        ...[frame.runId, frame.path, frame.fence, JSON.stringify(events), isFailure ? 'failed' : 'succeeded'],
        isFailure ? null : JSON.stringify(end.output),
        isFailure ? end.failure.error : null,
        isFailure ? end.failure.cause : null,
      ],
      mustReturn: true,
    };
    const { parentPath, parentStep } = frame;
    const below = isFailure ? [{ text: CANCEL_BELOW, parameters: [frame.runId, prefixOf(frame.path)] }] : [];
    if (parentPath === null) {
      const admitted = frame.isLimited ? admitStatements(frame.workflow) : [];
      await this.#commit(frame, [{ text: END_RUN, ...ended }, ...below, ...effects, ...admitted]);
      return;
    }
    const parent = [frame.runId, parentPath, parentStep];
    await this.#commit(frame, [
      { text: END_BRANCH, ...ended },
      ...below,
      ...effects,
      { text: TELL_PARENT, parameters: [...parent, isFailure] },
      { text: START_NEXT_BRANCH, parameters: parent },
    ]);
  }

  /** Returns the branches that a frame's state has started. */
  branchesOf(frame: HeldFrame): Promise<readonly BranchRecord[]> {
    return this.#sql.query<BranchRecord>(
      `SELECT branch, status, output, error, cause FROM workflow_frames
       WHERE run_id = $1 AND parent_path = $2 AND parent_step = $3 ORDER BY branch`,
      [frame.runId, frame.path, frame.step],
    );
  }

  /** Cancels what still runs of the branches of a frame. */
  async cancelBranches(frame: HeldFrame): Promise<void> {
    await this.#sql.query(CANCEL_BELOW, [frame.runId, prefixOf(frame.path)]);
  }

  async #commit(frame: HeldFrame, statements: readonly SqlStatement[]): Promise<void> {
    const [only, ...others] = statements;
    const isDone =
      others.length === 0 && only !== undefined
        ? (await this.#sql.query(only.text, only.parameters)).length > 0
        : (await this.#sql.transaction(statements)) !== undefined;
    if (!isDone) throw new LeaseLostError(frame.runId, frame.path);
  }

  /** Tells other processes that a frame is due. */
  async notify(): Promise<void> {
    if (this.#sql.listen !== undefined) await this.#sql.query(`SELECT pg_notify('${DUE_CHANNEL}', '')`);
  }
}

const prefixOf = (path: string): string => (path === '' ? '' : `${path}/`);

function moveStatement(frame: HeldFrame, move: Move, leaseMs: number): SqlStatement {
  const { due } = move;
  const dueMs = due.kind === 'hold' ? leaseMs : due.kind === 'in' || due.kind === 'until' ? due.ms : null;
  return {
    text: MOVE,
    parameters: [
      ...[frame.runId, frame.path, frame.fence, JSON.stringify(move.events), move.state, move.phase, move.step],
      ...[JSON.stringify(move.attempts), JSON.stringify(move.retries), JSON.stringify(move.input), move.task],
      ...[move.begins, due.kind, dueMs, move.token ?? null, move.tokenTimeoutMs ?? null, move.heartbeatMs ?? null],
      move.pending ?? null,
    ],
    mustReturn: true,
  };
}
