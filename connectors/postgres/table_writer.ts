import { createHash } from 'node:crypto';
import pg from 'pg';
import { messageOf } from '#kernel/errors';
import { ConnectionError, RecordRefusedError, TargetError } from '../errors.ts';
import { failureClassOf, sqlFailure } from '../failure_class.ts';
import { copyIn } from './copy_in.ts';
import { copyRows, quotedTable, type TableColumn, tableColumns } from './table_columns.ts';
import { upsertStatement } from './upsert.ts';

export interface TableSettings {
  /** `table` or `schema.table`; it must exist. */
  readonly table: string;
  /** Columns with a unique index: rows of the same key are one. */
  readonly key: readonly [string, ...string[]];
  /** Columns written; other fields of a row are left out. */
  readonly columns: readonly string[];
  /** A row replaces one that has less or the same here, and no other: rows may come in any order. */
  readonly newerBy?: string;
  /** What becomes of a row whose key is in the table: it replaces what is there (the default), or is left out. */
  readonly whenHeld?: 'replace' | 'keep';
}

export type TableRow = Readonly<Record<string, unknown>>;

/**
 * Upserts rows into a table, a batch in one transaction: they are copied into a temporary table and written from there by one statement. Writing rows again changes nothing, so that each is in the table once however often it comes.
 *
 * @returns what {@link writeTo} takes as `write`
 */
export function postgresTable(pool: pg.Pool, settings: TableSettings): (rows: readonly TableRow[]) => Promise<void> {
  const writer = new TableWriter(settings);
  return async (rows) => {
    try {
      await writer.write(pool, rows);
    } catch (error) {
      const { code } = error as { readonly code?: string };
      const failure = code === undefined ? failureClassOf(error) : sqlFailure(code);
      if (failure === 'record') {
        const [first = {}] = rows;
        const keys = settings.key.map((name) => String(first[name])).join('|');
        throw new RecordRefusedError('PostgreSQL', `table ${settings.table}`, keys, messageOf(error));
      }
      if (failure === 'target') throw new TargetError(`PostgreSQL table ${settings.table}`, error);
      throw new ConnectionError('PostgreSQL', error);
    }
  };
}

class TableWriter {
  readonly #settings: TableSettings;
  readonly #staging: string;
  readonly #begin: string;
  readonly #copy: string;
  readonly #upsert: string;
  #columns: readonly TableColumn[] | undefined;

  constructor(settings: TableSettings) {
    const { table, key, columns, newerBy, whenHeld = 'replace' } = settings;
    const list = columns.map(pg.escapeIdentifier).join(', ');
    const name = createHash('sha256')
      .update(JSON.stringify([table, columns]))
      .digest('hex')
      .slice(0, 16);
    this.#settings = settings;
    this.#staging = `pg_temp.headwater_${name}`;
    this.#begin = `BEGIN; CREATE TEMP TABLE IF NOT EXISTS headwater_${name} ON COMMIT DELETE ROWS AS SELECT ${list} FROM ${quotedTable(table)} WITH NO DATA`;
    this.#copy = `COPY ${this.#staging} (${list}) FROM STDIN`;
    const newest = newerBy === undefined ? 'always' : { unlessNewer: newerBy };
    const upsert = upsertStatement({
      table: quotedTable(table),
      columns,
      key,
      source: this.#staging,
      replace: whenHeld === 'keep' ? 'never' : newest,
    });
    this.#upsert = `${upsert}; COMMIT`;
  }

  async write(pool: pg.Pool, rows: readonly TableRow[]): Promise<void> {
    const client = await pool.connect();
    let isUsable = true;
    try {
      const known = this.#columns;
      try {
        await this.#writeOnce(client, rows);
      } catch (error) {
        this.#columns = undefined;
        isUsable = await client.query(`ROLLBACK; DROP TABLE IF EXISTS ${this.#staging}`).then(
          () => true,
          () => false,
        );
        // The table may have columns of other types by now.
        if (!isUsable || known === undefined || !(await this.#hasChanged(client, known))) throw error;
        await this.#writeOnce(client, rows);
      }
    } finally {
      client.release(!isUsable);
    }
  }

  async #writeOnce(client: pg.ClientBase, rows: readonly TableRow[]): Promise<void> {
    const { table, columns } = this.#settings;
    this.#columns ??= await tableColumns(client, table, columns);
    const text = copyRows(this.#columns, rows);
    await client.query(this.#begin);
    await copyIn(client, this.#copy, text);
    await client.query(this.#upsert);
  }

  async #hasChanged(client: pg.ClientBase, known: readonly TableColumn[]): Promise<boolean> {
    const { table, columns } = this.#settings;
    const now = await tableColumns(client, table, columns);
    return now.some(({ type }, at) => type !== known[at]?.type);
  }
}
