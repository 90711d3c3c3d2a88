import protobuf from 'protobufjs';

// Confluent's wire format for Protobuf: which message of the file a record is, then the message.

/** Numbers of the messages on the way to the record's type: the first of a file is [0]. */
export type MessageIndexes = readonly number[];

/**
 * Reads message indexes: their count, then each, as zigzag varints; a single 0 byte stands for [0].
 *
 * @throws RangeError when they are cut off
 */
export function readMessageIndexes(bytes: Buffer): { readonly indexes: MessageIndexes; readonly message: Buffer } {
  const reader = protobuf.Reader.create(bytes);
  const count = reader.sint32();
  if (count < 0 || count > bytes.length) throw new RangeError(`${count} message indexes`);
  const indexes = count === 0 ? [0] : Array.from({ length: count }, () => reader.sint32());
  return { indexes, message: bytes.subarray(reader.pos) };
}

export function writeMessageIndexes(indexes: MessageIndexes): Buffer {
  if (indexes.length === 1 && indexes[0] === 0) return Buffer.from([0]);
  const writer = protobuf.Writer.create().sint32(indexes.length);
  for (const index of indexes) writer.sint32(index);
  return Buffer.from(writer.finish());
}

/** A file of message types. */
export class ProtobufFile {
  readonly #top: protobuf.NamespaceBase;

  /** @param references - files that it imports */
  constructor(schema: string, references: readonly string[] = []) {
    const { root, package: name } = protobuf.parse(schema);
    for (const reference of references) protobuf.parse(reference, root);
    root.resolveAll();
    this.#top = name === undefined || name === null ? root : (root.lookup(name) as protobuf.NamespaceBase);
  }

  /** @throws RangeError when the file has no such message */
  typeAt(indexes: MessageIndexes): protobuf.Type {
    let at: protobuf.NamespaceBase = this.#top;
    for (const index of indexes) {
      const types: protobuf.Type[] = at.nestedArray.filter((one) => one instanceof protobuf.Type);
      const type = types[index];
      if (type === undefined) throw new RangeError(`it has no message ${indexes.join('.')}`);
      at = type;
    }
    return at as protobuf.Type;
  }

  /** @param name - such as `Outer.Inner`, without the package. @throws RangeError */
  indexesOf(name: string): MessageIndexes {
    let at: protobuf.NamespaceBase = this.#top;
    return name.split('.').map((part) => {
      const types: protobuf.Type[] = at.nestedArray.filter((one) => one instanceof protobuf.Type);
      const index = types.findIndex((type) => type.name === part);
      if (index < 0) throw new RangeError(`it has no message ${name}`);
      at = types[index] as protobuf.Type;
      return index;
    });
  }

  decode(payload: Buffer): object {
    const { indexes, message } = readMessageIndexes(payload);
    const type = this.typeAt(indexes);
    return type.toObject(type.decode(message), { longs: String, defaults: true });
  }

  /** @throws Error when the value does not fit the message */
  encode(indexes: MessageIndexes, value: object): Buffer {
    const type = this.typeAt(indexes);
    const message = withLongs(type, value);
    const problem = type.verify(message);
    if (problem !== null) throw new Error(problem);
    return Buffer.concat([writeMessageIndexes(indexes), Buffer.from(type.encode(type.fromObject(message)).finish())]);
  }
}

const LONG = protobuf.util.Long as unknown as { fromString(digits: string, isUnsigned: boolean): unknown };
const LONGS = new Set(['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64']);

/** The value with bigints, and strings of digits, as Long where a field has 64 bits. */
function withLongs(type: protobuf.Type, value: object): Record<string, unknown> {
  const converted: Record<string, unknown> = { ...value };
  for (const { name, type: kind, resolvedType } of type.fieldsArray) {
    const field = converted[name];
    const one = (item: unknown): unknown => {
      if (LONGS.has(kind)) return longOf(item, kind.startsWith('u') || kind === 'fixed64');
      const isMessage = resolvedType instanceof protobuf.Type && typeof item === 'object' && item !== null;
      return isMessage ? withLongs(resolvedType, item) : item;
    };
    if (field !== undefined && field !== null) converted[name] = Array.isArray(field) ? field.map(one) : one(field);
  }
  return converted;
}

function longOf(value: unknown, isUnsigned: boolean): unknown {
  const isDigits = typeof value === 'bigint' || (typeof value === 'string' && /^-?\d+$/.test(value));
  return isDigits ? LONG.fromString(String(value), isUnsigned) : value;
}
