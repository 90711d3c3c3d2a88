import { deserialize, serialize } from 'node:v8';
import { canonicalJson, parseCanonicalJson } from '#kernel/json';
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

/**
 * Any value that can be cloned (HTML's structured clone): plain objects, arrays, Maps, Sets, Dates, typed arrays, bigints. Class
 * instances arrive as plain objects. Primitives have one encoding each; objects may have several, so keys use {@link KeyCoder}.
 */
export class ValueCoder extends BaseCoder<unknown> {
  constructor(urn = 'headwater:coder:value:v1') {
    super(urn);
  }

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

  protected encodeObject(value: unknown, out: ByteWriter): void {
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
      case CANONICAL:
        return parseCanonicalJson(from.text(from.size()));
      default:
        throw new RangeError(`${tag} begins no value: the bytes were written by another coder`);
    }
  }
}

/** Keys: equal values have equal bytes. Objects are JSON with sorted fields, so they hold what JSON holds. */
export class KeyCoder extends ValueCoder {
  constructor() {
    super('headwater:coder:key:v1');
  }

  protected override encodeObject(value: unknown, out: ByteWriter): void {
    out.byte(CANONICAL);
    out.lengthPrefixedText(canonicalJson(value));
  }
}
