import pg from 'pg';
import { messageOf } from '#kernel/errors';
import { ConnectionError, TableUnreadableError } from '../errors.ts';
import { sqlFailure } from '../failure_class.ts';
import { quotedTable, type TableColumn, tableColumns } from './table_columns.ts';
import type { TableRow } from './table_writer.ts';

export interface TableReading {
  /** `table` or `schema.table`; a view is read by its `key`. */
  readonly table: string;
  /** Columns read. Default: all. */
  readonly columns?: readonly string[];
  /** SQL condition of the rows that are read: `status = 'paid'`. */
  readonly where?: string;
  /** Columns that identify a row, none of them null. Default: the primary key; without one, rows are read by their place in the table. */
  readonly key?: readonly string[];
  /** Parts that are read side by side. Default: one for each 100,000 rows, at most 32. */
  readonly parts?: number;
  /** Rows read at a time. Default 2,000. */
  readonly pageRows?: number;
}

/** What is left of a part. Plain data, for snapshots. Keys are PostgreSQL's text. */
export type TablePart =
  | { readonly by: 'key'; readonly after: readonly string[] | undefined; readonly to: readonly string[] | undefined }
  /** Blocks of the table or of one of its partitions. */
  | { readonly by: 'place'; readonly relation: string; readonly from: number; readonly to: number };

export interface TablePage {
  readonly rows: readonly TableRow[];
  /** What comes after it; undefined at the end of the part. */
  readonly rest: TablePart | undefined;
}

const ROWS_A_PART = 100_000;
const MOST_PARTS = 32;
const PAGE_ROWS = 2_000;
/** Rows of a sample that a part's bounds are taken from. */
const SAMPLED_A_PART = 200;
const CONNECTIONS = 4;
/** Codes of SET TRANSACTION SNAPSHOT for a snapshot that is not exported any more, of which no file is left, or whose process has ended. */
const SNAPSHOT_GONE = new Set(['22023', '42704', '55000']);
/** Text as {@link tableColumns} reads it, and a transaction that may stay open for as long as it is read. */
const SETTINGS = `SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex';
  SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0`;

/** Reads a table as of one moment, over several connections that share an exported snapshot of PostgreSQL. */
export class TableReader {
  /** The snapshot, as PostgreSQL names it. */
  readonly snapshot: string;
  /** The connection that began it, or joined it first, has ended. */
  isLost = false;
  readonly #url: string;
  readonly #reading: TableReading;
  readonly #clients: (Promise<pg.Client> | undefined)[];
  readonly #columns: readonly TableColumn[];
  readonly #key: readonly TableColumn[];
  /** The newest query of each connection: pg takes the next when it has ended. */
  readonly #newest: Promise<unknown>[] = [];
  #turn = 0;

  private constructor(url: string, reading: TableReading, snapshot: string, first: pg.Client, shape: Shape) {
    this.#url = url;
    this.#reading = reading;
    this.snapshot = snapshot;
    this.#clients = [Promise.resolve(first)];
    this.#columns = shape.columns;
    this.#key = shape.key;
  }

  /**
   * Opens a snapshot of now.
   *
   * @throws TableUnreadableError when there is no such table, column or key
   */
  static begin(url: string, reading: TableReading): Promise<TableReader> {
    return TableReader.#open(url, reading, undefined) as Promise<TableReader>;
  }

  /** Opens a snapshot that another connection holds; undefined when none does any more: PostgreSQL keeps it for as long as the connection that began it. */
  static resume(url: string, reading: TableReading, snapshot: string): Promise<TableReader | undefined> {
    return TableReader.#open(url, reading, snapshot);
  }

