import { deserialize, serialize } from 'node:v8';
import type { Cells } from '#pipelines/engine/operators/keyed_state';

// How keys and cells are written into the store: as text, which crosses into it without a buffer of its own. Cells of plain values are JSON, which is read and written several
// times as fast as structured clones are; anything else is one.

/** A key, and its windows: ids, each followed by cells. */
type Written = readonly [key: unknown, windows: unknown[]];

const CLONED = '=';

/** Writes a key's cells. */
export function writeRecord(key: unknown, windows: unknown[]): string {
  const isPlain =
    isJson(key) && windows.every((part, at) => at % 2 === 0 || (part as Cells).every((cell) => isCellJson(cell)));
  const written: Written = [key, windows];
  return isPlain ? JSON.stringify(written) : CLONED + serialize(written).toString('base64');
}

/** Reads what {@link writeRecord} has written. */
export function readRecord(record: string): Written {
  if (record.startsWith(CLONED)) return deserialize(Buffer.from(record.slice(CLONED.length), 'base64')) as Written;
  const written = JSON.parse(record) as Written;
  for (let at = 1; at < written[1].length; at += 2) {
    const cells = written[1][at] as Cells;
    for (let slot = 0; slot < cells.length; slot += 1) if (cells[slot] === null) cells[slot] = undefined;
  }
  return written;
}

/** JSON writes null for undefined, so that an empty cell differs only from cells that are not null. */
const isCellJson = (cell: unknown): boolean => cell === undefined || (cell !== null && isJson(cell));

/** What lies deeper may go round in circles. */
const DEEPEST = 64;

/** Whether JSON gives back exactly this value. */
function isJson(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case 'string':
      return isWellFormed(value);
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    case 'boolean':
      return true;
    case 'object':
      if (value === null) return true;
      if (depth > DEEPEST) return false;
      return Array.isArray(value) ? isJsonArray(value, depth + 1) : isJsonObject(value, depth + 1);
    default:
      return false;
  }
}

function isJsonArray(values: readonly unknown[], depth: number): boolean {
  for (let at = 0; at < values.length; at += 1) if (!isJson(values[at], depth)) return false;
  return Object.keys(values).length === values.length;
}

function isJsonObject(value: object, depth: number): boolean {
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const name in value) {
    const isSafe = name !== '__proto__' && name !== 'toJSON' && isWellFormed(name);
    if (!isSafe || !isJson((value as Record<string, unknown>)[name], depth)) return false;
  }
  return true;
}

/** Whether a string is the same once it was written as UTF-8. */
function isWellFormed(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) if (text.charCodeAt(at) >= 0xd800) return text.isWellFormed();
  return true;
}

/** Returns where a key's record is: the transform's number, then what identifies the key. @param keyId - see keyIdOf in kernel/keys/key_codec.ts @param prefix - what comes before it */
export function recordKey(table: number, keyId: unknown, prefix = ''): string {
  const start = tableStart(table) + prefix;
  if (typeof keyId !== 'string') return `${start}:${String(keyId)}`;
  return isWellFormed(keyId) ? `${start}'${keyId}` : `${start}"${JSON.stringify(keyId)}`;
}

/** Returns what all records of a transform begin with; those of the next one come behind them. */
export const tableStart = (table: number): string => table.toString(16).padStart(4, '0');

const bits = new DataView(new ArrayBuffer(8));

/** Returns where a key's entry of a time is in a queue: behind {@link tableStart}, in order of time. */
export const dueKey = (table: number, at: number, keyId: unknown): string => recordKey(table, keyId, timeText(at));

/** A number as sixteen characters, in the same order as numbers. */
export function timeText(at: number): string {
  // Zero has two forms of bits.
  bits.setFloat64(0, at + 0);
  const [high, low] = [bits.getUint32(0), bits.getUint32(4)];
  const isNegative = high >= 0x8000_0000;
  const text = (part: number): string => (part >>> 0).toString(16).padStart(8, '0');
  return isNegative ? text(~high) + text(~low) : text(high ^ 0x8000_0000) + text(low);
}
