import { avalanche } from '../hashes/hash.ts';
import { InvalidKeyError, MalformedKeyError } from './key_errors.ts';

/** What a key may hold. Integers beyond 2^53 are bigints; a bigint that a number holds exactly is the same key as the number. */
export type KeyValue = null | boolean | number | bigint | string | Uint8Array | readonly KeyValue[] | KeyStruct;
export interface KeyStruct {
  readonly [field: string]: KeyValue | undefined;
}

/** First byte of a value. Types sort in this order; 0 ends strings, bytes, tuples and structs. */
const END = 0x00;
const NULL = 0x02;
const FALSE = 0x10;
const TRUE = 0x11;
const NUMBER = 0x20;
const STRING = 0x30;
const BYTES = 0x40;
const TUPLE = 0x50;
const STRUCT = 0x60;
/** After a 0 inside a string or bytes. */
const ESCAPE = 0xff;

/** From here on not every integer is a number. */
export const FIRST_INEXACT = 2 ** 53;
export const INT64_MIN = -(2n ** 63n);
export const UINT64_MAX = 2n ** 64n - 1n;

const scratch = new DataView(new ArrayBuffer(8));
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Encodes a key as bytes: equal keys give equal bytes, unequal keys unequal ones, and bytes sort as keys do (memcmp): numbers by value whether
 * integer or not, strings by code point, tuples element by element, a prefix first.
 * The layout follows FoundationDB's tuple layer; numbers are one type here, since JavaScript's 5 and 5n are one identifier (docs/adr/0017).
 *
 * @throws {@link InvalidKeyError} naming the part that has no canonical form
 */
export function encodeKey(value: KeyValue): Uint8Array {
  const out = new KeyWriter();
  write(out, value, '');
  return out.take();
}

/** Decodes {@link encodeKey}'s bytes. @throws {@link MalformedKeyError} when they are not such, or not canonical */
export function decodeKey(bytes: Uint8Array): KeyValue {
  const reader = new KeyReader(bytes);
  const value = reader.value();
  if (reader.at !== bytes.length) throw new MalformedKeyError(`${bytes.length - reader.at} bytes follow its end`);
  return value;
}

class KeyWriter {
  #bytes = new Uint8Array(64);
  #length = 0;

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  /** Bytes with every 0 escaped, and an end. */
  escaped(bytes: Uint8Array): void {
    this.#reserve(2 * bytes.length + 1);
    const to = this.#bytes;
    let at = this.#length;
    for (let index = 0; index < bytes.length; index += 1) {
      const byte = bytes[index] as number;
      to[at] = byte;
      at += 1;
      if (byte === END) {
        to[at] = ESCAPE;
        at += 1;
      }
    }
    to[at] = END;
    this.#length = at + 1;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

function write(out: KeyWriter, value: unknown, where: string): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw new InvalidKeyError('holds a lone surrogate, which UTF-8 cannot encode', where);
      out.byte(STRING);
      out.escaped(utf8.encode(value));
      return;
    case 'number':
      writeNumber(out, value, where);
      return;
    case 'bigint':
      writeBigint(out, value, where);
      return;
    case 'boolean':
      out.byte(value ? TRUE : FALSE);
      return;
    case 'object':
      writeObject(out, value, where);
      return;
    default:
      throw new InvalidKeyError(`is ${typeof value === 'undefined' ? 'missing' : `a ${typeof value}`}`, where);
  }
}

function writeObject(out: KeyWriter, value: object | null, where: string): void {
  if (value === null) {
    out.byte(NULL);
    return;
  }
  if (value instanceof Uint8Array) {
    out.byte(BYTES);
    out.escaped(value);
    return;
  }
  if (Array.isArray(value)) {
    out.byte(TUPLE);
    for (let index = 0; index < value.length; index += 1) write(out, value[index], `${where}[${index}]`);
    out.byte(END);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype && !isForeignPlainObject(prototype)) {
    throw new InvalidKeyError(
      `is a ${value.constructor?.name ?? 'class instance'}, which has no canonical form`,
      where,
    );
  }
  out.byte(STRUCT);
  for (const field of Object.keys(value).sort()) {
    const part = (value as Record<string, unknown>)[field];
    if (part === undefined) continue;
    write(out, field, `${where}.${field}`);
    write(out, part, `${where}.${field}`);
  }
  out.byte(END);
}