  static async #open(url: string, reading: TableReading, snapshot: string | undefined) {
    const client = await connect(url);
    try {
      await beginReading(client, snapshot);
      const shape = await shapeOf(client, reading);
      if (snapshot !== undefined) return new TableReader(url, reading, snapshot, client, shape);
      const { rows } = await client.query<{ name: string }>('SELECT pg_export_snapshot() AS name');
      return new TableReader(url, reading, (rows[0] as { name: string }).name, client, shape);
    } catch (error) {
      await client.end().catch(() => {});
      const { code } = error as { readonly code?: string };
      if (snapshot !== undefined && SNAPSHOT_GONE.has(code ?? '')) return undefined;
      throw readError(reading.table, error);
    }
  }

  /** Returns parts that together are the table, each about as large as the others. */
  async parts(): Promise<readonly TablePart[]> {
    try {
      const client = await (this.#clients[0] as Promise<pg.Client>);
      const relations = await relationsOf(client, this.#reading.table);
      return this.#key.length > 0 ? await this.#partsByKey(client, relations) : this.#partsByPlace(relations);
    } catch (error) {
      throw readError(this.#reading.table, error);
    }
  }

  async #partsByKey(client: pg.Client, relations: readonly Relation[]): Promise<readonly TablePart[]> {
    const { table, where = 'true' } = this.#reading;
    const count = this.#countOf(relations);
    if (count === 1) return [{ by: 'key', after: undefined, to: undefined }];
    const rows = relations.reduce((sum, relation) => sum + relation.rows, 0);
    const percent = (count * SAMPLED_A_PART * 100) / rows;
    const sample = percent < 50 ? `TABLESAMPLE SYSTEM (${percent})` : '';
    const names = this.#key.map(({ name }) => pg.escapeIdentifier(name));
    const { rows: bounds } = await client.query<string[]>({
      text: `SELECT ${names.map((_, at) => `k${at}`).join(', ')} FROM (
          SELECT ${names.map((name, at) => `${name}::text AS k${at}`).join(', ')}, row_number() OVER (ORDER BY ${names.join(', ')}) AS place, count(*) OVER () AS total
          FROM ${quotedTable(table)} ${sample} WHERE ${where}
        ) AS sampled
        WHERE place % GREATEST(1, total / $1::bigint) = 0 AND place < total ORDER BY place LIMIT $1::bigint - 1`,
      values: [count],
      rowMode: 'array',
    });
    return [undefined, ...bounds].map((after, at) => ({ by: 'key', after, to: bounds[at] }));
  }

  #partsByPlace(relations: readonly Relation[]): readonly TablePart[] {
    const blocks = relations.reduce((sum, relation) => sum + relation.blocks, 0);
    const step = Math.max(1, Math.ceil(blocks / this.#countOf(relations)));
    return relations.flatMap(({ name: relation, blocks: to }) =>
      Array.from({ length: Math.ceil(to / step) }, (_, at) => ({
        by: 'place' as const,
        relation,
        from: at * step,
        to: Math.min(to, (at + 1) * step),
      })),
    );
  }

  #countOf(relations: readonly Relation[]): number {
    const rows = relations.reduce((sum, relation) => sum + relation.rows, 0);
    return this.#reading.parts ?? Math.min(MOST_PARTS, Math.max(1, Math.ceil(rows / ROWS_A_PART)));
  }

  /**
   * Reads the next rows of a part.
   *
   * Connections take turns; each answers one query after the other.
   *
   * @throws ConnectionError when the server is away, or one connection is; the reader is of no use once {@link isLost}
   * @throws TableUnreadableError for a value that cannot be taken exactly
   */
  read(part: TablePart): Promise<TablePage> {
    const at = this.#turn;
    this.#turn = (at + 1) % CONNECTIONS;
    const reading = (this.#newest[at] ?? Promise.resolve()).then(() => this.#readOver(at, part));
    this.#newest[at] = reading.catch(() => {});
    return reading;
  }

  async #readOver(at: number, part: TablePart): Promise<TablePage> {
    this.#clients[at] ??= this.#join();
    const opening = this.#clients[at];
    try {
      const client = await opening;
      return await (part.by === 'key' ? this.#readByKey(client, part) : this.#readByPlace(client, part));
    } catch (error) {
      const known = readError(this.#reading.table, error);
      if (known instanceof ConnectionError && this.#clients[at] === opening) {
        this.#clients[at] = undefined;
        void ended(opening);
        if (at === 0) this.isLost = true;
      }
      throw known;
    }
  }

  async #readByKey(client: pg.Client, part: TablePart & { readonly by: 'key' }): Promise<TablePage> {
    const { table, where = 'true', pageRows = PAGE_ROWS } = this.#reading;
    const key = this.#key.map(({ name }) => `read.${pg.escapeIdentifier(name)}`);
    const values: string[] = [];
    const bound = (sign: string, ends: readonly string[] | undefined): string => {
      if (ends === undefined) return '';
      const cast = ends.map((text, at) => `$${values.push(text)}::text::${this.#key[at]?.type}`);
      return ` AND (${key.join(', ')}) ${sign} (${cast.join(', ')})`;
    };
    const rows = await this.#query(
      client,
      `SELECT ${[...this.#list(), ...key.map((name) => `${name}::text`)].join(', ')} FROM ${quotedTable(table)} AS read
        WHERE (${where})${bound('>', part.after)}${bound('<=', part.to)} ORDER BY ${key.join(', ')} LIMIT ${pageRows}`,
      values,
    );
    const after = rows.at(-1)?.slice(this.#columns.length) as string[] | undefined;
    return { rows: this.#decode(rows), rest: rows.length < pageRows ? undefined : { ...part, after } };
  }

  async #readByPlace(client: pg.Client, part: TablePart & { readonly by: 'place' }): Promise<TablePage> {
    const { where = 'true', pageRows = PAGE_ROWS } = this.#reading;
    const to = Math.min(part.to, part.from + Math.max(1, Math.floor(pageRows / ROWS_A_BLOCK)));
    const rows = await this.#query(
      client,
      `SELECT ${this.#list().join(', ')} FROM ONLY ${part.relation}
        WHERE ctid >= $1::text::tid AND ctid < $2::text::tid AND (${where})`,
      [`(${part.from},0)`, `(${to},0)`],
    );
    return { rows: this.#decode(rows), rest: to >= part.to ? undefined : { ...part, from: to } };
  }

  #list(): readonly string[] {
    return this.#columns.map(({ name }) => pg.escapeIdentifier(name));
  }

  async #query(client: pg.Client, text: string, values: readonly string[]): Promise<readonly Texts[]> {
    const query: pg.QueryArrayConfig = { text, values: [...values], rowMode: 'array', types: AS_TEXT };
    return (await client.query<(string | null)[]>(query)).rows;
  }

  #decode(rows: readonly Texts[]): readonly TableRow[] {
    return rows.map((columns) => {
      const row: Record<string, unknown> = {};
      for (const [at, { name, decode }] of this.#columns.entries()) {
        const text = columns[at] as string | null;
        try {
          row[name] = text === null ? null : decode(text);
        } catch (error) {
          throw new TableUnreadableError(
            this.#reading.table,
            `column "${name}" holds ${JSON.stringify(text?.slice(0, 100))}: ${messageOf(error)}. Read it as text, through a view`,
            error,
          );
        }
      }
      return row;
    });
  }

  async #join(): Promise<pg.Client> {
    const client = await connect(this.#url);
    try {
      await beginReading(client, this.snapshot);
    } catch (error) {
      await client.end().catch(() => {});
      if (SNAPSHOT_GONE.has((error as { readonly code?: string }).code ?? '')) {
        this.isLost = true;
        throw new ConnectionError('the snapshot of PostgreSQL', error);
      }
      throw error;
    }
    return client;
  }

  /** Ends its connections, and with them a snapshot that it began. */
  async close(): Promise<void> {
    await Promise.all(this.#clients.map(ended));
  }
}

