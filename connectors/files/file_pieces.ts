import { isStorable, unstorableTextIn } from '#kernel/text/unstorable_text';
import { type Columns, columnsOf, pickRows, rowsOf } from './columns.ts';
import { checkedRow } from './exact_rows.ts';
import type { OpenFile } from './file_system.ts';
import { createFileSystems, type FileSystemOf } from './file_systems.ts';
import { formatOf, type ReadRow } from './formats.ts';
import { readJsonLines } from './json_lines.ts';
import { ParquetFile } from './parquet/parquet_file.ts';
import { readSequentially } from './sequential_rows.ts';

/** What a place in a file counts: bytes of JSON lines, row groups of Parquet, rows of what can only be read from the beginning. */
export type FileUnit = 'bytes' | 'rowGroups' | 'rows';

export interface FilePiece {
  readonly rows: readonly ReadRow[];
  /** Where to continue; undefined at the end. */
  readonly next: number | undefined;
}

export interface ColumnPiece {
  readonly columns: Columns;
  /** What is no row. */
  readonly refused: readonly Extract<ReadRow, { ok: false }>[];
}

/** The same of columns; only those that can hold text are looked at. */
function checkedColumns(columns: Columns): ColumnPiece {
  const bad = new Set<number>();
  for (const [name, column] of columns.values) {
    if (ArrayBuffer.isView(column)) continue;
    for (let row = 0; row < columns.rows; row += 1) {
      const value = column[row];
      if (typeof value === 'string' ? isStorable(value) : unstorableTextIn(value) === undefined) continue;
      bad.add(row);
    }
    if (!isStorable(name)) for (let row = 0; row < columns.rows; row += 1) bad.add(row);
  }
  if (bad.size === 0) return { columns, refused: [] };
  const refused = rowsOf(
    pickRows(
      columns,
      [...bad].sort((a, b) => a - b),
    ),
  ).map(checkedRow);
  const kept = Array.from({ length: columns.rows }, (_, row) => row).filter((row) => !bad.has(row));
  return { columns: pickRows(columns, kept), refused: refused.filter((each) => !each.ok) };
}

interface OpenRows {
  readonly file: OpenFile;
  readonly rows: AsyncGenerator<ReadRow>;
  /** Rows taken from it. */
  at: number;
}

/** Rows of one piece, where rows are what is counted. */
const ROWS_AT_ONCE = 1_000;

/** @throws {@link UnreadableFileError} for names of no known format */
export function unitOf(path: string): FileUnit {
  const { format, isGzip } = formatOf(path);
  if (isGzip) return 'rows';
  if (format === 'jsonl') return 'bytes';
  return format === 'parquet' ? 'rowGroups' : 'rows';
}

/** Reads files piece by piece, each from a given position: what the sources of files have in common. */
export class FilePieces {
  readonly #fileSystemOf: FileSystemOf;
  readonly #open = new Map<string, OpenRows>();

  constructor(fileSystems: FileSystemOf = createFileSystems()) {
    this.#fileSystemOf = fileSystems;
  }

  /** Files that match any of the patterns, each once, in the order of their names. */
  async find(patterns: readonly string[]): Promise<readonly string[]> {
    const found = await Promise.all(patterns.map((pattern) => this.#fileSystemOf(pattern).glob(pattern)));
    return [...new Set(found.flat())].sort();
  }

  /** How much of its unit a file has; undefined where only reading it to the end can tell. */
  async lengthOf(path: string): Promise<number | undefined> {
    switch (unitOf(path)) {
      case 'bytes':
        return this.#with(path, (file) => file.size());
      case 'rowGroups':
        return this.#withParquet(path, async ({ rowGroups }) => rowGroups);
      case 'rows':
        return undefined;
    }
  }

  /** The piece that begins at `from` and ends before `to`, at the latest. */
  read(path: string, from: number, to = Number.MAX_SAFE_INTEGER): Promise<FilePiece> {
    switch (unitOf(path)) {
      case 'bytes': {
        const { chunkBytes } = this.#fileSystemOf(path);
        return this.#with(path, (file) => readJsonLines(file, chunkBytes, from, to));
      }
      case 'rowGroups':
        return this.#withParquet(path, async (file) => {
          const end = Math.min(to, file.rowGroups);
          const rows = from < end ? await file.readRowGroup(from) : [];
          return { rows: rows.map(checkedRow), next: from + 1 < end ? from + 1 : undefined };
        });
      case 'rows':
        return this.#readRows(path, from);
    }
  }

  /** A whole piece by column: what {@link read} gives from the same place on, and how many rows of it could not be read. */
  async readColumns(path: string, from: number, to: number): Promise<ColumnPiece> {
    if (unitOf(path) === 'rowGroups') {
      return checkedColumns(await this.#withParquet(path, (file) => file.readColumns(from)));
    }
    const read: ReadRow[] = [];
    for (let at: number | undefined = from; at !== undefined && at < to; ) {
      const piece: FilePiece = await this.read(path, at, to);
      read.push(...piece.rows);
      at = piece.next;
    }
    const rows = read.flatMap((each) => (each.ok ? [each.row] : []));
    return { columns: columnsOf(rows), refused: read.filter((each) => !each.ok) };
  }

  async #with<T>(path: string, work: (file: OpenFile) => Promise<T>): Promise<T> {
    const file = await this.#fileSystemOf(path).open(path);
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }

  async #withParquet<T>(path: string, work: (file: ParquetFile) => Promise<T>): Promise<T> {
    const file = await ParquetFile.open(await this.#fileSystemOf(path).open(path));
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }

  async #readRows(path: string, from: number): Promise<FilePiece> {
    const open = await this.#at(path, from);
    const rows: ReadRow[] = [];
    while (rows.length < ROWS_AT_ONCE) {
      const next = await open.rows.next();
      if (next.done === true) {
        await this.#close(open);
        return { rows, next: undefined };
      }
      open.at += 1;
      rows.push(next.value);
    }
    return { rows, next: open.at };
  }

  /** The file's rows from there on; after a restart those before are skipped. */
  async #at(path: string, from: number): Promise<OpenRows> {
    const before = this.#open.get(path);
    if (before?.at === from) return before;
    if (before !== undefined) await this.#close(before);
    const file = await this.#fileSystemOf(path).open(path);
    const open: OpenRows = { file, rows: readSequentially(file), at: 0 };
    this.#open.set(path, open);
    while (open.at < from && (await open.rows.next()).done !== true) open.at += 1;
    return open;
  }

  async #close({ file, rows }: OpenRows): Promise<void> {
    this.#open.delete(file.path);
    await rows.return(undefined);
    await file.close();
  }

  async close(): Promise<void> {
    for (const open of [...this.#open.values()]) await this.#close(open);
  }
}
