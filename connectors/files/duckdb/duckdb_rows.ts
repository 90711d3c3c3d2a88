import type { DuckDBResult, DuckDBValueConverter } from '@duckdb/node-api';
import { messageOf, PlatformError } from '#kernel/errors';
import { UnreadableFileError } from '../../errors.ts';
import { checkedRow, jsonOfBytes } from '../exact_rows.ts';
import type { ReadRow } from '../formats.ts';
import { type PartitionValues, partitionValues } from '../partition_values.ts';
import { type DuckDb, openDuckDb, quotedName, quotedText } from './duckdb.ts';
import { exactConverter } from './duckdb_values.ts';
import { scanOf, tableOf } from './tables.ts';

/** How times are written in a column: numbers since 1970 and timestamps sort as they are, strings by what they say. */
export interface TimeColumn {
  readonly name: string;
  /** Of strings, as strptime has it; undefined: RFC 3339 and what is like it. */
  readonly pattern: string | undefined;
}

export interface TableReading {
  /** Of timestamps without one. */
  readonly zone: string;
  /** What rows of tables and of sets of files are sorted by; undefined: they come as they lie there. */
  readonly time?: TimeColumn | undefined;
}

/** What DuckDB reads at once. */
interface Relation {
  /** In SQL. */
  readonly sql: string;
  /** As the file names them; undefined: as DuckDB does. */
  readonly columns: readonly string[] | undefined;
  readonly isSorted: boolean;
}

const FILE_NAME = '__headwater_file';
const FILE_ROW = '__headwater_row';

/** Files that are read as one, sorted by time: `sorted:["a.parquet","b.parquet"]`. */
const SORTED = 'sorted:';
export const sortedSet = (paths: readonly string[]): string => `${SORTED}${JSON.stringify(paths)}`;
export const filesOfSet = (path: string): readonly string[] | undefined =>
  path.startsWith(SORTED) ? (JSON.parse(path.slice(SORTED.length)) as string[]) : undefined;

/** Rows of Parquet files and tables, exactly as they are there, read by DuckDB as they are taken: memory does not grow with the file. */
export class DuckDbRows {
  readonly #path: string;
  readonly #duckdb: DuckDb;
  readonly #columns: readonly string[];
  readonly #result: DuckDBResult;
  readonly #converter: DuckDBValueConverter<unknown>;
  readonly #isJson: readonly boolean[];
  readonly #partitions = new Map<string, PartitionValues | undefined>();

  private constructor(
    path: string,
    duckdb: DuckDb,
    columns: readonly string[],
    result: DuckDBResult,
    converter: DuckDBValueConverter<unknown>,
  ) {
    this.#path = path;
    this.#duckdb = duckdb;
    this.#columns = columns;
    this.#result = result;
    this.#converter = converter;
    this.#isJson = result.columnTypes().map(({ alias }) => alias === 'JSON');
  }

  /**
   * @param path - of a Parquet file on this machine, of a table, or of a set of files
   * @param shown - the path as messages name it
   * @param from - rows to leave out
   * @throws {@link UnreadableFileError}, {@link MissingExtensionError}, {@link PackageMissingError}
   */
  static async open(path: string, shown: string, from: number, reading: TableReading): Promise<DuckDbRows> {
    const duckdb = await openDuckDb(`reading ${shown}`);
    try {
      const relation = await relationOf(duckdb, path, shown);
      const described = await describe(duckdb, relation.sql);
      const order = relation.isSorted ? orderOf(described, reading.time, shown) : '';
      const offset = from === 0 ? '' : ` OFFSET ${from}`;
      const result = await duckdb.connection.stream(`SELECT * FROM ${relation.sql}${order}${offset}`);
      const columns = relation.columns ?? described.map(({ name }) => name);
      return new DuckDbRows(shown, duckdb, columns, result, exactConverter(duckdb, reading.zone));
    } catch (error) {
      duckdb.close();
      throw understood(shown, error);
    }
  }

