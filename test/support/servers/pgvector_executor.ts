import { PGlite } from '@electric-sql/pglite';
import { vector } from '@electric-sql/pglite-pgvector';
import type { SqlExecutor, SqlStatement } from '#feature_store/database/sql_executor';

/** PostgreSQL in memory, with the extension pgvector installed. */
export class PgvectorExecutor implements SqlExecutor {
  #database: PGlite | undefined;

  get #open(): PGlite {
    if (this.#database === undefined) throw new Error('open it first');
    return this.#database;
  }

  async open(): Promise<void> {
    this.#database = await PGlite.create({ extensions: { vector } });
    await this.#database.exec('CREATE EXTENSION vector');
  }

  async query<Row>(text: string, parameters: readonly unknown[] = []): Promise<readonly Row[]> {
    return (await this.#open.query<Row>(text, [...parameters])).rows;
  }

  async script(text: string): Promise<void> {
    await this.#open.transaction((transaction) => transaction.exec(text));
  }

  transaction(statements: readonly SqlStatement[]): Promise<readonly (readonly unknown[])[] | undefined> {
    return this.#open.transaction(async (transaction) => {
      const answers: (readonly unknown[])[] = [];
      for (const { text, parameters = [], mustReturn } of statements) {
        const { rows } = await transaction.query(text, [...parameters]);
        if (mustReturn === true && rows.length === 0) {
          await transaction.rollback();
          return undefined;
        }
        answers.push(rows);
      }
      return answers;
    });
  }

  async close(): Promise<void> {
    await this.#database?.close();
  }
}
