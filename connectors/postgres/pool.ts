import pg from 'pg';
import type { Logger } from '#monitoring/log';
import type { PostgresConfig } from './config.ts';

export function createPostgresPool(config: PostgresConfig, log: Logger): pg.Pool {
  const pool = new pg.Pool({
    host: config.host,
    port: config.port,
    database: config.database,
    user: config.user,
    ...(config.password === undefined ? {} : { password: config.password }),
    ssl: config.sslMode === 'require',
    max: config.maxConnections,
    connectionTimeoutMillis: config.connectTimeoutMs,
    statement_timeout: config.statementTimeoutMs,
    application_name: 'headwater',
  });
  pool.on('error', (error) => log.warn({ component: 'connectors.postgres', error }, 'postgres.idle_client_error'));
  return pool;
}
