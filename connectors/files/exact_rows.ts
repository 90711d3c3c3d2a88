import { isUtf8 } from 'node:buffer';
import { InvalidJsonError, parseExactJsonBytes } from '#kernel/exact/exact_json';
import { UnreadableValue, unstorableTextIn } from '#kernel/text/unstorable_text';
import type { ReadRow, Row } from './formats.ts';

// What the readers of all formats share: a value arrives exactly as the file has it, or its row is refused and names the field.

/** Returns the text of UTF-8 bytes, or an {@link UnreadableValue} when they are none. A byte order mark is a character like others. */
export function textOfBytes(bytes: Uint8Array): string | UnreadableValue {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('utf8');
  return isUtf8(buffer) ? text : new UnreadableValue('holds bytes that are not UTF-8', text);
}

/** Returns the value of JSON in a column, or an {@link UnreadableValue} when it cannot be taken exactly. */
export function jsonOfBytes(bytes: Uint8Array): unknown {
  try {
    return parseExactJsonBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (!(error instanceof InvalidJsonError)) throw error;
    return new UnreadableValue(`holds JSON that cannot be used (${error.problems})`, String(textOfBytes(bytes)));
  }
}

/** Returns a row, or the reason why it is refused: text that no store takes, values that could not be read exactly. */
export function checkedRow(row: Row): ReadRow {
  const found = unstorableTextIn(row);
  if (found === undefined) return { ok: true, row };
  return { ok: false, reason: `${found.path}: ${found.problem}`, text: jsonOfRow(row) };
}

/** Returns a row as JSON; integers that no double holds are strings. */
export const jsonOfRow = (row: Row): string => JSON.stringify(row, exactIntegers);

function exactIntegers(_: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value;
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
}