const ended = async (opening: Promise<pg.Client> | undefined): Promise<void> => {
  await opening?.then((client) => client.end()).catch(() => {});
};

type Texts = readonly (string | null)[];
const AS_TEXT = { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig;

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'headwater table', keepAlive: true });
  // A connection that ends fails its next query.
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function beginReading(client: pg.Client, snapshot: string | undefined): Promise<void> {
  const shared = snapshot === undefined ? '' : `SET TRANSACTION SNAPSHOT ${pg.escapeLiteral(snapshot)}; `;
  await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${shared}${SETTINGS}`);
}

interface Shape {
  readonly columns: readonly TableColumn[];
  /** Empty where rows are read by their place. */
  readonly key: readonly TableColumn[];
}

interface UniqueIndex {
  readonly names: readonly string[];
  readonly isPrimary: boolean;
  readonly hasNulls: boolean;
}

async function shapeOf(client: pg.Client, { table, columns: names, key }: TableReading): Promise<Shape> {
  const columns = await tableColumns(client, table, names);
  const { rows: indexes } = await client.query<UniqueIndex>(
    `SELECT json_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum)) AS names, i.indisprimary AS "isPrimary", bool_or(NOT a.attnotnull) AS "hasNulls"
      FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1])
      WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      GROUP BY i.indexrelid, i.indisprimary`,
    [quotedTable(table)],
  );
  const { rows } = await client.query<{ isView: boolean; hasChildren: boolean }>(
    `SELECT relkind IN ('v', 'f') AS "isView", relkind = 'r' AND EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = c.oid) AS "hasChildren"
      FROM pg_class c WHERE oid = $1::regclass`,
    [quotedTable(table)],
  );
  const { isView, hasChildren } = rows[0] as { isView: boolean; hasChildren: boolean };
  const found = key ?? indexes.find(({ isPrimary }) => isPrimary)?.names ?? [];
  if (found.length === 0 && (isView || hasChildren)) {
    const what = isView ? 'it is a view or a foreign table' : 'other tables inherit from it';
    throw new TableUnreadableError(table, `${what}: name the columns that identify a row in \`key\``);
  }
  const isUnique = indexes.some((index) => !index.hasNulls && isSame(index.names, found));
  if (key !== undefined && !isView && !hasChildren && !isUnique) {
    throw new TableUnreadableError(
      table,
      `no unique index holds exactly the columns of \`key\`, ${key.join(', ')}, none of them null`,
    );
  }
  return { columns, key: found.length === 0 ? [] : await tableColumns(client, table, found) };
}