/** Of another realm, such as a vm context's. */
const isForeignPlainObject = (prototype: unknown): boolean =>
  Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, 'isPrototypeOf');

function writeNumber(out: KeyWriter, value: number, where: string): void {
  if (!Number.isFinite(value)) throw new InvalidKeyError(`is ${value}, which is not finite`, where);
  writeDouble(out, value);
  if (Math.abs(value) >= FIRST_INEXACT) writeResidual(out, 0);
}

/** The largest double that is not above it, and what is missing. */
function writeBigint(out: KeyWriter, value: bigint, where: string): void {
  if (value < INT64_MIN || value > UINT64_MAX) {
    throw new InvalidKeyError(`is ${value}, which is no integer of 64 bits`, where);
  }
  let floor = Number(value);
  if (BigInt(floor) > value) floor = nextBelow(floor);
  writeDouble(out, floor);
  if (Math.abs(floor) >= FIRST_INEXACT) writeResidual(out, Number(value - BigInt(floor)));
}

/** Eight bytes that sort as the numbers do: the sign bit flipped, all bits of negative ones. */
function writeDouble(out: KeyWriter, value: number): void {
  // -0 is 0.
  scratch.setFloat64(0, value + 0);
  const flip = value < 0 ? 0xff : 0;
  out.byte(NUMBER);
  out.byte(scratch.getUint8(0) ^ (flip | 0x80));
  for (let index = 1; index < 8; index += 1) out.byte(scratch.getUint8(index) ^ flip);
}

/** Doubles of 64-bit integers are at most 2^11 apart. */
function writeResidual(out: KeyWriter, residual: number): void {
  out.byte(residual >>> 8);
  out.byte(residual & 0xff);
}

function nextBelow(value: number): number {
  scratch.setFloat64(0, value);
  scratch.setBigUint64(0, scratch.getBigUint64(0) + (value > 0 ? -1n : 1n));
  return scratch.getFloat64(0);
}

class KeyReader {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(): KeyValue {
    const tag = this.#byte();
    switch (tag) {
      case NULL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case NUMBER:
        return this.#number();
      case STRING:
        return this.#string();
      case BYTES:
        return this.#unescaped();
      case TUPLE:
        return this.#tuple();
      case STRUCT:
        return this.#struct();
      default:
        throw new MalformedKeyError(`byte ${this.at - 1} is 0x${tag.toString(16)}, which begins no value`);
    }
  }

  #byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new MalformedKeyError(`it ends after ${this.#bytes.length} bytes, inside a value`);
    this.at += 1;
    return byte;
  }

  #number(): number | bigint {
    const first = this.#byte();
    const flip = first < 0x80 ? 0xff : 0;
    scratch.setUint8(0, first ^ (flip | 0x80));
    for (let index = 1; index < 8; index += 1) scratch.setUint8(index, this.#byte() ^ flip);
    const double = scratch.getFloat64(0);
    if (!Number.isFinite(double) || Object.is(double, -0))
      throw new MalformedKeyError(`${double} is no canonical number`);
    if (Math.abs(double) < FIRST_INEXACT) return double;
    const residual = (this.#byte() << 8) | this.#byte();
    const integer = BigInt(double) + BigInt(residual);
    if (integer < INT64_MIN || integer > UINT64_MAX) {
      if (residual !== 0) throw new MalformedKeyError(`${integer} is no integer of 64 bits`);
      return double;
    }
    let floor = Number(integer);
    if (BigInt(floor) > integer) floor = nextBelow(floor);
    if (floor !== double) throw new MalformedKeyError(`${integer} is not encoded from its nearest double below`);
    return integer;
  }

  #unescaped(): Uint8Array {
    const bytes: number[] = [];
    for (let byte = this.#byte(); ; byte = this.#byte()) {
      if (byte !== END) bytes.push(byte);
      else if (this.#bytes[this.at] === ESCAPE) {
        bytes.push(END);
        this.at += 1;
      } else return Uint8Array.from(bytes);
    }
  }

  #string(): string {
    try {
      return strictUtf8.decode(this.#unescaped());
    } catch (error) {
      if (error instanceof MalformedKeyError) throw error;
      throw new MalformedKeyError('a string in it is not UTF-8');
    }
  }

  #tuple(): readonly KeyValue[] {
    const parts: KeyValue[] = [];
    while (this.#bytes[this.at] !== END) parts.push(this.value());
    this.at += 1;
    return parts;
  }

  #struct(): KeyStruct {
    const fields: [string, KeyValue][] = [];
    while (this.#bytes[this.at] !== END) {
      if (this.#byte() !== STRING) throw new MalformedKeyError(`a field's name at byte ${this.at - 1} is no string`);
      const name = this.#string();
      const previous = fields.at(-1)?.[0];
      if (previous !== undefined && previous >= name) throw new MalformedKeyError(`field "${name}" is out of order`);
      fields.push([name, this.value()]);
    }
    this.at += 1;
    return Object.fromEntries(fields);
  }
}

