import type { EventTime } from '#kernel/time';
import type { Deleted, Retention } from './retention.ts';
import type { SqlDatabase } from './sql_database.ts';
import type { SqlExecutor } from './sql_executor.ts';

/** Drops partitions of feature rows that are older as a whole, and deletes older predictions, feedback, labels and statistics. */
async function deleteBefore(
  sql: SqlExecutor,
  time: EventTime,
  dryRun: boolean,
  isHypertable: boolean,
): Promise<Deleted> {
  const before = new Date(time);
  const featureRows = isHypertable ? await dropChunks(sql, before, dryRun) : await dropMonths(sql, before, dryRun);
  const clear = async (table: string, column: string): Promise<number> => {
    const old = dryRun
      ? `SELECT 1 FROM ${table} WHERE ${column} < $1`
      : `DELETE FROM ${table} WHERE ${column} < $1 RETURNING 1`;
    const [counted] = await sql.query<{ readonly n: number }>(
      `WITH old AS (${old}) SELECT count(*)::integer AS n FROM old`,
      [before],
    );
    return counted?.n ?? 0;
  };
  const firstKept = new Date(Date.UTC(before.getUTCFullYear(), before.getUTCMonth(), 1));
  // Whole months of rows go, and what they held before with them.
  if (!dryRun) await sql.query('DELETE FROM feature_row_revisions WHERE event_time < $1', [firstKept]);
  if (!dryRun) await sql.query('DELETE FROM feature_embeddings WHERE event_time < $1', [firstKept]);
  return {
    featureRows,
    predictions: await clear('predictions', 'predicted_at'),
    feedback: await clear('prediction_feedback', 'received_at'),
    labels: await clear('labels', 'event_time'),
    statistics: await clear('feature_statistics', 'window_start'),
    driftReports: await clear('drift_reports', 'window_start'),
  };
}

async function dropMonths(sql: SqlExecutor, before: Date, dryRun: boolean): Promise<number> {
  const firstKept = before.toISOString().slice(0, 7).replace('-', '_');
  const partitions = await sql.query<{ readonly name: string }>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'feature_rows'::regclass AND c.relname ~ '^feature_rows_[0-9]{4}_[0-9]{2}$' AND c.relname < $1`,
    [`feature_rows_${firstKept}`],
  );
  return dropCounted(
    sql,
    partitions.map(({ name }) => name),
    dryRun,
  );
}

async function dropChunks(sql: SqlExecutor, before: Date, dryRun: boolean): Promise<number> {
  const chunks = await sql.query<{ readonly name: string }>(
    "SELECT chunk::text AS name FROM show_chunks('feature_rows', older_than => $1::timestamptz) AS chunk",
    [before],
  );
  return dropCounted(
    sql,
    chunks.map(({ name }) => name),
    dryRun,
  );
}

async function dropCounted(sql: SqlExecutor, tables: readonly string[], dryRun: boolean): Promise<number> {
  let rows = 0;
  for (const name of tables) {
    const [counted] = await sql.query<{ readonly n: number }>(`SELECT count(*)::integer AS n FROM ${name}`);
    rows += counted?.n ?? 0;
    if (!dryRun) await sql.query(`DROP TABLE ${name}`);
  }
  return rows;
}

export const sqlRetention = ({ sql, partitions }: Pick<SqlDatabase, 'sql' | 'partitions'>): Retention => ({
  async deleteBefore(time, dryRun) {
    const deleted = await deleteBefore(sql, time, dryRun, partitions.isHypertable);
    partitions.forget();
    return deleted;
  },
});
