import type { LogRecord, OutgoingRecord } from './connector.ts';

/** What makes a record one of an entity: plain data, so that another process can be asked about it. */
export interface EntityMention {
  /** Its key as stores and topics have it: `user:u1`. */
  readonly key: string;
  /** Its join keys with their values as strings: an object with all of them is about it. */
  readonly joinKeys: Readonly<Record<string, string>>;
}

/** Nested JSON texts, such as an event in a dead letter in a letter. */
const DEEPEST = 20;

/** Returns whether a record is about an entity: by its key, or by the JSON that it holds, also within strings and base64. */
export function isMentioned(
  { key, value }: Pick<LogRecord | OutgoingRecord, 'key' | 'value'>,
  mention: EntityMention,
): boolean {
  if (key === mention.key) return true;
  if (value === null || value.length === 0) return false;
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
  // Numbers beyond 2^53 are not what was written: the text is. Several join keys may stand in several objects.
  return Object.keys(mention.joinKeys).length === 1 && isInPart(text, mention);
}

function isIn(node: unknown, mention: EntityMention, depth: number): boolean {
  if (typeof node === 'string') return isInString(node, mention, depth);
  if (typeof node !== 'object' || node === null) return false;
  if (Array.isArray(node)) return node.some((item) => isIn(item, mention, depth));
  const fields = node as Readonly<Record<string, unknown>>;
  if (hasAll(fields, mention.joinKeys)) return true;
  if (fields.encoding === 'base64' && typeof fields.payload === 'string') {
    const bytes = Buffer.from(fields.payload, 'base64').toString('utf8');
    if (isInText(bytes, mention, depth + 1)) return true;
  }
  return Object.values(fields).some((value) => isIn(value, mention, depth));
}

function hasAll(fields: Readonly<Record<string, unknown>>, joinKeys: EntityMention['joinKeys']): boolean {
  const entries = Object.entries(joinKeys);
  return (
    entries.length > 0 &&
    entries.every(([name, value]) => Object.hasOwn(fields, name) && String(fields[name]) === value)
  );
}

function isInString(text: string, mention: EntityMention, depth: number): boolean {
  if (text === mention.key) return true;
  return /^\s*[[{]/.test(text) ? isInText(text, mention, depth + 1) : isInPart(text, mention);
}

/** What is no whole JSON, as a letter that was cut or a message: all join keys with their values, or the key as a word of its own. */
function isInPart(text: string, { key, joinKeys }: EntityMention): boolean {
  for (let at = text.indexOf(key); at >= 0; at = text.indexOf(key, at + 1)) {
    const end = at + key.length;
    if (
      !/[\w@|\\:.#-]$/.test(text.slice(0, at).slice(-1)) &&
      !/^(?:[\w@|\\-]|[:.#]\S)/.test(text.slice(end, end + 2))
    ) {
      return true;
    }
  }
  const entries = Object.entries(joinKeys);
  return entries.length > 0 && entries.every(([name, value]) => hasField(text, name, value));
}

function hasField(text: string, name: string, value: string): boolean {
  // However often quotes are escaped: the text may be JSON within JSON.
  const quote = '\\\\*"';
  const inside = escapeRegExp(JSON.stringify(value).slice(1, -1));
  return new RegExp(
    `${quote}${escapeRegExp(name)}${quote}\\s*:\\s*(?:${quote}${inside}${quote}|${inside}(?![\\w.]))`,
  ).test(text);
}

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
