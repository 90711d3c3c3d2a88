import type { AppliedDefinition } from './applied_definitions.ts';
import type { SqlExecutor } from './sql_executor.ts';

// The definitions that are in use, in SQL.

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
