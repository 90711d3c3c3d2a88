import type pg from 'pg';
import { failureClassOf, sqlFailure } from '#connectors/failure_class';
import { OfflineStoreError } from '../errors.ts';
import type { SqlExecutor } from './sql_executor.ts';

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
  const { code } = error as { readonly code?: string };
  // Without a code it never reached the server: the connection, or a parameter that cannot be encoded.
  const failure = code === undefined ? failureClassOf(error) : sqlFailure(code);
  return new OfflineStoreError('run a statement on PostgreSQL', error, failure);
}
