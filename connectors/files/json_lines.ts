import { InvalidJsonError, parseExactJsonBytes } from '#kernel/exact/exact_json';
import { payloadOf } from '../dead_letter.ts';
import type { OpenFile } from './file_system.ts';
import type { ReadRow, Row } from './formats.ts';

const NEWLINE = 0x0a;

/**
 * Lines of a JSON lines file that begin in [from, to), a chunk at a time.
 *
 * @returns rows and where the next chunk begins; undefined when this was the last
 */
export async function readJsonLines(
  file: OpenFile,
  chunkBytes: number,
  from: number,
  to: number,
): Promise<{ readonly rows: readonly ReadRow[]; readonly next: number | undefined }> {
  // A line that begins before `from` is another reader's: look one byte back for its end.
  let at = from === 0 ? 0 : await endOfLine(file, chunkBytes, from - 1);
  const rows: ReadRow[] = [];
  const stopAt = Math.min(to, at + chunkBytes);
  while (at < stopAt) {
    const bytes = await file.read(at, chunkBytes);
    if (bytes.length === 0) return { rows, next: undefined };
    let begin = 0;
    for (let end = bytes.indexOf(NEWLINE, begin); end >= 0; end = bytes.indexOf(NEWLINE, begin)) {
      if (at + begin >= stopAt) break;
      pushLine(bytes.subarray(begin, end), rows);
      begin = end + 1;
    }
    if (begin > 0) {
      at += begin;
      continue;
    }
    // A line longer than a chunk, or the last one without an end.
    const end = await endOfLine(file, chunkBytes, at);
    pushLine(await file.read(at, end - at), rows);
    at = end;
  }
  return { rows, next: at >= to ? undefined : at };
}

const isBlank = (bytes: Buffer): boolean =>
  bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === NEWLINE);

/** Adds the row of a line, with or without its end. A byte order mark before it is dropped. */
export function pushLine(line: Buffer, rows: ReadRow[]): void {
  if (isBlank(line)) return;
  const bytes = line.at(-1) === NEWLINE ? line.subarray(0, -1) : line;
  const refuse = (reason: string) => {
    const { payload: text, ...encoding } = payloadOf(bytes);
    rows.push({ ok: false, reason, text, ...encoding });
  };
  try {
    const row = parseExactJsonBytes(bytes);
    if (typeof row === 'object' && row !== null && !Array.isArray(row)) rows.push({ ok: true, row: row as Row });
    else refuse('not a JSON object');
  } catch (error) {
    if (!(error instanceof InvalidJsonError)) throw error;
    refuse(error.problems);
  }
}

/** Offset after the newline that is at `at` or later; the file's end when there is none. */
async function endOfLine(file: OpenFile, chunkBytes: number, at: number): Promise<number> {
  for (let cursor = at; ; cursor += chunkBytes) {
    const bytes = await file.read(cursor, chunkBytes);
    const found = bytes.indexOf(NEWLINE);
    if (found >= 0) return cursor + found + 1;
    if (bytes.length < chunkBytes) return cursor + bytes.length;
  }
}
