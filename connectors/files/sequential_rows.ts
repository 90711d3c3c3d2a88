import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import avro from 'avsc';
import { parse as parseCsv } from 'csv-parse';
import { messageOf, PlatformError } from '#kernel/errors';
import { UnreadableFileError } from '../errors.ts';
import type { OpenFile } from './file_system.ts';
import { formatOf, type ReadRow, type Row } from './formats.ts';
import { NEWLINE, pushLine } from './json_lines.ts';

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
