import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import avro from 'avsc';
import { parse as parseCsv } from 'csv-parse';
import { type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { messageOf, PlatformError } from '#kernel/errors';

export const FILE_FORMATS = ['jsonl', 'csv', 'parquet', 'avro'] as const;
export type FileFormat = (typeof FILE_FORMATS)[number];

/** A row as the formats have it: JSON values; from Parquet and Avro also dates, bigints and bytes. */
export type Row = Readonly<Record<string, unknown>>;

/** A row, or the reason why there is none. */
export type ReadRow =
  | { readonly ok: true; readonly row: Row }
  | { readonly ok: false; readonly reason: string; readonly text: string };

/** A file that is not what its name says. */
export class UnreadableFileError extends PlatformError {
  readonly code = 'CONNECTOR_UNREADABLE_FILE';

  constructor(path: string, problem: string, cause?: unknown) {
    super(`${path} cannot be read: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}

const SUFFIXES: readonly (readonly [suffix: string, format: FileFormat])[] = [
  ['.jsonl', 'jsonl'],
  ['.ndjson', 'jsonl'],
  ['.json', 'jsonl'],
  ['.csv', 'csv'],
  ['.parquet', 'parquet'],
  ['.avro', 'avro'],
];

/** A file's format by its name; `.gz` may follow. @throws {@link UnreadableFileError} */
export function formatOf(path: string): { readonly format: FileFormat; readonly isGzip: boolean } {
  const isGzip = path.endsWith('.gz');
  const name = isGzip ? path.slice(0, -'.gz'.length) : path;
  const found = SUFFIXES.find(([suffix]) => name.endsWith(suffix));
  if (found === undefined) {
    throw new UnreadableFileError(
      path,
      `its name should end in ${SUFFIXES.map(([suffix]) => suffix).join(', ')}, or that and .gz`,
    );
  }
  return { format: found[1], isGzip };
}

const NEWLINE = 0x0a;
const CHUNK_BYTES = 1_024 * 1_024;

/**
 * Lines of a JSON lines file that begin in [from, to), a chunk of about 1 MB.
 *
 * @returns rows and where the next chunk begins; undefined when this was the last
 */
export async function readJsonLines(
  path: string,
  from: number,
  to: number,
): Promise<{ readonly rows: readonly ReadRow[]; readonly next: number | undefined }> {
  const handle = await open(path);
  try {
    // A line that begins before `from` is another reader's: look one byte back for its end.
    let at = from === 0 ? 0 : await endOfLine(handle, from - 1);
    const rows: ReadRow[] = [];
    const stopAt = Math.min(to, at + CHUNK_BYTES);
    while (at < stopAt) {
      const bytes = await readAt(handle, at, CHUNK_BYTES);
      if (bytes.length === 0) return { rows, next: undefined };
      let begin = 0;
      for (let end = bytes.indexOf(NEWLINE, begin); end >= 0; end = bytes.indexOf(NEWLINE, begin)) {
        if (at + begin >= stopAt) break;
        pushLine(bytes.toString('utf8', begin, end), rows);
        begin = end + 1;
      }
      if (begin > 0) {
        at += begin;
        continue;
      }
      // A line longer than a chunk, or the last one without an end.
      const end = await endOfLine(handle, at);
      pushLine((await readAt(handle, at, end - at)).toString('utf8').replace(/\n$/, ''), rows);
      at = end;
    }
    return { rows, next: at >= to ? undefined : at };
  } finally {
    await handle.close();
  }
}

function pushLine(line: string, rows: ReadRow[]): void {
  if (line.trim() === '') return;
  try {
    const row = JSON.parse(line) as unknown;
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) rows.push({ ok: true, row: row as Row });
    else rows.push({ ok: false, reason: 'not a JSON object', text: line });
  } catch (error) {
    rows.push({ ok: false, reason: `not JSON: ${messageOf(error)}`, text: line });
  }
}

/** Offset after the newline that is at `at` or later; the file's end when there is none. */
async function endOfLine(handle: FileHandle, at: number): Promise<number> {
  for (let cursor = at; ; cursor += CHUNK_BYTES) {
    const bytes = await readAt(handle, cursor, CHUNK_BYTES);
    const found = bytes.indexOf(NEWLINE);
    if (found >= 0) return cursor + found + 1;
    if (bytes.length < CHUNK_BYTES) return cursor + bytes.length;
  }
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

/** Rows of a file that can only be read from its beginning: CSV, Avro, and whatever is gzipped. */
export async function* readSequentially(path: string, format: FileFormat, isGzip: boolean): AsyncGenerator<ReadRow> {
  try {
    if (format === 'parquet') throw new UnreadableFileError(path, 'Parquet files are not gzipped as a whole');
    const bytes = createReadStream(path);
    const plain: Readable = isGzip ? bytes.pipe(createGunzip()) : bytes;
    bytes.on('error', (error) => plain.destroy(error));
    if (format === 'csv') {
      const rows = plain.pipe(parseCsv({ columns: true, bom: true, skip_empty_lines: true }));
      plain.on('error', (error) => rows.destroy(error));
      for await (const row of rows) yield { ok: true, row: row as Row };
    } else if (format === 'avro') {
      const decoder = new avro.streams.BlockDecoder();
      plain.on('error', (error) => decoder.destroy(error));
      for await (const row of plain.pipe(decoder)) yield { ok: true, row: row as Row };
    } else {
      yield* readLines(plain);
    }
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw new UnreadableFileError(path, messageOf(error), error);
  }
}

async function* readLines(bytes: AsyncIterable<Buffer>): AsyncGenerator<ReadRow> {
  let rest: Buffer = Buffer.alloc(0);
  const rows: ReadRow[] = [];
  for await (const chunk of bytes) {
    const buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let begin = 0;
    for (let end = buffer.indexOf(NEWLINE); end >= 0; end = buffer.indexOf(NEWLINE, begin)) {
      pushLine(buffer.toString('utf8', begin, end), rows);
      begin = end + 1;
    }
    rest = buffer.subarray(begin);
    yield* rows.splice(0);
  }
  pushLine(rest.toString('utf8'), rows);
  yield* rows;
}

/** A Parquet file whose footer has been read. */
export class ParquetFile {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #metadata: FileMetaData;
  readonly #file: { readonly byteLength: number; slice(start: number, end?: number): Promise<ArrayBuffer> };

  private constructor(path: string, handle: FileHandle, byteLength: number, metadata: FileMetaData) {
    this.#path = path;
    this.#handle = handle;
    this.#metadata = metadata;
    this.#file = bufferOf(handle, byteLength);
  }

  /** @throws {@link UnreadableFileError} */
  static async open(path: string): Promise<ParquetFile> {
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      return new ParquetFile(path, handle, size, await parquetMetadataAsync(bufferOf(handle, size)));
    } catch (error) {
      await handle.close();
      throw new UnreadableFileError(path, messageOf(error), error);
    }
  }

  get rowGroups(): number {
    return this.#metadata.row_groups.length;
  }

  async readRowGroup(index: number): Promise<readonly Row[]> {
    const before = this.#metadata.row_groups.slice(0, index);
    const rowStart = before.reduce((sum, { num_rows: rows }) => sum + Number(rows), 0);
    const rowEnd = rowStart + Number(this.#metadata.row_groups[index]?.num_rows ?? 0);
    try {
      return await parquetReadObjects({ file: this.#file, metadata: this.#metadata, rowStart, rowEnd });
    } catch (error) {
      throw new UnreadableFileError(this.#path, `row group ${index}: ${messageOf(error)}`, error);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function bufferOf(handle: FileHandle, byteLength: number) {
  return {
    byteLength,
    async slice(start: number, end = byteLength): Promise<ArrayBuffer> {
      const bytes = await readAt(handle, start, end - start);
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
    },
  };
}

const ROW_GROUP = 50_000;

/** A whole file of rows, all with the same columns as far as they have them. Avro is read only. */
export function encodeRows(format: Exclude<FileFormat, 'avro'>, rows: readonly Row[]): Buffer {
  if (format === 'jsonl') return Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''), 'utf8');
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  if (format === 'csv') {
    const lines = [columns, ...rows.map((row) => columns.map((name) => row[name]))];
    return Buffer.from(lines.map((cells) => `${cells.map(csvCell).join(',')}\n`).join(''), 'utf8');
  }
  const columnData = columns.map((name) => {
    const values = rows.map((row) => row[name] ?? null);
    return { name, data: values, type: parquetType(values) };
  });
  return Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: ROW_GROUP }));
}

/** Source: RFC 4180. */
function csvCell(value: unknown): string {
  const text =
    value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** By the first value that there is; numbers are doubles, so that a column's type does not depend on which rows are in a file. */
function parquetType(
  values: readonly unknown[],
): 'DOUBLE' | 'BOOLEAN' | 'INT64' | 'TIMESTAMP' | 'BYTE_ARRAY' | 'JSON' | 'STRING' {
  const value = values.find((one) => one !== null);
  switch (typeof value) {
    case 'number':
      return 'DOUBLE';
    case 'boolean':
      return 'BOOLEAN';
    case 'bigint':
      return 'INT64';
    case 'object':
      if (value instanceof Date) return 'TIMESTAMP';
      return value instanceof Uint8Array ? 'BYTE_ARRAY' : 'JSON';
    default:
      return 'STRING';
  }
}