  /** @returns some rows, and where they lie, when they are of several files; none at the end */
  async next(): Promise<{ readonly rows: readonly ReadRow[]; readonly placeOf?: (index: number) => string }> {
    try {
      const chunk = await this.#result.fetchChunk();
      if (chunk === null || chunk.rowCount === 0) return { rows: [] };
      const columns = chunk
        .convertColumns(this.#converter)
        .map((values, at) => (this.#isJson[at] ? values.map(jsonOf) : values));
      const files = columns[this.#columns.indexOf(FILE_NAME)] as readonly string[] | undefined;
      const places = columns[this.#columns.indexOf(FILE_ROW)] as readonly bigint[] | undefined;
      const rows = Array.from({ length: chunk.rowCount }, (_, at) => this.#rowOf(columns, at, files?.[at]));
      if (files === undefined) return { rows };
      return { rows, placeOf: (index) => `${files[index]}, row ${(places?.[index] ?? 0n) + 1n}` };
    } catch (error) {
      throw understood(this.#path, error);
    }
  }

  #rowOf(columns: readonly (readonly unknown[])[], at: number, file: string | undefined): ReadRow {
    const row: Record<string, unknown> = {};
    for (const [index, name] of this.#columns.entries()) {
      if (name !== FILE_NAME && name !== FILE_ROW) row[name] = (columns[index] as readonly unknown[])[at];
    }
    const read = checkedRow(row);
    const partition = file === undefined ? undefined : this.#partitionOf(file);
    return partition === undefined || !read.ok ? read : { ...read, partition };
  }

  #partitionOf(file: string): PartitionValues | undefined {
    if (!this.#partitions.has(file)) this.#partitions.set(file, partitionValues(file));
    return this.#partitions.get(file);
  }

  close(): void {
    this.#duckdb.close();
  }
}

const jsonOf = (value: unknown): unknown => (typeof value === 'string' ? jsonOfBytes(Buffer.from(value)) : value);

async function relationOf(duckdb: DuckDb, path: string, shown: string): Promise<Relation> {
  const table = tableOf(path);
  if (table !== undefined) return { sql: await scanOf(duckdb, path, table), columns: undefined, isSorted: true };
  const set = filesOfSet(path);
  if (set !== undefined) {
    const files = `[${set.map(quotedText).join(', ')}]`;
    const columns = `* RENAME (filename AS ${FILE_NAME}, file_row_number AS ${FILE_ROW})`;
    const options = 'union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true';
    return { sql: `(SELECT ${columns} FROM read_parquet(${files}, ${options}))`, columns: undefined, isSorted: true };
  }
  // `*` and the like are part of a file's name here.
  const columns = await columnsOf(duckdb, path, shown);
  const name = path.replace(/[*?[{]/g, '[$&]');
  return { sql: `read_parquet(${quotedText(name)}, hive_partitioning = false)`, columns, isSorted: false };
}

/** Columns as the file names them: DuckDB renames one that differs from another only in case. */
async function columnsOf(duckdb: DuckDb, path: string, shown: string): Promise<readonly string[]> {
  const name = path.replace(/[*?[{]/g, '[$&]');
  const result = await duckdb.connection.run(`SELECT name, num_children FROM parquet_schema(${quotedText(name)})`);
  const elements = (await result.getRows()) as unknown as readonly (readonly [string, bigint | null])[];
  const columns: string[] = [];
  const skip = (at: number): number => {
    let next = at + 1;
    for (let child = 0n; child < (elements[at]?.[1] ?? 0n); child += 1n) next = skip(next);
    return next;
  };
  for (let at = 1; at < elements.length; at = skip(at)) columns.push((elements[at] as readonly [string, unknown])[0]);
  const repeated = columns.find((column, index) => columns.indexOf(column) !== index);
  if (repeated !== undefined)
    throw new UnreadableFileError(shown, `two columns are called "${repeated}": name each column once`);
  return columns;
}

interface Column {
  readonly name: string;
  readonly type: string;
}

async function describe({ connection }: DuckDb, sql: string): Promise<readonly Column[]> {
  const result = await connection.run(`DESCRIBE SELECT * FROM ${sql}`);
  const rows = (await result.getRows()) as unknown as readonly (readonly [string, string])[];
  return rows.map(([name, type]) => ({ name, type }));
}

/** Rows of one time come in the order of their values, so that a second reading skips those of the first. */
function orderOf(columns: readonly Column[], time: TimeColumn | undefined, shown: string): string {
  if (time === undefined) return '';
  const [first = '', ...inside] = time.name.split('.');
  const column = columns.find(({ name }) => name === time.name) ?? columns.find(({ name }) => name === first);
  if (column === undefined) {
    throw new UnreadableFileError(
      shown,
      `it has no column "${time.name}" with the time, by which rows are sorted; it has ${columns.map(({ name }) => name).join(', ')}: name the column in history.columns`,
    );
  }
  const whole = column.name === time.name ? [column.name] : [first, ...inside];
  const value = whole.map(quotedName).join('.');
  const isText = column.name === time.name && column.type === 'VARCHAR';
  const read =
    time.pattern === undefined
      ? `TRY_CAST(${value} AS TIMESTAMPTZ)`
      : `try_strptime(${value}, ${quotedText(time.pattern)})`;
  return ` ORDER BY ${isText ? `${read} NULLS FIRST` : `${value} NULLS FIRST`}, COLUMNS(*)`;
}

/** What DuckDB fails with, without the statement that it was given. */
function understood(shown: string, error: unknown): unknown {
  if (error instanceof PlatformError) return error;
  const [problem = ''] = messageOf(error).split('\n\nLINE ', 1);
  const advice = problem.includes('Invalid string encoding') ? '. Write the column as valid UTF-8, or as binary' : '';
  return new UnreadableFileError(shown, `${problem.trim()}${advice}`, error);
}
