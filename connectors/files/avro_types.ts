import avro from 'avsc';
import { textOfBytes } from './exact_rows.ts';

// avsc replaces bytes that are not UTF-8, and fails the whole file for an integer beyond 2^53. These types read both exactly.

/** The part of avsc's reader that its own types use; it is not in its declarations. Source: avsc 5.7.9, lib/utils.js. */
interface Tap {
  readonly buf: Buffer;
  pos: number;
  readLong(): number;
  readBytes(): Buffer;
}

class ExactString extends avro.types.StringType {
  _read(tap: Tap): unknown {
    // Beyond the end of a block avsc reads nothing, and reads again.
    const bytes = tap.readBytes() as Buffer | undefined;
    return bytes === undefined ? '' : textOfBytes(bytes);
  }
}

/** avsc computes with doubles: 49 bits of a zig-zag integer are exact. */
const EXACT_BYTES = 7;

class ExactLong extends avro.types.LongType {
  _read(tap: Tap): number | bigint {
    const from = tap.pos;
    const value = tap.readLong();
    if (tap.pos - from <= EXACT_BYTES) return value;
    const exact = zigzag(tap.buf.subarray(from, tap.pos));
    return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact;
  }
}

/** Source: Avro specification 1.11, "Binary encoding": variable-length zig-zag. */
function zigzag(bytes: Buffer): bigint {
  let value = 0n;
  for (const [index, byte] of bytes.entries()) value |= BigInt(byte & 0x7f) << BigInt(7 * index);
  return (value >> 1n) ^ -(value & 1n);
}

const primitiveOf = (schema: unknown): unknown => {
  if (typeof schema !== 'object' || schema === null || 'logicalType' in schema) return schema;
  return (schema as { readonly type?: unknown }).type;
};

/** Returns the type of a file's schema; strings and longs of it are read exactly. */
export function exactAvroType(schema: Parameters<typeof avro.Type.forSchema>[0]): avro.Type {
  return avro.Type.forSchema(schema, {
    typeHook(part) {
      const primitive = primitiveOf(part);
      if (primitive === 'string') return new ExactString();
      return primitive === 'long' ? new ExactLong() : undefined;
    },
  });
}
