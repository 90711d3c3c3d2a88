import { isAscii, isUtf8 } from 'node:buffer';
import { messageOf, PlatformError } from '../errors.ts';
import { storable, unstorableTextIn } from '../text/unstorable_text.ts';

// JSON as RFC 8259 and I-JSON (RFC 7493) want it: what JSON.parse alters without a word (repeated keys, numbers that a double cannot hold, bytes that
// are not UTF-8) is refused, with the path. The usual document is parsed by JSON.parse and checked in one pass; only a suspicious one is read again.

/** A place in a document and what is wrong there. */
export interface JsonProblem {
  /** Dotted path, such as `rows.3.amount`; empty for the document as a whole. */
  readonly field: string;
  readonly problem: string;
}

/** Deeper documents are refused: code that walks them recursively must not run out of stack. */
export const DEEPEST_JSON = 100;
/** So many problems are named at most. */
const MOST_PROBLEMS = 20;
const LONGEST_NAMED = 100;

/** Text that is not JSON, or JSON that cannot be taken exactly as it was sent. Names every such place. */
export class InvalidJsonError extends PlatformError {
  readonly code = 'KERNEL_INVALID_JSON';
  readonly httpStatus = 400;
  readonly fields: readonly JsonProblem[];
  /** All of them, each after its path. */
  readonly problems: string;

  constructor(fields: readonly JsonProblem[]) {
    const problems = fields.map(({ field, problem }) => (field === '' ? problem : `${field}: ${problem}`)).join('; ');
    super(`the body was refused: ${problems}`, { fault: 'caller', retryable: false });
    this.fields = fields;
    this.problems = problems;
  }
}

const whole = (problem: string): InvalidJsonError => new InvalidJsonError([{ field: '', problem }]);

/**
 * Decodes UTF-8 without altering anything; a byte order mark at the beginning is dropped.
 *
 * @throws {@link InvalidJsonError} for bytes that are not UTF-8
 */
export function decodeUtf8(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1');
  if (!isUtf8(bytes)) throw whole('the bytes are not UTF-8: encode text as UTF-8');
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return bytes.toString('utf8', hasMark ? 3 : 0);
}

/** Parses the bytes of a JSON document. @throws {@link InvalidJsonError} */
export const parseExactJsonBytes = (bytes: Buffer): unknown => parseExactJson(decodeUtf8(bytes));

/**
 * Parses JSON whose values arrive exactly as they were written. Refused, each with its path: repeated keys; the keys `__proto__` and
 * `constructor.prototype`; NUL and lone surrogates in keys and strings; numbers that a double cannot hold ({@link isExactNumber}); more than
 * {@link DEEPEST_JSON} levels.
 *
 * @throws {@link InvalidJsonError} naming every such place, 20 at most
 */
export function parseExactJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw whole(`not JSON: ${messageOf(error)}`);
  }
  if (!text.includes('\\') && text.isWellFormed()) {
    if (shortestLength(value, 0) === text.length) return value;
    if (isPlain(text) && countKeys(value, 0) === countColons(text)) return value;
  }
  const problems = new Reader(text).problems();
  if (problems.length > 0) throw new InvalidJsonError(problems);
  return value;
}

/** A number with an exponent of three digits, or a key whose colon does not follow at once. Strings may match as well: then the text is read once more. */
const SUSPICIOUS = /["eE](?:-[0-9]{3}|\s+:)/;
/** A decimal of so many digits is exact enough: {@link isExactNumber}. */
const DIGITS_OF_DOUBLE = 17;

/** Whether a text without escapes has nothing that JSON.parse alters, but for repeated and refused keys and large integers. */
const isPlain = (text: string): boolean => !SUSPICIOUS.test(text) && !hasLongDecimal(text);

/**
 * The length of a value's shortest text without escapes: whatever JSON.parse has dropped, a text is longer for it. NaN where that cannot be said: a
 * number that an exponent could have made shorter, a large one, a key that is looked at, too many levels.
 */
function shortestLength(value: unknown, depth: number): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value === 'number') return shortestNumber(value);
  if (value === true || value === null) return 4;
  if (typeof value !== 'object') return 5;
  if (depth >= DEEPEST_JSON) return Number.NaN;
  // Brackets, and a comma after each but the last.
  let length = 1;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) length += shortestLength(value[at], depth + 1) + 1;
    return Math.max(2, length);
  }
  for (const key in value) {
    if (key === '__proto__' || key === 'constructor') return Number.NaN;
    const member = (value as Record<string, unknown>)[key];
    length += key.length + 4 + (typeof member === 'string' ? member.length + 2 : shortestLength(member, depth + 1));
  }
  return Math.max(2, length);
}

