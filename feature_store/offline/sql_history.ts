import { EXACT_INTEGERS, type ExactRow, withExactIntegers } from '../database/exact_integers.ts';
import type { SqlExecutor } from '../database/sql_executor.ts';
import type { HistoryPage, QueryHistory } from './query_history.ts';

/** Rows of a user's query by time and id, a page at a time; the query sees no parameters. */
async function readHistory(
  sql: SqlExecutor,
  query: string,
  { timestampField, idField, after, limit }: HistoryPage,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const [time, id] = [quoted(timestampField), quoted(idField)];
  const rows = await sql.query<ExactRow>(
    `SELECT to_jsonb(history) AS row, ${EXACT_INTEGERS('to_jsonb(history)')} AS exact FROM (${query}) AS history
     WHERE $1::timestamptz IS NULL OR (history.${time}::timestamptz, history.${id}::text) > ($1, $2)
     ORDER BY history.${time}::timestamptz, history.${id}::text
     LIMIT $3`,
    [after?.time ?? null, after?.id ?? null, limit],
  );
  return rows.map(withExactIntegers);
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export const sqlHistory = (sql: SqlExecutor): QueryHistory => ({
  read: (query, page) => readHistory(sql, query, page),
});
