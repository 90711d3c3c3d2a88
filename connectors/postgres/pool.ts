import pg from 'pg';
import type { Logger } from '#monitoring/log';
import { readTlsFiles } from '../tls_files.ts';
import type { PostgresConfig } from './config.ts';

/** How much longer than a statement its answer may take. */
const ANSWER_WITHIN_MS = 1_000;

export function createPostgresPool(config: PostgresConfig, log: Logger): pg.Pool {
  const pool = new pg.Pool({
    host: config.host,
    port: config.port,
    database: config.database,
    user: config.user,
    ...(config.password === undefined ? {} : { password: config.password }),
    ssl:
      config.sslMode === 'require' && readTlsFiles({ ca: config.caFile, cert: config.certFile, key: config.keyFile }),
    max: config.maxConnections,
    connectionTimeoutMillis: config.connectTimeoutMs,
    statement_timeout: config.statementTimeoutMs,
    // The server's own limit does not help when it cannot be heard any more.
    query_timeout: config.statementTimeoutMs + ANSWER_WITHIN_MS,
    keepAlive: true,
    application_name: 'headwater',
    // Times without a zone are UTC, whatever the server's zone. Extensions such as TimescaleDB have their functions in public.
    options: `-c TimeZone=UTC${config.schema === undefined ? '' : ` -c search_path=${config.schema},public`}`,
  });
  // One that breaks while it is used: its query fails, and what comes after that would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', (error) => log.warn({ component: 'connectors.postgres', error }, 'postgres.idle_client_error'));
  return pool;
}
