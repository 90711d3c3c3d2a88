import pg from 'pg';
import { failureClassOf, sqlFailure } from '#connectors/failure_class';
import { copyIn } from '#connectors/postgres/copy_in';
import { messageOf } from '#kernel/errors';
import { OfflineStoreError } from '../errors.ts';
import type { SqlExecutor, SqlStatement } from './sql_executor.ts';

const WITHOUT_TLS =
  'reach PostgreSQL: offlineStore.sslMode is "require", and the server has no TLS. Set up TLS there, or set sslMode (DATABASE_SSL_MODE) to disable';

/** Of Node's timers. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

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

  async copy(statement: string, rows: string): Promise<void> {
    try {
      const client = await this.#pool.connect();
      let broken: Error | undefined;
      try {
        await copyIn(client, statement, rows);
      } catch (error) {
        // A refusal leaves the connection as it was.
        if (!(error instanceof pg.DatabaseError)) broken = error as Error;
        throw error;
      } finally {
        client.release(broken);
      }
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

  async transaction(statements: readonly SqlStatement[]): Promise<readonly (readonly unknown[])[] | undefined> {
    try {
      const client = await this.#pool.connect();
      let broken: Error | undefined;
      try {
        await client.query('BEGIN');
        const answers: (readonly unknown[])[] = [];
        for (const { text, parameters = [], mustReturn } of statements) {
          const { rows } = await client.query(text, [...parameters]);
          if (mustReturn === true && rows.length === 0) {
            await client.query('ROLLBACK');
            return undefined;
          }
          answers.push(rows);
        }
        await client.query('COMMIT');
        return answers;
      } catch (error) {
        // A connection that does not roll back is not given to another.
        await client.query('ROLLBACK').catch((failed: Error) => {
          broken = failed;
        });
        throw error;
      } finally {
        client.release(broken);
      }
    } catch (error) {
      throw understood(error);
    }
  }

  /**
   * Holds an advisory lock on a connection of its own: a pool of one connection has that for the work. The lock ends with its transaction, which a pooler such as
   * PgBouncer keeps on one connection of the server.
   */
  async exclusively(name: string, work: () => Promise<void>): Promise<void> {
    const lock = new pg.Client(this.#pool.options);
    // When the connection is lost, so is the lock: what two processes then do at a time, the transactions of the work have to refuse.
    lock.on('error', () => {});
    try {
      await lock.connect();
      await lock.query(`BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
        SET LOCAL idle_in_transaction_session_timeout = 0`);
      const patient: pg.QueryConfig & { readonly query_timeout: number } = {
        text: 'SELECT pg_advisory_xact_lock(hashtextextended(concat($1::text, current_schema()), 0))',
        ...{ values: [name], query_timeout: LONGEST_TIMER_MS },
      };
      await lock.query(patient);
    } catch (error) {
      await lock.end().catch(() => {});
      throw understood(error);
    }
    try {
      await work();
    } finally {
      await lock.end().catch(() => {});
    }
  }

  /** Keeps one connection of the pool. When it is lost, notifications end: callers look at the table at intervals as well. */
  async listen(channel: string, onNotification: () => void): Promise<() => Promise<void>> {
    try {
      const client = await this.#pool.connect();
      let isReleased = false;
      const release = (error?: Error): void => {
        if (isReleased) return;
        isReleased = true;
        client.removeAllListeners('notification');
        client.release(error ?? true);
      };
      client.on('notification', onNotification);
      client.on('error', release);
      await client.query(`LISTEN ${channel}`);
      return async () => release();
    } catch (error) {
      throw understood(error);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end().catch(() => {});
  }
}

function understood(error: unknown): OfflineStoreError {
  const { code } = error as { readonly code?: string };
  // Without a code it never reached the server: the connection, or a parameter that cannot be encoded.
  const failure = code === undefined ? failureClassOf(error) : sqlFailure(code);
  if (/does not support SSL/.test(messageOf(error))) return new OfflineStoreError(WITHOUT_TLS, error, 'target');
  return new OfflineStoreError('run a statement on PostgreSQL', error, failure);
}