/**
 * Returns what identifies a key in a Map: equal for equal keys only. Strings and safe numbers, which most keys are, identify themselves; anything else is
 * identified by its encoding, marked so that it equals no string.
 *
 * @throws {@link InvalidKeyError} when the key has no canonical form
 */
export function keyIdOf(key: unknown): string | number | boolean | null | undefined {
  switch (typeof key) {
    case 'string':
      return key.charCodeAt(0) === 0 ? identityOf(key) : key;
    case 'number':
      return Math.abs(key) < FIRST_INEXACT ? key : identityOf(key);
    case 'boolean':
    case 'undefined':
      return key as boolean | undefined;
    case 'bigint':
      return key > -9007199254740992n && key < 9007199254740992n ? Number(key) : identityOf(key);
    default:
      return key === null ? null : identityOf(key);
  }
}

const MARK = '\u0000';

const identityOf = (key: unknown): string => MARK + Buffer.from(encodeKey(key as KeyValue)).toString('latin1');

/** How many key groups state is divided into, unless configured: an upper bound of the threads a job can ever use. */
export const KEY_GROUPS = 128;

/**
 * Returns a key's group, 0 to `groups` - 1: the same in every process and release. State is saved by group, so that it can move to another number of threads
 * (as Apache Flink's key groups). FNV-1a over the encoding, 32 bits, then the finaliser of MurmurHash3.
 */
export function keyGroupOf(key: unknown, groups = KEY_GROUPS): number {
  const known = typeof key === 'string' ? hashOfText(key) : typeof key === 'number' ? hashOfNumber(key) : undefined;
  if (known !== undefined) return (avalanche(known) >>> 0) % groups;
  const bytes = key === undefined ? UNDEFINED : encodeKey(key as KeyValue);
  let hash = 0x811c9dc5;
  for (let index = 0; index < bytes.length; index += 1) hash = Math.imul(hash ^ (bytes[index] as number), 0x01000193);
  return (avalanche(hash) >>> 0) % groups;
}

const UNDEFINED = new Uint8Array(0);

/** FNV-1a over the encoding of a number, without making it; undefined where it has more than eight bytes. */
function hashOfNumber(key: number): number | undefined {
  if (!(Math.abs(key) < FIRST_INEXACT)) return undefined;
  scratch.setFloat64(0, key + 0);
  const flip = key < 0 ? 0xff : 0;
  let hash = Math.imul(0x811c9dc5 ^ NUMBER, 0x01000193);
  hash = Math.imul(hash ^ scratch.getUint8(0) ^ (flip | 0x80), 0x01000193);
  for (let index = 1; index < 8; index += 1) hash = Math.imul(hash ^ scratch.getUint8(index) ^ flip, 0x01000193);
  return hash;
}

/** FNV-1a over the encoding of a string, without making it; undefined where it is more than ASCII. */
function hashOfText(key: string): number | undefined {
  let hash = Math.imul(0x811c9dc5 ^ STRING, 0x01000193);
  for (let index = 0; index < key.length; index += 1) {
    const code = key.charCodeAt(index);
    if (code === 0 || code > 0x7f) return undefined;
    hash = Math.imul(hash ^ code, 0x01000193);
  }
  return Math.imul(hash ^ END, 0x01000193);
}

/** Returns which of `workers` owns a key group: contiguous ranges, as even as they come. */
export const ownerOfKeyGroup = (group: number, workers: number, groups = KEY_GROUPS): number =>
  Math.floor((group * workers) / groups);
