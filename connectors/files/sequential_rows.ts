import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import avro from 'avsc';
import { parse as parseCsv } from 'csv-parse';
import { messageOf, PlatformError } from '#kernel/errors';
import { byteLines } from '#kernel/text/byte_lines';
import { storable, type UnreadableValue, unstorableTextIn } from '#kernel/text/unstorable_text';
import { UnreadableFileError } from '../errors.ts';
import { exactAvroType } from './avro_types.ts';
import { checkedRow, textOfBytes } from './exact_rows.ts';
import type { OpenFile } from './file_system.ts';
import { formatOf, type ReadRow, type Row } from './formats.ts';
import { pushLine } from './json_lines.ts';

/** Rows of a file that can only be read from its beginning: CSV, Avro, and whatever is gzipped. */
export async function* readSequentially(file: OpenFile): AsyncGenerator<ReadRow> {
  const { path } = file;
  const { format, isGzip } = formatOf(path);
  try {
    if (format === 'parquet') throw new UnreadableFileError(path, 'Parquet files are not gzipped as a whole');
    const bytes = file.stream();
    const plain: Readable = isGzip ? bytes.pipe(createGunzip()) : bytes;
    bytes.on('error', (error) => plain.destroy(error));
    if (format === 'csv') {
      yield* readCsv(plain, path);
    } else if (format === 'avro') {
      const decoder = new avro.streams.BlockDecoder({ parseHook: exactAvroType });
      plain.on('error', (error) => decoder.destroy(error));
      for await (const row of plain.pipe(decoder)) yield checkedRow(row as Row);
    } else {
      yield* readLines(plain);
    }
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw new UnreadableFileError(path, messageOf(error), error);
  }
}

/**
 * Rows of CSV (RFC 4180); the first line names the columns. The bytes are read as Latin-1, which keeps each of them, and decoded cell by cell: one that
 * is not UTF-8 is refused with its row.
 *
 * @throws {@link UnreadableFileError} when the columns are ambiguous
 */
async function* readCsv(plain: Readable, path: string): AsyncGenerator<ReadRow> {
  const parser = parseCsv({ encoding: 'latin1', relax_column_count: true, skip_empty_lines: true });
  plain.on('error', (error) => parser.destroy(error));
  let columns: readonly string[] | undefined;
  for await (const cells of plain.pipe(parser) as AsyncIterable<string[]>) {
    if (columns === undefined) columns = columnsOfCsv(cells, path);
    else yield rowOfCsv(columns, cells);
  }
}

/** A byte order mark, read as Latin-1. */
const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

function columnsOfCsv([first = '', ...others]: readonly string[], path: string): readonly string[] {
  const cells = [first.startsWith(BYTE_ORDER_MARK) ? first.slice(BYTE_ORDER_MARK.length) : first, ...others];
  const names = cells.map(cellOf);
  const unreadable = unstorableTextIn(names);
  if (unreadable !== undefined) {
    throw new UnreadableFileError(path, `the name of column ${unreadable.path} ${unreadable.problem}`);
  }
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) {
    throw new UnreadableFileError(path, `two columns are called "${String(repeated)}": name each column once`);
  }
  return names as string[];
}

function rowOfCsv(columns: readonly string[], cells: readonly string[]): ReadRow {
  if (cells.length !== columns.length) {
    const reason = `it has ${cells.length} cells, and the header names ${columns.length} columns`;
    return { ok: false, reason, text: storable(String(cells.map(cellOf))) };
  }
  return checkedRow(Object.fromEntries(columns.map((name, index) => [name, cellOf(cells[index] as string)])));
}

const NOT_ASCII = /[\u0080-\u00ff]/;

/** @param text - read as Latin-1 */
const cellOf = (text: string): string | UnreadableValue =>
  NOT_ASCII.test(text) ? textOfBytes(Buffer.from(text, 'latin1')) : text;

async function* readLines(bytes: AsyncIterable<Buffer>): AsyncGenerator<ReadRow> {
  const rows: ReadRow[] = [];
  for await (const lines of byteLines(bytes)) {
    for (const line of lines) pushLine(line, rows);
    yield* rows.splice(0);
  }
}
