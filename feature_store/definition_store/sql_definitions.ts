import type { ViewDescription } from '#feature_store/definitions/feature_view';
import type { ViewReference } from '#feature_store/definitions/values/feature_row';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type {
  ApplyLock,
  ApplyOwner,
  DefinitionRecord,
  DefinitionStore,
  FirstDefinitions,
  StoredDefinition,
} from './applied_definitions.ts';

// The definitions that are in use, and the lock of `headwater apply`, in SQL.

const readDefinitions = (sql: SqlExecutor): Promise<readonly StoredDefinition[]> =>
  sql.query<StoredDefinition>(
    `SELECT kind, id, definition AS data, applied, floor(extract(epoch FROM recorded_at) * 1000)::double precision AS "recordedAtMs"
     FROM definitions ORDER BY kind, id`,
  );

const RECORDS = 'jsonb_to_recordset($1::jsonb) AS record(kind text, id text, data jsonb)';

async function recordDefinitions(
  sql: SqlExecutor,
  definitions: readonly DefinitionRecord[],
  first: FirstDefinitions,
): Promise<void> {
  await sql.query(
    `INSERT INTO definitions (kind, id, definition, applied)
     SELECT kind, id, data,
       CASE WHEN kind <> 'view' OR ($2 AND NOT EXISTS (SELECT FROM definitions WHERE definitions.kind = 'view')) THEN data END
     FROM ${RECORDS}
     ON CONFLICT (kind, id) DO UPDATE SET definition = excluded.definition, recorded_at = now()
     WHERE definitions.definition IS DISTINCT FROM excluded.definition`,
    [JSON.stringify(definitions), first === 'have_no_history'],
  );
}

async function recordApplied(sql: SqlExecutor, definitions: readonly DefinitionRecord[]): Promise<void> {
  await sql.query(
    `INSERT INTO definitions (kind, id, definition, applied) SELECT kind, id, data, data FROM ${RECORDS}
     ON CONFLICT (kind, id) DO UPDATE SET definition = excluded.definition, applied = excluded.applied, applied_at = now(),
       recorded_at = CASE WHEN definitions.definition IS DISTINCT FROM excluded.definition THEN now() ELSE definitions.recorded_at END
     WHERE definitions.definition IS DISTINCT FROM excluded.definition OR definitions.applied IS DISTINCT FROM excluded.applied`,
    [JSON.stringify(definitions)],
  );
}

async function removeDefinitions(
  sql: SqlExecutor,
  definitions: readonly Pick<DefinitionRecord, 'kind' | 'id'>[],
): Promise<void> {
  await sql.query(
    `DELETE FROM definitions USING jsonb_to_recordset($1::jsonb) AS record(kind text, id text)
     WHERE definitions.kind = record.kind AND definitions.id = record.id`,
    [JSON.stringify(definitions.map(({ kind, id }) => ({ kind, id })))],
  );
}

async function lockApply(sql: SqlExecutor, owner: ApplyOwner, replaces: string | undefined): Promise<boolean> {
  const taken = await sql.query(
    `INSERT INTO definition_apply (owner) VALUES ($1::jsonb)
     ON CONFLICT (only_one) DO UPDATE SET owner = excluded.owner, heartbeat_at = now()
     WHERE definition_apply.owner ->> 'id' = $2
     RETURNING 1`,
    [JSON.stringify(owner), replaces ?? null],
  );
  return taken.length > 0;
}

async function readApplyLock(sql: SqlExecutor): Promise<ApplyLock | undefined> {
  const [row] = await sql.query<{ readonly owner: ApplyOwner; readonly idle_seconds: number }>(
    'SELECT owner, extract(epoch FROM now() - heartbeat_at)::double precision AS idle_seconds FROM definition_apply',
  );
  return row === undefined ? undefined : { owner: row.owner, idleMs: Number(row.idle_seconds) * 1_000 };
}

async function holdApplyLock(sql: SqlExecutor, id: string): Promise<boolean> {
  const held = await sql.query(
    "UPDATE definition_apply SET heartbeat_at = now() WHERE owner ->> 'id' = $1 RETURNING 1",
    [id],
  );
  return held.length > 0;
}

async function unlockApply(sql: SqlExecutor, id: string): Promise<void> {
  await sql.query("DELETE FROM definition_apply WHERE owner ->> 'id' = $1", [id]);
}

async function recordBackfill(sql: SqlExecutor, events: number, seconds: number): Promise<void> {
  await sql.query('INSERT INTO backfill_rates (events, seconds) VALUES ($1, $2)', [events, seconds]);
}

async function readBackfillRate(sql: SqlExecutor): Promise<number | undefined> {
  const [row] = await sql.query<{ readonly rate: number | null }>(
    `SELECT (sum(events) / nullif(sum(seconds), 0))::double precision AS rate
     FROM (SELECT events, seconds FROM backfill_rates ORDER BY id DESC LIMIT 5) AS newest`,
  );
  return row?.rate == null ? undefined : Number(row.rate);
}

async function readView(sql: SqlExecutor, { view, version }: ViewReference): Promise<ViewDescription | undefined> {
  const [row] = await sql.query<{ readonly description: ViewDescription }>(
    'SELECT description FROM feature_views WHERE view = $1 AND version = $2',
    [view, version],
  );
  return row?.description;
}

async function writeView(sql: SqlExecutor, description: ViewDescription): Promise<void> {
  await sql.query(
    `INSERT INTO feature_views (view, version, description) VALUES ($1, $2, $3::jsonb)
     ON CONFLICT (view, version) DO UPDATE SET description = excluded.description, updated_at = now()
     WHERE feature_views.description IS DISTINCT FROM excluded.description`,
    [description.view, description.version, JSON.stringify(description)],
  );
}

export const sqlDefinitionStore = (sql: SqlExecutor): DefinitionStore => ({
  readView: (view) => readView(sql, view),
  writeView: (description) => writeView(sql, description),
  readDefinitions: () => readDefinitions(sql),
  recordDefinitions: (definitions, first) => recordDefinitions(sql, definitions, first),
  recordApplied: (definitions) => recordApplied(sql, definitions),
  removeDefinitions: (definitions) => removeDefinitions(sql, definitions),
  lockApply: (owner, replaces) => lockApply(sql, owner, replaces),
  readApplyLock: () => readApplyLock(sql),
  holdApplyLock: (id) => holdApplyLock(sql, id),
  unlockApply: (id) => unlockApply(sql, id),
  recordBackfill: (events, seconds) => recordBackfill(sql, events, seconds),
  readBackfillRate: () => readBackfillRate(sql),
});