const isSame = (names: readonly string[], others: readonly string[]): boolean =>
  names.length === others.length && names.every((name) => others.includes(name));

interface Relation {
  /** Quoted, with its schema. */
  readonly name: string;
  readonly blocks: number;
  /** As the newest ANALYZE has it, or an estimate. */
  readonly rows: number;
}

/** Rows of a block of 8 kB where nothing is known: of 160 bytes. */
const ROWS_A_BLOCK = 50;

/** Returns the table, or its partitions. */
async function relationsOf(client: pg.Client, table: string): Promise<readonly Relation[]> {
  const { rows } = await client.query<{ name: string; blocks: number; tuples: number; pages: number }>(
    `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
        (pg_relation_size(c.oid) / current_setting('block_size')::bigint)::float8 AS blocks, c.reltuples::float8 AS tuples, c.relpages AS pages
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE (c.oid = $1::regclass AND c.relkind <> 'p') OR c.oid IN (SELECT relid FROM pg_partition_tree($1::regclass) WHERE isleaf)
      ORDER BY 1`,
    [quotedTable(table)],
  );
  return rows.map(({ name, blocks, tuples, pages }) => ({
    name,
    blocks,
    rows: blocks * (pages > 0 && tuples > 0 ? tuples / pages : ROWS_A_BLOCK),
  }));
}

function readError(table: string, error: unknown): unknown {
  if (error instanceof TableUnreadableError || error instanceof ConnectionError) return error;
  const { code } = error as { readonly code?: string };
  return sqlFailure(code) === 'transient'
    ? new ConnectionError('PostgreSQL', error)
    : new TableUnreadableError(table, messageOf(error), error);
}
