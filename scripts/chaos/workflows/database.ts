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
      : new PostgresExecutor(
          new pg.Pool({
            connectionString: database.url,
            max: 6,
            options: `-c TimeZone=UTC -c search_path=${database.schema}`,
          }),
          database.schema,
        );
  const opened = new SqlDatabase({ sql, log: silentLogger }, database.kind);
  return { sql, start: () => opened.start() };
}
