import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UnreadableFileError } from '../errors.ts';
import { DuckDbRows, filesOfSet, sortedSet, type TimeColumn } from './duckdb/duckdb_rows.ts';
import { currentVersion, tableOf } from './duckdb/tables.ts';
import { FilePieces } from './file_pieces.ts';
import { createFileSystems, type FileSystemOf } from './file_systems.ts';
import { formatOf, type ReadRow } from './formats.ts';
import { partitionValues } from './partition_values.ts';

/** How files are read that others have written. */
export interface HistoryReading {
  /** Of timestamps in Parquet files and tables that have none; default: `UTC`. */
  readonly zone?: string;
  /** What rows of tables, and of files that are sorted, are sorted by. */
  readonly time?: TimeColumn;
  /** Whether all files are read as one, sorted by time: for parts whose names do not follow time. */
  readonly sortsFiles?: boolean;
}

export interface HistoryPiece {
  readonly rows: readonly ReadRow[];
  /** Where reading resumes; undefined at the end. */
  readonly next: number | undefined;
  /** Where a row lies, for messages: `orders.csv, row 17`. */
  readonly placeOf: (index: number) => string;
}

interface OpenTable {
  readonly rows: DuckDbRows;
  /** Rows taken from it. */
  at: number;
  /** Removes the copy of a file that lies elsewhere. */
  release(): Promise<void>;
}

/**
 * Reads histories and labels, a piece at a time: JSON lines, CSV and Avro; Parquet files, Delta tables (`delta:FOLDER`) and Iceberg tables (`iceberg:FOLDER`) by DuckDB. Columns that folders
 * name come with each row.
 */
export class HistoryFiles {
  readonly #pieces: FilePieces;
  readonly #fileSystemOf: FileSystemOf;
  readonly #reading: HistoryReading;
  readonly #open = new Map<string, OpenTable>();

  constructor(fileSystems: FileSystemOf = createFileSystems(), reading: HistoryReading = {}) {
    this.#pieces = new FilePieces(fileSystems);
    this.#fileSystemOf = fileSystems;
    this.#reading = reading;
  }

  /**
   * Finds files that match any of the patterns, each once, in the order of their names, and tables, each at its current version. Files that begin with `_` or `.` are marks and
   * remains of whatever wrote the others.
   *
   * @throws {@link UnreadableFileError} for tables that cannot be read, and files that cannot be sorted
   */
  async find(patterns: readonly string[]): Promise<readonly string[]> {
    const files = await this.#pieces.find(patterns.filter((pattern) => tableOf(pattern) === undefined));
    const tables: string[] = [];
    for (const pattern of patterns) {
      const table = tableOf(pattern);
      if (table !== undefined) tables.push(await currentVersion(pattern, table));
    }
    const data = files.filter((path) => !/^[_.]/.test(path.slice(path.lastIndexOf('/') + 1)));
    if (this.#reading.sortsFiles !== true || data.length === 0) return [...data, ...tables];
    for (const path of data) {
      if (formatOf(path).format !== 'parquet' || path.startsWith('s3://'))
        throw new UnreadableFileError(path, 'only Parquet files of this machine can be sorted: name others by time');
    }
    return [sortedSet(data), ...tables];
  }

  /** Reads the piece that begins at `from`. */
  async read(path: string, from: number): Promise<HistoryPiece> {
    const set = filesOfSet(path);
    const isTable = set !== undefined || tableOf(path) !== undefined || isParquet(path);
    if (isTable) return this.#readTable(path, from);
    const piece = await this.#pieces.read(path, from);
    const isBytes = formatOf(path).format === 'jsonl' && !path.endsWith('.gz');
    const placeOf = (index: number): string =>
      isBytes
        ? `${path}, row ${index + 1}${from === 0 ? '' : ` after byte ${from}`}`
        : `${path}, row ${from + index + 1}`;
    return { ...piece, rows: withPartition(piece.rows, path), placeOf };
  }

  async #readTable(path: string, from: number): Promise<HistoryPiece> {
    const open = await this.#at(path, from);
    const { rows, placeOf } = await open.rows.next();
    if (rows.length === 0) await this.#close(path, open);
    open.at += rows.length;
    return {
      rows: withPartition(rows, path),
      next: rows.length === 0 ? undefined : open.at,
      placeOf: placeOf ?? ((index) => `${path}, row ${from + index + 1}`),
    };
  }

  async #at(path: string, from: number): Promise<OpenTable> {
    const before = this.#open.get(path);
    if (before?.at === from) return before;
    if (before !== undefined) await this.#close(path, before);
    const { path: local, release } = await this.#localCopy(path);
    const { zone = 'UTC', time } = this.#reading;
    try {
      const rows = await DuckDbRows.open(local, shownPath(path), from, { zone, time });
      const open = { rows, at: from, release };
      this.#open.set(path, open);
      return open;
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** DuckDB reads disks of this machine only: a file of a bucket is copied here for as long as it is read. */
  async #localCopy(path: string): Promise<{ readonly path: string; release(): Promise<void> }> {
    if (!path.startsWith('s3://')) return { path, release: async () => {} };
    const folder = await mkdtemp(join(tmpdir(), 'headwater-history-'));
    const release = (): Promise<void> => rm(folder, { recursive: true, force: true });
    const copy = join(folder, 'file.parquet');
    try {
      const file = await this.#fileSystemOf(path).open(path);
      try {
        await pipeline(file.stream(), createWriteStream(copy));
      } finally {
        await file.close();
      }
    } catch (error) {
      await release();
      throw error;
    }
    return { path: copy, release };
  }

  async #close(path: string, open: OpenTable): Promise<void> {
    this.#open.delete(path);
    open.rows.close();
    await open.release();
  }

  async close(): Promise<void> {
    for (const [path, open] of [...this.#open]) await this.#close(path, open);
    await this.#pieces.close();
  }
}

const isParquet = (path: string): boolean => path.endsWith('.parquet');

/** Whether all values of a file are text. */
export const isTextFile = (path: string): boolean =>
  filesOfSet(path) === undefined && tableOf(path) === undefined && formatOf(path).format === 'csv';

/** Names what is read, for messages. */
export function shownPath(path: string): string {
  const set = filesOfSet(path);
  return set === undefined ? path : `${set[0]}${set.length === 1 ? '' : ` and ${set.length - 1} more files`}`;
}

function withPartition(rows: readonly ReadRow[], path: string): readonly ReadRow[] {
  const partition = filesOfSet(path) === undefined ? partitionValues(path) : undefined;
  return partition === undefined ? rows : rows.map((read) => (read.ok ? { ...read, partition } : read));
}
