import pg from 'pg';

export interface UrlPoolSettings {
  /** `postgres://user:password@host:port/database`. */
  readonly url: string;
  readonly maxConnections: number;
  readonly statementTimeoutMs: number;
  /** What PostgreSQL's lists of connections show. */
  readonly applicationName: string;
  readonly readOnly?: boolean;
}

/** Makes a pool for a database of a user's own. It does not keep the process alive. A time without a zone is UTC, whatever the server's zone. */
export function createUrlPool(settings: UrlPoolSettings): pg.Pool {
  const { url, maxConnections, statementTimeoutMs, applicationName, readOnly = false } = settings;
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    statement_timeout: statementTimeoutMs,
    keepAlive: true,
    allowExitOnIdle: true,
    application_name: applicationName,
    options: `-c TimeZone=UTC${readOnly ? ' -c default_transaction_read_only=on' : ''}`,
  });
  pool.on('connect', (client) => client.on('error', () => {}));
  // A connection that ends while it is idle is opened again.
  pool.on('error', () => {});
  return pool;
}
