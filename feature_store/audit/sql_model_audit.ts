import { storableValue } from '#kernel/text/unstorable_text';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type { ModelAuditEntry, ModelAuditStore } from './model_audit_store.ts';

// What became of models, in SQL.

/** An entry is never lost for a character that PostgreSQL does not store: U+FFFD stands in its place. */
async function writeModelAudit(sql: SqlExecutor, given: ModelAuditEntry): Promise<void> {
  const entry = storableValue(given);
  await sql.query(
    `INSERT INTO model_audit (at, model, version, action, stage, replaced, by_whom, reason, gates, metrics)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10::jsonb)`,
    [
      new Date(entry.atMs),
      entry.model,
      entry.version,
      entry.action,
      entry.stage,
      entry.replaced ?? null,
      entry.by,
      entry.reason,
      JSON.stringify(entry.gates),
      JSON.stringify(entry.metrics),
    ],
  );
}

/** The newest first. */
async function listModelAudit(sql: SqlExecutor, model: string, limit: number): Promise<readonly ModelAuditEntry[]> {
  const rows = await sql.query<
    Omit<ModelAuditEntry, 'atMs' | 'replaced'> & { readonly at_ms: string; readonly replaced: number | null }
  >(
    `SELECT (extract(epoch FROM at) * 1000)::bigint::text AS at_ms, model, version, action, stage, replaced, by_whom AS by, reason, gates, metrics
     FROM model_audit WHERE model = $1 ORDER BY at DESC, id DESC LIMIT $2`,
    [model, limit],
  );
  return rows.map(({ at_ms: atMs, replaced, ...entry }) => ({
    ...entry,
    replaced: replaced ?? undefined,
    atMs: Number(atMs),
  }));
}

export const sqlModelAuditStore = (sql: SqlExecutor): ModelAuditStore => ({
  write: (entry) => writeModelAudit(sql, entry),
  list: (model, limit) => listModelAudit(sql, model, limit),
});
