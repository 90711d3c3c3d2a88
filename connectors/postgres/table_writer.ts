import pg from 'pg';
import { messageOf } from '#kernel/errors';
import { ConnectionError, RecordRefusedError, TargetError } from '../errors.ts';

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

/** SQLSTATE classes that say something about the rows: data exceptions and violated constraints. */
const ABOUT_ROWS = /^(22|23)/;
/** About the table, or the rights to it: somebody has to do something there. */
const ABOUT_TABLE = /^(3D|3F|42)/;

/**
 * Upserts rows into a table, a statement a batch; writing rows again changes nothing.
 *
 * @returns what {@link writeTo} takes as `write`
 */
export function postgresTable(pool: pg.Pool, settings: TableSettings): (rows: readonly TableRow[]) => Promise<void> {
  const statement = upsertOf(settings);
  return async (rows) => {
    const batch = newestOf(rows, settings).map((row) => columnsOf(row, settings.columns));
    try {
      await pool.query(statement, [JSON.stringify(batch)]);
    } catch (error) {
      const { code = '' } = error as { readonly code?: string };
      if (ABOUT_ROWS.test(code)) {
        const [first = {}] = rows;
        const keys = settings.key.map((name) => String(first[name])).join('|');
        throw new RecordRefusedError('PostgreSQL', `table ${settings.table}`, keys, messageOf(error));
      }
      if (ABOUT_TABLE.test(code)) throw new TargetError(`PostgreSQL table ${settings.table}`, error);
      throw new ConnectionError('PostgreSQL', error);
    }
  };
}

function upsertOf({ table, key, columns, newerBy }: TableSettings): string {
  const name = table.split('.').map(pg.escapeIdentifier).join('.');
  const all = columns.map(pg.escapeIdentifier);
  const changed = columns.filter((column) => !key.includes(column)).map(pg.escapeIdentifier);
  const set = changed.map((column) => `${column} = excluded.${column}`).join(', ');
  const newer = newerBy === undefined ? undefined : pg.escapeIdentifier(newerBy);
  return `INSERT INTO ${name} AS held (${all.join(', ')})
SELECT ${all.join(', ')} FROM jsonb_populate_recordset(NULL::${name}, $1::jsonb)
ON CONFLICT (${key.map(pg.escapeIdentifier).join(', ')}) DO ${changed.length === 0 ? 'NOTHING' : `UPDATE SET ${set}`}
${newer === undefined || changed.length === 0 ? '' : `WHERE held.${newer} IS NULL OR held.${newer} <= excluded.${newer}`}`;
}

/**
 * A statement may touch a row once: of those with one key the newest, or the last. In the order of their keys, so that statements that touch
 * the same rows wait for each other and not in a circle.
 */
function newestOf(rows: readonly TableRow[], { key, newerBy }: TableSettings): readonly TableRow[] {
  const newest = new Map<string, TableRow>();
  for (const row of rows) {
    const id = JSON.stringify(key.map((name) => jsonOf(row[name])));
    const held = newest.get(id);
    const isOlder = held !== undefined && newerBy !== undefined && orderOf(held[newerBy]) > orderOf(row[newerBy]);
    if (!isOlder) newest.set(id, row);
  }
  return [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

/** Dates by their time; texts, such as ISO 8601, as they are. */
const orderOf = (value: unknown): number | bigint | string =>
  value instanceof Date ? value.getTime() : (value as number | bigint | string);

const columnsOf = (row: TableRow, columns: readonly string[]): Record<string, unknown> =>
  Object.fromEntries(columns.map((name) => [name, jsonOf(row[name])]));

/** As PostgreSQL reads it back from JSON. */
function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  return value ?? null;
}