function shortestNumber(value: number): number {
  const size = Math.abs(value);
  const isShort = size > Number.MAX_SAFE_INTEGER || (size !== 0 && (size < 0.01 || size % 1_000 === 0));
  // JavaScript writes -0 as 0.
  if (isShort || Object.is(value, -0)) return Number.NaN;
  const hundredths = Math.round(size * 100);
  // Prices and counts: shorter to compute than to write.
  if (size >= 1e9 || hundredths / 100 !== size) return String(value).length;
  let length = value < 0 ? 2 : 1;
  for (let power = 10; power <= size; power *= 10) length += 1;
  if (hundredths % 100 === 0) return length;
  return length + (hundredths % 10 === 0 ? 2 : 3);
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** Whether digits around a point may be more than a double tells apart. */
function hasLongDecimal(text: string): boolean {
  for (let point = text.indexOf('.'); point !== -1; point = text.indexOf('.', point + 1)) {
    let from = point;
    while (isDigit(text.charCodeAt(from - 1))) from -= 1;
    let to = point + 1;
    while (isDigit(text.charCodeAt(to))) to += 1;
    if (to - from - 1 > DIGITS_OF_DOUBLE) return true;
  }
  return false;
}

/** In a plain text there is one for each key, and one for each string that begins with a colon. */
function countColons(text: string): number {
  let count = 0;
  for (let at = text.indexOf('":'); at !== -1; at = text.indexOf('":', at + 2)) count += 1;
  return count;
}

/** Keys at all levels; NaN where a key, a number or the depth is to be looked at. Fewer than the text has, where keys are repeated. */
function countKeys(value: unknown, depth: number): number {
  if (typeof value === 'number') return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? 0 : Number.NaN;
  if (typeof value !== 'object' || value === null) return 0;
  if (depth >= DEEPEST_JSON) return Number.NaN;
  let count = 0;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) count += countKeys(value[at], depth + 1);
    return count;
  }
  for (const key in value) {
    if (key === '__proto__' || key === 'constructor') return Number.NaN;
    count += 1;
    const member = (value as Record<string, unknown>)[key];
    if (typeof member !== 'string') count += countKeys(member, depth + 1);
  }
  return count;
}

const NUMBER = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
/** What toPrecision takes. */
const MOST_DIGITS = 100;
const SMALLEST_NORMAL = 2.2250738585072014e-308;

/**
 * Whether a number can be read as a double (IEEE 754 binary64, what JSON.parse, features and models work with) and nothing of it is lost.
 *
 * An integer beyond 2^53 must be the digits that the double is written with again: 9007199254740993 is not, it would come back as …992. A decimal
 * may have 17 significant digits, what tells doubles apart, and more only where they are the double's own. 1e400 and 1e-400 are refused: they would
 * become Infinity and 0.
 */
export function isExactNumber(literal: string): boolean {
  const parts = NUMBER.exec(literal);
  if (parts === null) return false;
  const [, integer = '', fraction = '', exponent = '0'] = parts;
  const significant = (integer + fraction).replace(/^0+/, '');
  const digits = significant.replace(/0+$/, '');
  if (digits === '') return true;
  const value = Math.abs(Number(literal));
  if (value === Number.POSITIVE_INFINITY || value === 0) return false;
  const lastDigitAt = Number(exponent) - fraction.length + (significant.length - digits.length);
  const isWhole = lastDigitAt >= 0;
  if (isWhole) return value <= Number.MAX_SAFE_INTEGER || digitsOf(String(value)) === digits;
  if (digits.length <= DIGITS_OF_DOUBLE && value >= SMALLEST_NORMAL) return true;
  return digits.length <= MOST_DIGITS && digitsOf(value.toPrecision(digits.length)) === digits;
}

