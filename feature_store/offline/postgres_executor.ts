import type pg from 'pg';
import { OfflineStoreError } from '../errors.ts';
import type { SqlExecutor } from './sql_executor.ts';

/**
 * SQLSTATEs after which the same statement may succeed: connection, rollback, resources (a full disk), operator intervention, system errors, and
 * a database that is read-only for now (25006): rows wait for it, they are not at fault.
 */
const RETRYABLE = /^(08|40|53|57|58|25006)/;

export class PostgresExecutor implements SqlExecutor {
  readonly #pool: pg.Pool;
  readonly #schema: string | undefined;

  /** @param schema - where the pool's connections look for tables; undefined: the server's default */
  constructor(pool: pg.Pool, schema?: string) {
    this.#pool = pool;
    this.#schema = schema;
  }

  async open(): Promise<void> {
    if (this.#schema === undefined) await this.query('SELECT 1');
    else await this.#ensureSchema(this.#schema);
  }

  /** Several processes that start at once may all try. */
  async #ensureSchema(schema: string): Promise<void> {
    const exists = async (): Promise<boolean> =>
      (await this.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])).length > 0;
    if (await exists()) return;
    try {
      await this.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
    } catch (error) {
      if (!(await exists())) throw error;
    }
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
  const retryable = code === undefined || RETRYABLE.test(code) || !/^[0-9A-Z]{5}$/.test(code);
  return new OfflineStoreError('run a statement on PostgreSQL', error, retryable);
}
