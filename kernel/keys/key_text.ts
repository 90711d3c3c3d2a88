import { FIRST_INEXACT, INT64_MIN, type KeyValue, UINT64_MAX } from './key_codec.ts';
import { InvalidKeyError, MalformedKeyError } from './key_errors.ts';

/** A part of an entity's key: what join keys may hold. */
export type KeyPart = string | boolean | number | bigint | Uint8Array | readonly KeyPart[];

/** What a string's characters are escaped for. */
const SPECIAL = /[\\|()]/g;
const EMPTY_TUPLE = '#()';
const INTEGER = /^-?(0|[1-9]\d*)$/;

/**
 * Writes key parts as a string that people can read: `|` between parts, strings as they are but for `\`, `|`, `(`, `)` and a leading `#`, which a backslash
 * precedes; numbers, booleans and bytes as `#5`, `#true`, `#x00ff`; tuples in parentheses, an empty one as `#()`. Equal parts give equal strings, unequal ones unequal strings. It does not
 * sort as the parts do: {@link encodeKey} does.
 *
 * @throws {@link InvalidKeyError} naming a part that is missing, null, not finite, or holds NUL or a lone surrogate, which stores refuse
 */
export const keyTextOf = (parts: readonly KeyValue[]): string =>
  parts.map((part, index) => partText(part, parts.length === 1 ? '' : `[${index}]`)).join('|');

function partText(part: unknown, where: string): string {
  switch (typeof part) {
    case 'string':
      return stringText(part, where);
    case 'number':
      if (!Number.isFinite(part)) throw new InvalidKeyError(`is ${part}, which is not finite`, where);
      return `#${numberText(part)}`;
    case 'bigint':
      return `#${part}`;
    case 'boolean':
      return `#${part}`;
    default:
      if (part instanceof Uint8Array) return `#x${Buffer.from(part).toString('hex')}`;
      if (Array.isArray(part)) {
        if (part.length === 0) return EMPTY_TUPLE;
        return `(${part.map((inner, index) => partText(inner, `${where}[${index}]`)).join('|')})`;
      }
      throw new InvalidKeyError(part === null ? 'is null' : part === undefined ? 'is missing' : 'is an object', where);
  }
}

function stringText(part: string, where: string): string {
  if (!part.isWellFormed()) throw new InvalidKeyError('holds a lone surrogate', where);
  if (part.includes('\u0000')) throw new InvalidKeyError('holds NUL, which stores refuse', where);
  const escaped = part.replace(SPECIAL, '\\$&');
  return escaped.startsWith('#') ? `\\${escaped}` : escaped;
}

/** Integers of 64 bits by their digits, however they are held. */
function numberText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) >= FIRST_INEXACT && value >= -(2 ** 63) && value < 2 ** 64) {
    return BigInt(value).toString();
  }
  return String(value + 0);
}

/** Reads {@link keyTextOf}. @throws {@link MalformedKeyError} */
export function parseKeyText(text: string): KeyPart[] {
  const reader = new TextReader(text);
  const parts = reader.parts();
  if (reader.at < text.length) throw new MalformedKeyError(`")" at ${reader.at} of "${text}" closes nothing`);
  return parts;
}

class TextReader {
  readonly #text: string;
  at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Up to the end, or to the parenthesis that closes a tuple. */
  parts(): KeyPart[] {
    const parts: KeyPart[] = [];
    for (;;) {
      parts.push(this.#part());
      if (this.#text[this.at] !== '|') return parts;
      this.at += 1;
    }
  }

  #part(): KeyPart {
    if (this.#text.startsWith(EMPTY_TUPLE, this.at)) {
      this.at += EMPTY_TUPLE.length;
      return [];
    }
    if (this.#text[this.at] === '(') {
      this.at += 1;
      const parts = this.parts();
      if (this.#text[this.at] !== ')') throw new MalformedKeyError(`"${this.#text}" ends inside a tuple`);
      this.at += 1;
      return parts;
    }
    const isTyped = this.#text[this.at] === '#';
    let held = '';
    for (; this.at < this.#text.length; this.at += 1) {
      let char = this.#text[this.at] as string;
      if (char === '|' || char === ')') break;
      if (char === '(') throw new MalformedKeyError(`"(" at ${this.at} of "${this.#text}" begins no part`);
      if (char === '\\') {
        this.at += 1;
        char = this.#text[this.at] ?? '';
        if (!'\\|()#'.includes(char) || char === '')
          throw new MalformedKeyError(`"\\" at ${this.at - 1} of "${this.#text}" escapes nothing`);
      }
      held += char;
    }
    return isTyped ? typedPart(held.slice(1)) : held;
  }
}

function typedPart(text: string): KeyPart {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (/^x([0-9a-f]{2})*$/.test(text)) return Uint8Array.from(Buffer.from(text.slice(1), 'hex'));
  const integer = INTEGER.test(text) && text !== '-0' ? BigInt(text) : undefined;
  if (integer !== undefined && integer >= INT64_MIN && integer <= UINT64_MAX) {
    return integer > -9007199254740992n && integer < 9007199254740992n ? Number(integer) : integer;
  }
  const number = Number(text);
  if (text === '' || !Number.isFinite(number) || String(number) !== text) {
    throw new MalformedKeyError(`"#${text}" is no number, boolean or bytes`);
  }
  return number;
}
