import type { EventTime } from '#kernel/time';
import type { Deleted } from './offline_store.ts';
import type { SqlExecutor } from './sql_executor.ts';

/** Drops partitions of feature rows that are older as a whole, and deletes older predictions and labels. */
export async function deleteBefore(sql: SqlExecutor, time: EventTime, dryRun: boolean): Promise<Deleted> {
  const before = new Date(time);
  const firstKept = new Date(time).toISOString().slice(0, 7).replace('-', '_');
  const partitions = await sql.query<{ readonly name: string }>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'feature_rows'::regclass AND c.relname ~ '^feature_rows_[0-9]{4}_[0-9]{2}$' AND c.relname < $1`,
    [`feature_rows_${firstKept}`],
  );
  let featureRows = 0;
  for (const { name } of partitions) {
    const [counted] = await sql.query<{ readonly n: number }>(`SELECT count(*)::integer AS n FROM ${name}`);
    featureRows += counted?.n ?? 0;
    if (dryRun) continue;
    await sql.query(`DROP TABLE ${name}`);
  }
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
  return {
    featureRows,
    predictions: await clear('predictions', 'predicted_at'),
    labels: await clear('labels', 'event_time'),
  };
}
