import { deserialize, serialize } from 'node:v8';
import { parseCanonicalJson } from '#kernel/json';
import { decodeKey, encodeKey, type KeyValue, keyIdOf } from '#kernel/keys/key_codec';
import type { ByteReader, ByteWriter } from './bytes.ts';
import { BaseCoder } from './coder.ts';

const UNDEFINED = 0;
const NULL = 1;
const FALSE = 2;
const TRUE = 3;
const INTEGER = 4;
const DOUBLE = 5;
const STRING = 6;
const CLONED = 7;
const CANONICAL = 8;
const ARRAY = 9;
const OBJECT = 10;
const KEY = 11;
/** Deeper than this, and so through a cycle, the structured clone takes over. */
const MOST_LEVELS = 16;

/**
 * Any value that can be cloned (HTML's structured clone): plain objects, arrays, Maps, Sets, Dates, typed arrays, bigints. Class
 * instances arrive as plain objects. Primitives have one encoding each; objects may have several, so keys use {@link KeyCoder}.
 */
export class ValueCoder extends BaseCoder<unknown> {
  constructor(urn = 'headwater:coder:value:v1') {
    super(urn);
  }

  #level = 0;

  encode(value: unknown, out: ByteWriter): void {
    switch (typeof value) {
      case 'string':
        out.byte(STRING);
        out.lengthPrefixedText(value);
        return;
      case 'number':
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
          out.byte(INTEGER);
          out.varint(value);
        } else {
          out.byte(DOUBLE);
          out.double(value);
        }
        return;
      case 'boolean':
        out.byte(value ? TRUE : FALSE);
        return;
      case 'undefined':
        out.byte(UNDEFINED);
        return;
      default:
        if (value === null) out.byte(NULL);
        else this.encodeObject(value, out);
    }
  }

  /** Plain objects and arrays field by field, which is several times faster than cloning; anything else as a clone. */
  protected encodeObject(value: unknown, out: ByteWriter): void {
    if (typeof value === 'object' && value !== null && this.#level < MOST_LEVELS) {
      if (Array.isArray(value)) {
        this.#level += 1;
        out.byte(ARRAY);
        out.varint(value.length);
        for (let index = 0; index < value.length; index += 1) this.encode(value[index], out);
        this.#level -= 1;
        return;
      }
      if (isPlain(value)) {
        this.#level += 1;
        const names = Object.keys(value);
        out.byte(OBJECT);
        out.varint(names.length);
        for (const name of names) {
          out.lengthPrefixedText(name);
          this.encode((value as Record<string, unknown>)[name], out);
        }
        this.#level -= 1;
        return;
      }
    }
    const bytes = serialize(value);
    out.byte(CLONED);
    out.varint(bytes.length);
    out.bytes(bytes);
  }

  decode(from: ByteReader): unknown {
    const tag = from.byte();
    switch (tag) {
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case INTEGER:
        return from.varint();
      case DOUBLE:
        return from.double();
      case STRING:
        return from.text(from.size());
      case CLONED:
        return deserialize(from.bytes(from.size()));
      case ARRAY: {
        const values = new Array<unknown>(from.size());
        for (let index = 0; index < values.length; index += 1) values[index] = this.decode(from);
        return values;
      }
      case OBJECT: {
        const value: Record<string, unknown> = {};
        for (let count = from.size(); count > 0; count -= 1) {
          const name = from.text(from.size());
          // A field of this name would otherwise set the prototype.
          if (name === '__proto__') Object.defineProperty(value, name, { value: this.decode(from), enumerable: true });
          else value[name] = this.decode(from);
        }
        return value;
      }
      case KEY:
        return decodeKey(from.bytes(from.size()));
      case CANONICAL:
        return parseCanonicalJson(from.text(from.size()));
      default:
        throw new RangeError(`${tag} begins no value: the bytes were written by another coder`);
    }
  }
}

/**
 * Keys: equal keys, and only those, have equal bytes. Strings, booleans and safe integers as values, anything else by the key codec (docs/adr/0017), which
 * refuses what has no canonical form.
 */
export class KeyCoder extends ValueCoder {
  constructor() {
    super('headwater:coder:key:v1');
  }

  override encode(value: unknown, out: ByteWriter): void {
    const id = keyIdOf(value);
    // An integer is one key as a number and as a bigint; what is not its own identity is encoded.
    const isPrimitive = typeof id !== 'string' || id === value;
    const isInteger = typeof id !== 'number' || Number.isSafeInteger(id);
    if (isPrimitive && isInteger) super.encode(id === 0 ? 0 : id, out);
    else {
      const bytes = encodeKey(value as KeyValue);
      out.byte(KEY);
      out.varint(bytes.length);
      out.bytes(bytes);
    }
  }
}

/** Made by {} or JSON, in whatever realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
