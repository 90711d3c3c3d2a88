import pg from 'pg';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { SqlDatabase } from '#feature_store/database/sql_database';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { silentLogger } from '#monitoring/log';

export type ChaosDatabase =
  | { readonly kind: 'pglite'; readonly directory: string }
  | { readonly kind: 'postgres'; readonly url: string; readonly schema: string };

/** Connects to a database. */
export function openChaosDatabase(database: ChaosDatabase): { readonly sql: SqlExecutor; start(): Promise<void> } {
  const sql =
    database.kind === 'pglite'
      ? new PgliteExecutor(database.directory)
      : new PostgresExecutor(poolOf(database), database.schema);
  const opened = new SqlDatabase({ sql, log: silentLogger }, database.kind);
  return { sql, start: () => opened.start() };
}

function poolOf({ url, schema }: Extract<ChaosDatabase, { readonly kind: 'postgres' }>): pg.Pool {
  const options = `-c TimeZone=UTC -c search_path=${schema}`;
  const pool = new pg.Pool({ connectionString: url, max: 6, options });
  // The server ends idle connections when it stops; without a listener that would end this process.
  pool.on('error', () => {});
  return pool;
}
