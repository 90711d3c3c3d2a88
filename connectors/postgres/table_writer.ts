import pg from 'pg';
import { messageOf } from '#kernel/errors';
import { ConnectionError, RecordRefusedError, TargetError } from '../errors.ts';
import { failureClassOf, sqlFailure } from '../failure_class.ts';
import { upsertStatement } from './upsert.ts';

export interface TableSettings {
  /** `table` or `schema.table`; it must exist. */
  readonly table: string;
  /** Columns with a unique index: a row of the same key is replaced. */
  readonly key: readonly [string, ...string[]];
  /** Columns written; other fields of a row are left out. */
  readonly columns: readonly string[];
  /** A row replaces one that has less or the same here, and no other: rows may come in any order. */
  readonly newerBy?: string;
}

export type TableRow = Readonly<Record<string, unknown>>;

/**
 * Upserts rows into a table, a statement a batch; writing rows again changes nothing.
 *
 * @returns what {@link writeTo} takes as `write`
 */
export function postgresTable(pool: pg.Pool, settings: TableSettings): (rows: readonly TableRow[]) => Promise<void> {
  const statement = upsertOf(settings);
  return async (rows) => {
    try {
      await pool.query(statement, [JSON.stringify(rows.map((row) => columnsOf(row, settings.columns)))]);
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

function upsertOf({ table, key, columns, newerBy }: TableSettings): string {
  const name = table.split('.').map(pg.escapeIdentifier).join('.');
  return upsertStatement({
    table: name,
    columns,
    key,
    source: `jsonb_populate_recordset(NULL::${name}, $1::jsonb)`,
    replace: newerBy === undefined ? 'always' : { unlessNewer: newerBy },
  });
}

const columnsOf = (row: TableRow, columns: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(columns.map((name) => [name, jsonOf(row[name])]));

/** As PostgreSQL reads it back from JSON. */
function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  return value ?? null;
}