/** The significant digits of a number as JavaScript writes it. */
const digitsOf = (written: string): string =>
  written
    .replace(/e.*$/, '')
    .replace('.', '')
    .replace(/^0+|0+$/g, '');

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Reads a text that JSON.parse has taken once more, for what it has altered. */
class Reader {
  readonly #text: string;
  readonly #problems: JsonProblem[] = [];
  readonly #path: (string | number)[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  problems(): readonly JsonProblem[] {
    this.#value();
    return this.#problems;
  }

  get #isOver(): boolean {
    return this.#problems.length >= MOST_PROBLEMS;
  }

  #report(problem: string): void {
    if (this.#isOver) return;
    // Paths are part of messages and answers: what stores refuse and what is endless stays out of them.
    const names = this.#path.map((part) => nameable(String(part)));
    this.#problems.push({ field: names.join('.'), problem });
  }

  #skipSpaces(): number {
    let code = this.#text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = this.#text.charCodeAt(++this.#at);
    return code;
  }

  #value(): void {
    const code = this.#skipSpaces();
    if ((code === 0x7b || code === 0x5b) && this.#path.length >= DEEPEST_JSON) {
      this.#report(`more than ${DEEPEST_JSON} levels of arrays and objects`);
      throw new InvalidJsonError(this.#problems);
    }
    if (code === QUOTE) this.#checkText(this.#string());
    else if (code === 0x7b) this.#object();
    else if (code === 0x5b) this.#array();
    else this.#scalar();
  }

  #string(): string {
    const from = this.#at;
    let isEscaped = false;
    for (let code = this.#text.charCodeAt(++this.#at); code !== QUOTE; code = this.#text.charCodeAt(++this.#at)) {
      if (code !== BACKSLASH) continue;
      isEscaped = true;
      this.#at += 1;
    }
    this.#at += 1;
    if (isEscaped) return JSON.parse(this.#text.slice(from, this.#at)) as string;
    return this.#text.slice(from + 1, this.#at - 1);
  }

  #checkText(text: string): void {
    const found = unstorableTextIn(text);
    if (found !== undefined) this.#report(found.problem);
  }

  #object(): void {
    const seen = new Set<string>();
    this.#at += 1;
    while (this.#skipSpaces() !== 0x7d) {
      if (this.#text.charCodeAt(this.#at) === 0x2c) {
        this.#at += 1;
        this.#skipSpaces();
      }
      const key = this.#string();
      this.#path.push(key);
      this.#checkText(key);
      if (seen.has(key)) this.#report('is there more than once: send each key once');
      seen.add(key);
      if (key === '__proto__') this.#report('is not taken as a key');
      if (key === 'prototype' && this.#path.at(-2) === 'constructor') this.#report('is not taken as a key');
      this.#skipSpaces();
      this.#at += 1;
      this.#value();
      this.#path.pop();
      if (this.#isOver) throw new InvalidJsonError(this.#problems);
    }
    this.#at += 1;
  }

  #array(): void {
    this.#at += 1;
    for (let index = 0; this.#skipSpaces() !== 0x5d; index += 1) {
      if (this.#text.charCodeAt(this.#at) === 0x2c) this.#at += 1;
      this.#path.push(index);
      this.#value();
      this.#path.pop();
      if (this.#isOver) throw new InvalidJsonError(this.#problems);
    }
    this.#at += 1;
  }

  /** A number, true, false or null. */
  #scalar(): void {
    const from = this.#at;
    while (isScalarCode(this.#text.charCodeAt(this.#at))) this.#at += 1;
    const literal = this.#text.slice(from, this.#at);
    if (/^[a-z]/.test(literal) || isExactNumber(literal)) return;
    this.#report(
      `the number ${shortened(literal)} cannot be kept exactly: it is no double (integers to 2^53, decimals of 17 digits): send it rounded, or as a string`,
    );
  }
}

const isNumberCode = (code: number): boolean => isDigit(code) || code === 0x2e || code === 0x2d;
const isScalarCode = (code: number): boolean =>
  isNumberCode(code) || code === 0x2b || (code >= 0x61 && code <= 0x7a) || code === 0x45;

const shortened = (text: string): string =>
  text.length <= LONGEST_NAMED ? text : `${text.slice(0, LONGEST_NAMED)}… (${text.length} characters)`;

/** A key as it is named in answers and logs. */
const nameable = (key: string): string => storable(shortened(key).replaceAll('\0', '\\u0000'));
