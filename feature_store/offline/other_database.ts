import { environment } from '#configs/environment';
import { createUrlPool } from '#connectors/postgres/url_pool';
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
      history ??= sqlHistory(
        new PostgresExecutor(
          createUrlPool({
            url,
            maxConnections: 1,
            statementTimeoutMs: STATEMENT_TIMEOUT_MS,
            applicationName: 'headwater history',
            readOnly: true,
          }),
        ),
      );
      return history.read(query, page);
    },
  };
}
