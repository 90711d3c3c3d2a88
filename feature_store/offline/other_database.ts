import pg from 'pg';
import { environment } from '#configs/environment';
import { PostgresExecutor } from '../database/postgres_executor.ts';
import { HistoryDatabaseError } from '../errors.ts';
import type { QueryHistory } from './query_history.ts';
import { sqlHistory } from './sql_history.ts';

/** A page of a large table may have to be sorted first. */
const STATEMENT_TIMEOUT_MS = 600_000;

/**
 * Reads histories from another PostgreSQL, in transactions that may only read.
 *
 * @param variable - of the environment, with the database's URL
 * @throws {@link HistoryDatabaseError} when the variable is not set or holds no URL
 */
export function otherDatabase(variable: string): QueryHistory {
  const url = environment()[variable];
  if (url === undefined || url === '') throw new HistoryDatabaseError(variable, 'is not set');
  if (!/^postgres(?:ql)?:\/\//.test(url)) throw new HistoryDatabaseError(variable, 'holds no URL of PostgreSQL');
  let history: QueryHistory | undefined;
  return {
    read(query, page) {
      history ??= sqlHistory(new PostgresExecutor(createPool(url)));
      return history.read(query, page);
    },
  };
}

const createPool = (connectionString: string): pg.Pool => {
  const pool = new pg.Pool({
    connectionString,
    max: 1,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    allowExitOnIdle: true,
    application_name: 'headwater history',
    // A time without a zone is UTC, whatever the server's zone.
    options: '-c TimeZone=UTC -c default_transaction_read_only=on',
  });
  // A connection that ends while it is idle is opened again.
  pool.on('error', () => {});
  return pool;
};
