import type { SignatureEncoder } from '#registry/signature_encoder';

/** Where a row's text lies in a body. */
export interface ScannedRow {
  readonly from: number;
  readonly to: number;
}

const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const LETTER_E = 0x45;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const LOWER_E = 0x65;

/** Numbers with more digits are left to `Number`. */
const MOST_DIGITS = 15;
const POWERS = Array.from({ length: 23 }, (_, power) => 10 ** power);

/**
 * Reads rows out of JSON text straight into a model's input, without making objects of them: `{"amount":12.5,"country":"DE",…}`. It reads numbers,
 * texts without escapes, true, false and null, columns in any order, fastest in that of the model. Whatever else it meets, it gives up: then the text is
 * parsed as usual, which also finds what is wrong with it.
 */
export class RowScanner {
  readonly #encoder: SignatureEncoder;
  readonly #columns: ReadonlyMap<string, number>;
  /** `"amount":` */
  readonly #keys: readonly string[];
  readonly #seen: Int32Array;
  #row = 0;
  #at = 0;

  constructor(encoder: SignatureEncoder) {
    this.#encoder = encoder;
    this.#columns = new Map(encoder.names.map((name, index) => [name, index]));
    this.#keys = encoder.names.map((name) => `${JSON.stringify(name)}:`);
    this.#seen = new Int32Array(encoder.width).fill(-1);
  }

  /**
   * @param from - where the row's brace is
   * @param offset - where its values go in `into`
   * @returns where the text goes on after the row; -1: given up
   */
  scan(text: string, from: number, into: Float32Array, offset: number): number {
    const { width } = this.#encoder;
    if (text.charCodeAt(from) !== OPEN) return -1;
    this.#row += 1;
    this.#at = skipSpaces(text, from + 1);
    let found = 0;
    if (text.charCodeAt(this.#at) === CLOSE) return this.#end(found, into, offset);
    for (;;) {
      const column = this.#column(text, found);
      if (column === -1 || this.#seen[column] === this.#row) return -1;
      this.#seen[column] = this.#row;
      found += 1;
      const value = this.#value(text, column);
      if (value === undefined) return -1;
      into[offset + column] = value;
      this.#at = skipSpaces(text, this.#at);
      const next = text.charCodeAt(this.#at);
      if (next === CLOSE) return found === width ? this.#at + 1 : this.#end(found, into, offset);
      if (next !== COMMA) return -1;
      this.#at = skipSpaces(text, this.#at + 1);
    }
  }

  /** Fills in what is missing. */
  #end(found: number, into: Float32Array, offset: number): number {
    const { width, missing } = this.#encoder;
    for (let column = 0; found < width && column < width; column += 1) {
      if (this.#seen[column] === this.#row) continue;
      const value = missing[column];
      if (value === undefined) return -1;
      into[offset + column] = value;
    }
    return this.#at + 1;
  }

  /** Reads a key and its colon. @param expected - the column it probably is. @returns -1 when it is none */
  #column(text: string, expected: number): number {
    const key = this.#keys[expected];
    if (key !== undefined && text.startsWith(key, this.#at)) {
      this.#at = skipSpaces(text, this.#at + key.length);
      return expected;
    }
    const name = this.#text(text);
    const column = name === undefined ? undefined : this.#columns.get(name);
    this.#at = skipSpaces(text, this.#at);
    if (column === undefined || text.charCodeAt(this.#at) !== COLON) return -1;
    this.#at = skipSpaces(text, this.#at + 1);
    return column;
  }

  /** @returns undefined: given up */
  #text(text: string): string | undefined {
    if (text.charCodeAt(this.#at) !== QUOTE) return undefined;
    const from = this.#at + 1;
    for (let at = from; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) {
        this.#at = at + 1;
        return text.slice(from, at);
      }
      if (code === BACKSLASH || code < SPACE) return undefined;
    }
    return undefined;
  }

  /** A value as the model sees it. @returns undefined: given up */
  #value(text: string, column: number): number | undefined {
    const first = text.charCodeAt(this.#at);
    let value: unknown;
    if (first === MINUS || (first >= ZERO && first <= NINE)) {
      const number = this.#number(text, first);
      if (number === undefined || this.#encoder.types[column] === 'double') return number;
      value = number;
    } else if (first === QUOTE) value = this.#text(text);
    else if (text.startsWith('true', this.#at)) value = this.#literal(4, true);
    else if (text.startsWith('false', this.#at)) value = this.#literal(5, false);
    else if (text.startsWith('null', this.#at)) value = this.#literal(4, null);
    if (value === undefined) return undefined;
    const encoded = this.#encoder.encodeValue(column, value);
    return typeof encoded === 'number' ? encoded : undefined;
  }

  #literal<T>(length: number, value: T): T {
    this.#at += length;
    return value;
  }

  /** Exact: few digits are divided by a power of ten that FP64 holds exactly (Clinger, 1990), others are left to `Number`. */
  #number(text: string, first: number): number | undefined {
    const from = this.#at;
    let at = first === MINUS ? from + 1 : from;
    let code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return undefined;
    let mantissa = 0;
    let digits = 0;
    // JSON has no leading zeros.
    if (code === ZERO) {
      code = text.charCodeAt(++at);
      if (code >= ZERO && code <= NINE) return undefined;
    }
    for (; code >= ZERO && code <= NINE; code = text.charCodeAt(++at)) {
      mantissa = mantissa * 10 + (code - ZERO);
      digits += 1;
    }
    let fraction = 0;
    if (code === DOT) {
      code = text.charCodeAt(++at);
      for (; code >= ZERO && code <= NINE; code = text.charCodeAt(++at)) {
        mantissa = mantissa * 10 + (code - ZERO);
        fraction += 1;
      }
      if (fraction === 0) return undefined;
    }
    const hasExponent = code === LOWER_E || code === LETTER_E;
    if (hasExponent) at = exponentEnd(text, at);
    if (at === -1) return undefined;
    this.#at = at;
    if (hasExponent || digits + fraction > MOST_DIGITS) {
      const number = Number(text.slice(from, at));
      return Number.isFinite(number) ? number : undefined;
    }
    const size = mantissa / (POWERS[fraction] as number);
    return first === MINUS ? -size : size;
  }
}

/** @returns where the number ends; -1 when there are no digits */
function exponentEnd(text: string, from: number): number {
  let at = from + 1;
  const sign = text.charCodeAt(at);
  if (sign === MINUS || sign === PLUS) at += 1;
  const digits = at;
  for (let code = text.charCodeAt(at); code >= ZERO && code <= NINE; code = text.charCodeAt(at)) at += 1;
  return at === digits ? -1 : at;
}

/** Space, tab, line feed, carriage return. */
export function skipSpaces(text: string, from: number): number {
  let at = from;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== SPACE && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    at += 1;
  }
}
