import { textOf } from '#kernel/text_of';

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
  if (depth > DEEPEST) return isInPart(text, mention);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return isInPart(text, mention);
  }
  if (isIn(parsed, mention, depth)) return true;
  // Numbers beyond 2^53 are not what was written: the text is.
  const [only, ...others] = Object.values(mention.joinKeys);
  return only !== undefined && others.length === 0 && LARGE_INTEGER.test(only) && isInPart(text, mention);
}

function isIn(node: unknown, mention: EntityMention, depth: number): boolean {
  if (typeof node === 'string') return /^\s*[[{]/.test(node) && isInText(node, mention, depth + 1);
  if (typeof node !== 'object' || node === null) return false;
  if (Array.isArray(node)) return node.some((item) => isIn(item, mention, depth));
  const fields = node as Readonly<Record<string, unknown>>;
  if (hasAll(fields, mention.joinKeys) || KEY_FIELDS.some((name) => fields[name] === mention.key)) return true;
  if (typeof fields.payload === 'string') {
    const { payload, encoding, reason } = fields;
    if (isInText(encoding === 'base64' ? Buffer.from(payload, 'base64').toString('utf8') : payload, mention, depth + 1))
      return true;
    if (typeof reason === 'string' && hasWord(reason, mention.key)) return true;
  }
  return Object.values(fields).some((value) => isIn(value, mention, depth));
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

/** What is no whole JSON, as the payload of a letter that was cut: all join keys with their values. */
function isInPart(text: string, { joinKeys }: EntityMention): boolean {
  const entries = Object.entries(joinKeys);
  return entries.length > 0 && entries.every(([name, value]) => hasField(text, name, value));
}

function hasField(text: string, name: string, value: string): boolean {
  const asString = escapeRegExp(JSON.stringify(value));
  const written = NOT_A_STRING.test(value) ? `(?:${asString}|${escapeRegExp(value)}(?![\\w.]))` : asString;
  return new RegExp(`"${escapeRegExp(name)}"\\s*:\\s*${written}`).test(text);
}

/** Numbers and booleans as JSON has them. */
const NOT_A_STRING = /^(?:-?\d[\d.eE+-]*|true|false)$/;
const LARGE_INTEGER = /^-?\d{16,}$/;
const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
