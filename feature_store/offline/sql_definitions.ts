import type { AppliedDefinition, ApplyClaim, ApplyState, ApplyStep } from './applied_definitions.ts';
import type { SqlExecutor } from './sql_executor.ts';

// What was applied of the definitions, and the apply that runs, in SQL.

export const readDefinitions = (sql: SqlExecutor): Promise<readonly AppliedDefinition[]> =>
  sql.query<AppliedDefinition>('SELECT kind, id, definition AS data FROM definitions ORDER BY kind, id');

const RECORDS = `jsonb_to_recordset($1::jsonb) AS record(kind text, id text, data jsonb)`;
const REPLACE = `ON CONFLICT (kind, id) DO UPDATE SET definition = excluded.definition, applied_at = now()
  WHERE definitions.definition IS DISTINCT FROM excluded.definition`;

export async function recordDefinitions(sql: SqlExecutor, definitions: readonly AppliedDefinition[]): Promise<void> {
  await sql.query(`INSERT INTO definitions (kind, id, definition) SELECT kind, id, data FROM ${RECORDS} ${REPLACE}`, [
    JSON.stringify(definitions),
  ]);
}

/** One statement, so that definitions and what remains to be done are recorded together or not at all. */
export async function beginApply(sql: SqlExecutor, { owner, replaces, steps, definitions }: ApplyClaim): Promise<boolean> {
  const taken = await sql.query(
    `WITH taken AS (
       INSERT INTO definition_apply (owner, steps) VALUES ($2, $3::jsonb)
       ON CONFLICT (only_one) DO UPDATE SET owner = excluded.owner, steps = excluded.steps, heartbeat_at = now()
       WHERE definition_apply.owner = $4
       RETURNING owner
     ), gone AS (
       DELETE FROM definitions WHERE EXISTS (SELECT FROM taken)
         AND NOT EXISTS (SELECT FROM ${RECORDS} WHERE record.kind = definitions.kind AND record.id = definitions.id)
     ), put AS (
       INSERT INTO definitions (kind, id, definition)
       SELECT kind, id, data FROM ${RECORDS} WHERE EXISTS (SELECT FROM taken) ${REPLACE}
     )
     SELECT owner FROM taken`,
    [JSON.stringify(definitions), owner, JSON.stringify(steps), replaces ?? null],
  );
  return taken.length > 0;
}

export async function readApply(sql: SqlExecutor): Promise<ApplyState | undefined> {
  const [row] = await sql.query<{ readonly owner: string; readonly idle_seconds: number; readonly steps: readonly ApplyStep[] }>(
    `SELECT owner, extract(epoch FROM now() - heartbeat_at)::double precision AS idle_seconds, steps FROM definition_apply`,
  );
  return row === undefined ? undefined : { owner: row.owner, idleMs: Number(row.idle_seconds) * 1_000, steps: row.steps };
}

export async function holdApply(sql: SqlExecutor, owner: string, steps?: readonly ApplyStep[]): Promise<boolean> {
  const held = await sql.query(
    `UPDATE definition_apply SET heartbeat_at = now(), steps = COALESCE($2::jsonb, steps) WHERE owner = $1 RETURNING owner`,
    [owner, steps === undefined ? null : JSON.stringify(steps)],
  );
  return held.length > 0;
}

export async function endApply(sql: SqlExecutor, owner: string): Promise<void> {
  await sql.query('DELETE FROM definition_apply WHERE owner = $1', [owner]);
}

export async function recordBackfill(sql: SqlExecutor, events: number, seconds: number): Promise<void> {
  await sql.query('INSERT INTO backfill_rates (events, seconds) VALUES ($1, $2)', [events, seconds]);
}

export async function readBackfillRate(sql: SqlExecutor): Promise<number | undefined> {
  const [row] = await sql.query<{ readonly rate: number | null }>(
    `SELECT (sum(events) / nullif(sum(seconds), 0))::double precision AS rate
     FROM (SELECT events, seconds FROM backfill_rates ORDER BY finished_at DESC LIMIT 5) AS newest`,
  );
  return row?.rate === null || row === undefined ? undefined : Number(row.rate);
}
