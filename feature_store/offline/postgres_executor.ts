import type pg from 'pg';
import { messageOf } from '#kernel/errors';
import { OfflineStoreError } from '../errors.ts';
import type { SqlExecutor } from './sql_executor.ts';

/** Classes of SQLSTATE after which the same statement may succeed: connection, rollback, resources, operator intervention. */
const RETRYABLE = /^(08|40|53|57)/;

const WITHOUT_TLS =
  'reach PostgreSQL: offlineStore.sslMode is "require", and the server has no TLS. Set up TLS there, or set sslMode (DATABASE_SSL_MODE) to disable';

export class PostgresExecutor implements SqlExecutor {
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async open(): Promise<void> {
    await this.query('SELECT 1');
  }

  async query<Row>(text: string, parameters: readonly unknown[] = []): Promise<readonly Row[]> {
    try {
      const { rows } = await this.#pool.query(text, [...parameters]);
      return rows as Row[];
    } catch (error) {
      throw understood(error);
    }
  }

  async script(text: string): Promise<void> {
    await this.query(`BEGIN;\n${text};\nCOMMIT`);
  }

  async close(): Promise<void> {
    await this.#pool.end().catch(() => {});
  }
}

function understood(error: unknown): OfflineStoreError {
  const code = (error as { readonly code?: string }).code;
  if (/does not support SSL/.test(messageOf(error))) return new OfflineStoreError(WITHOUT_TLS, error, false);
  const retryable = code === undefined || RETRYABLE.test(code) || !/^[0-9A-Z]{5}$/.test(code);
  return new OfflineStoreError('run a statement on PostgreSQL', error, retryable);
}
