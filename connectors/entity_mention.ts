import { isUtf8 } from 'node:buffer';
import { textOf } from '#kernel/text/text_of';

/** What makes a record one of an entity: plain data, so that another process can be asked about it. */
export interface EntityMention {
  /** Its key as stores and topics have it: `user:u1`. */
  readonly key: string;
  /** Its join keys with their values as strings: an object with all of them is about it. */
  readonly joinKeys: Readonly<Record<string, string>>;
}

/** Nested JSON strings, such as an event in a dead letter in a letter. */
const DEEPEST = 20;

/** Fields that hold keys of entities, and nothing else. */
const KEY_FIELDS = ['entityKey', 'entity_key'];

/** Returns whether a record is about an entity: by the JSON that it holds, also within strings and base64; a tombstone by its key. */
export function isMentioned(
  { key, value }: { readonly key: string | null | undefined; readonly value: string | Buffer | null },
  mention: EntityMention,
): boolean {
  if (value === null || value.length === 0) return key === mention.key;
  return isInText(typeof value === 'string' ? value : value.toString('utf8'), mention, 0);
}

/** Returns whether a text is about an entity: JSON, or what is left of it. */
export function isInText(text: string, mention: EntityMention, depth = 0): boolean {
  if (depth > DEEPEST) return isInPart(text, mention, depth);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return isInPart(text, mention, depth);
  }
  if (isIn(parsed, mention, depth)) return true;
  const [only, ...others] = Object.entries(mention.joinKeys);
  if (only === undefined || others.length > 0) return false;
  const [name, value] = only;
  // Numbers beyond 2^53, and keys that are repeated, are not what was written: the text is.
  const isAltered = LARGE_INTEGER.test(value) || text.indexOf(name) !== text.lastIndexOf(name);
  return isAltered && isInPart(text, mention, depth);
}

function isIn(node: unknown, mention: EntityMention, depth: number): boolean {
  if (typeof node === 'string') return /^\s*[[{]/.test(node) && isInText(node, mention, depth + 1);
  if (typeof node !== 'object' || node === null) return false;
  if (Array.isArray(node)) return node.some((item) => isIn(item, mention, depth));
  const fields = node as Readonly<Record<string, unknown>>;
  if (hasAll(fields, mention.joinKeys) || KEY_FIELDS.some((name) => fields[name] === mention.key)) return true;
  if (isSubject(fields, mention)) return true;
  if (typeof fields.payload === 'string') {
    const { payload, encoding, reason } = fields;
    const readings = encoding === 'base64' ? readingsOf(Buffer.from(payload, 'base64')) : [payload];
    if (readings.some((reading) => isInText(reading, mention, depth + 1))) return true;
    if (typeof reason === 'string' && hasWord(reason, mention.key)) return true;
  }
  return Object.values(fields).some((value) => isIn(value, mention, depth));
}

/** A CloudEvent that was refused: its subject is the user. */
function isSubject({ specversion, subject }: Readonly<Record<string, unknown>>, { joinKeys }: EntityMention): boolean {
  if (typeof specversion !== 'string' || typeof subject !== 'string') return false;
  return joinKeys.user_id === subject && Object.keys(joinKeys).length === 1;
}

/** What bytes may say: a body that was refused may be of another encoding. */
function readingsOf(bytes: Buffer): readonly string[] {
  const readings = [bytes.toString('utf8')];
  if (!isUtf8(bytes)) readings.push(bytes.toString('latin1'));
  if (bytes.includes(0)) {
    readings.push(bytes.toString('utf16le'));
    if (bytes.length % 2 === 0) readings.push(Buffer.from(bytes).swap16().toString('utf16le'));
  }
  return readings;
}

function hasAll(fields: Readonly<Record<string, unknown>>, joinKeys: EntityMention['joinKeys']): boolean {
  const entries = Object.entries(joinKeys);
  return (
    entries.length > 0 &&
    entries.every(([name, value]) => Object.hasOwn(fields, name) && textOf(fields[name]) === value)
  );
}

/** Returns whether a message names a key, as a whole. */
function hasWord(text: string, key: string): boolean {
  for (let at = text.indexOf(key); at >= 0; at = text.indexOf(key, at + 1)) {
    const before = text.slice(0, at).slice(-1);
    const after = text.slice(at + key.length, at + key.length + 2);
    if (!/[\w@|\\:.#-]$/.test(before) && !/^(?:[\w@|\\-]|[:.#]\S)/.test(after)) return true;
  }
  return false;
}

const STRING = '"(?:[^"\\\\]|\\\\.)*"';
const MEMBER = new RegExp(`(${STRING})\\s*:\\s*(${STRING}|[-\\w][\\w.+-]*)`, 'gs');

/** What is no whole JSON, as the payload of a letter that was cut: all join keys with their values, whichever way their strings are written. */
function isInPart(text: string, mention: EntityMention, depth: number): boolean {
  const missing = new Map(Object.entries(mention.joinKeys));
  if (missing.size === 0) return false;
  for (const [, name = '', written = ''] of text.matchAll(MEMBER)) {
    const value = written.startsWith('"') ? stringOf(written) : written;
    const field = stringOf(name);
    if (missing.get(field) === value || missing.get(field) === numberText(written)) missing.delete(field);
    if (missing.size === 0) return true;
    const isNested = depth < DEEPEST && value !== written && /^\s*[[{]/.test(value);
    if (isNested && isInText(value, mention, depth + 1)) return true;
  }
  return false;
}

/** A string as JSON has it, which may be no JSON. */
function stringOf(written: string): string {
  try {
    return JSON.parse(written) as string;
  } catch {
    return written.slice(1, -1);
  }
}

/** `5.0` is 5. */
const numberText = (written: string): string | undefined => (/^-?\d/.test(written) ? `${Number(written)}` : undefined);

const LARGE_INTEGER = /^-?\d{16,}$/;
