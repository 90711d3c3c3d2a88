import type pg from 'pg';
import { OfflineStoreError } from '../errors.ts';
import type { SqlExecutor } from './sql_executor.ts';

/** Classes of SQLSTATE after which the same statement may succeed: connection, rollback, resources, operator intervention. */
const RETRYABLE = /^(08|40|53|57)/;

/** Of Node's timers. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

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
    try {
      // A migration takes as long as there are rows; whether the server may is for the script to say.
      const patient: pg.QueryConfig & { readonly query_timeout: number } = {
        text: `BEGIN;\n${text};\nCOMMIT`,
        query_timeout: LONGEST_TIMER_MS,
      };
      await this.#pool.query(patient);
    } catch (error) {
      throw understood(error);
    }
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
