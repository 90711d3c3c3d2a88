import { InvalidPipelineError } from '#pipelines/engine/errors';
import * as SchemaTypes from '#pipelines/proto/schema';
import type { ByteReader, ByteWriter } from './bytes.ts';
import { BaseCoder, type Coder } from './coder.ts';
import {
  BoolCoder,
  BytesCoder,
  DoubleCoder,
  IterableCoder,
  NullableCoder,
  StringUtf8Coder,
  VarIntCoder,
} from './standard_coders.ts';
import { readTime, writeTime } from './wire_time.ts';

type Schema = SchemaTypes.Schema;
type FieldType = SchemaTypes.FieldType;
type LogicalType = SchemaTypes.LogicalType;

export type Row = Readonly<Record<string, unknown>>;

interface FieldCoder {
  readonly name: string;
  readonly nullable: boolean;
  readonly coder: Coder<unknown>;
}

/**
 * Rows with a schema. Logical types: decimal (a decimal string), micros_instant ({ seconds, micros }), millis_instant (ms),
 * fixed_char, var_char, fixed_bytes, var_bytes; others come as their representation.
 */
export class RowCoder extends BaseCoder<Row> {
  /** In order of encoding. */
  readonly #fields: readonly FieldCoder[];
  /** Index in {@link #fields} of each field in schema order: where its null bit is. */
  readonly #schemaOrder: readonly number[];

  constructor(schema: Schema) {
    super('beam:coder:row:v1', [], SchemaTypes.Schema.toBinary(schema));
    const ordered = schema.fields.map((field, index) => ({
      field,
      index,
      position: schema.encodingPositionsSet ? field.encodingPosition : index,
    }));
    ordered.sort((a, b) => a.position - b.position);
    this.#fields = ordered.map(({ field: { name, type } }) => ({
      name,
      nullable: type?.nullable ?? false,
      coder: valueCoderOf(name, type),
    }));
    this.#schemaOrder = schema.fields.map((_, index) => ordered.findIndex((entry) => entry.index === index));
  }

  static fromPayload(payload: Uint8Array): RowCoder {
    return new RowCoder(SchemaTypes.Schema.fromBinary(payload));
  }

  /** What each field is made of, in a word: for tools that read untyped examples. */
  get fieldKinds(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#fields.map(({ name, coder }) => [name, kindOf(coder)]));
  }

  encode(row: Row, out: ByteWriter): void {
    const fields = this.#fields;
    out.varint(fields.length);
    const nulls: number[] = [];
    for (const [index, { name, nullable }] of fields.entries()) {
      const value = row[name];
      if (value !== null && value !== undefined) continue;
      if (!nullable) throw new RangeError(`field "${name}" of a row is ${value}, but its schema does not allow null`);
      nulls[index >> 3] = (nulls[index >> 3] ?? 0) | (1 << (index & 7));
    }
    out.varint(nulls.length);
    for (let index = 0; index < nulls.length; index += 1) out.byte(nulls[index] ?? 0);
    for (const { name, coder } of fields) {
      const value = row[name];
      if (value !== null && value !== undefined) coder.encode(value, out, true);
    }
  }

  decode(from: ByteReader): Row {
    const fields = this.#fields;
    const count = from.size();
    const nulls = from.bytes(from.size());
    const values: unknown[] = fields.map(() => null);
    for (const [index, { coder }] of fields.entries()) {
      // A row written before fields were added ends earlier.
      if (index >= count) break;
      if (((nulls[index >> 3] ?? 0) & (1 << (index & 7))) === 0) values[index] = coder.decode(from, true);
    }
    const row: Record<string, unknown> = {};
    for (const index of this.#schemaOrder) row[(fields[index] as FieldCoder).name] = values[index];
    return row;
  }
}

function kindOf(coder: Coder<unknown>): string {
  if (coder instanceof BytesCoder || coder instanceof FixedBytesCoder) return 'bytes';
  if (coder instanceof FloatCoder) return 'float';
  if (coder instanceof DoubleCoder) return 'double';
  if (coder instanceof InstantCoder) return 'instant';
  return coder instanceof MapCoder ? 'map' : 'other';
}

function valueCoderOf(name: string, type: FieldType | undefined): Coder<unknown> {
  const info = type?.typeInfo;
  switch (info?.oneofKind) {
    case 'atomicType':
      return atomicCoder(info.atomicType);
    case 'arrayType':
      return new IterableCoder(elementCoder(name, info.arrayType.elementType)) as Coder<unknown>;
    case 'iterableType':
      return new IterableCoder(elementCoder(name, info.iterableType.elementType)) as Coder<unknown>;
    case 'mapType':
      return new MapCoder(
        elementCoder(name, info.mapType.keyType),
        elementCoder(name, info.mapType.valueType),
      ) as Coder<unknown>;
    case 'rowType':
      return new RowCoder(info.rowType.schema ?? SchemaTypes.Schema.create()) as Coder<unknown>;
    case 'logicalType':
      return logicalCoder(name, info.logicalType);
    default:
      throw new InvalidPipelineError(`field "${name}" of a schema has no type`);
  }
}

function elementCoder(name: string, type: FieldType | undefined): Coder<unknown> {
  const coder = valueCoderOf(name, type);
  return type?.nullable ? new NullableCoder(coder) : coder;
}

function atomicCoder(type: SchemaTypes.AtomicType): Coder<unknown> {
  const { AtomicType } = SchemaTypes;
  switch (type) {
    case AtomicType.BYTE:
      return new ByteCoder() as Coder<unknown>;
    case AtomicType.INT16:
      return new Int16Coder() as Coder<unknown>;
    case AtomicType.INT32:
    case AtomicType.INT64:
      return new VarIntCoder() as Coder<unknown>;
    case AtomicType.FLOAT:
      return new FloatCoder() as Coder<unknown>;
    case AtomicType.DOUBLE:
      return new DoubleCoder() as Coder<unknown>;
    case AtomicType.STRING:
      return new StringUtf8Coder() as Coder<unknown>;
    case AtomicType.BOOLEAN:
      return new BoolCoder() as Coder<unknown>;
    case AtomicType.BYTES:
      return new BytesCoder() as Coder<unknown>;
    default:
      throw new InvalidPipelineError(`a schema has a field of unknown atomic type ${type}`);
  }
}

function logicalCoder(name: string, type: LogicalType): Coder<unknown> {
  switch (type.urn) {
    case 'beam:logical_type:decimal:v1':
      return new DecimalCoder() as Coder<unknown>;
    case 'beam:logical_type:millis_instant:v1':
      return new InstantCoder() as Coder<unknown>;
    case 'beam:logical_type:fixed_char:v1':
      return new FixedCharCoder(lengthOf(type)) as Coder<unknown>;
    case 'beam:logical_type:fixed_bytes:v1':
      return new FixedBytesCoder(lengthOf(type)) as Coder<unknown>;
    default:
      return valueCoderOf(name, type.representation);
  }
}

function lengthOf({ urn, argument }: LogicalType): number {
  const value = argument?.fieldValue;
  if (value?.oneofKind === 'atomicValue' && value.atomicValue.value.oneofKind === 'int32') {
    return value.atomicValue.value.int32;
  }
  throw new InvalidPipelineError(`logical type ${urn} needs its length as an int32 argument`);
}

class ByteCoder extends BaseCoder<number> {
  constructor() {
    super('');
  }
  encode(value: number, out: ByteWriter): void {
    out.byte(value & 0xff);
  }
  decode(from: ByteReader): number {
    return (from.byte() << 24) >> 24;
  }
}

class Int16Coder extends BaseCoder<number> {
  constructor() {
    super('');
  }
  encode(value: number, out: ByteWriter): void {
    out.int16(value);
  }
  decode(from: ByteReader): number {
    return from.int16();
  }
}

class FloatCoder extends BaseCoder<number> {
  constructor() {
    super('');
  }
  encode(value: number, out: ByteWriter): void {
    out.float(value);
  }
  decode(from: ByteReader): number {
    return from.float();
  }
}

class InstantCoder extends BaseCoder<number> {
  constructor() {
    super('');
  }
  encode(value: number, out: ByteWriter): void {
    writeTime(value, out);
  }
  decode(from: ByteReader): number {
    return readTime(from);
  }
}

class MapCoder extends BaseCoder<ReadonlyMap<unknown, unknown>> {
  readonly #keyCoder: Coder<unknown>;
  readonly #valueCoder: Coder<unknown>;
  constructor(keyCoder: Coder<unknown>, valueCoder: Coder<unknown>) {
    super('');
    this.#keyCoder = keyCoder;
    this.#valueCoder = valueCoder;
  }
  encode(map: ReadonlyMap<unknown, unknown>, out: ByteWriter): void {
    out.int32(map.size);
    for (const [key, value] of map) {
      this.#keyCoder.encode(key, out, true);
      this.#valueCoder.encode(value, out, true);
    }
  }
  decode(from: ByteReader): ReadonlyMap<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    for (let count = from.int32(); count > 0; count -= 1) {
      const key = this.#keyCoder.decode(from, true);
      map.set(key, this.#valueCoder.decode(from, true));
    }
    return map;
  }
}

/** Scale, then the unscaled value as two's complement: Java's BigDecimal. */
class DecimalCoder extends BaseCoder<string> {
  constructor() {
    super('');
  }

  encode(value: string, out: ByteWriter): void {
    const [whole = '', fraction = ''] = value.split('.');
    const bytes = toTwosComplement(BigInt(whole + fraction));
    out.varint(fraction.length);
    out.varint(bytes.length);
    out.bytes(bytes);
  }

  decode(from: ByteReader): string {
    const scale = from.size();
    const unscaled = fromTwosComplement(from.bytes(from.size()));
    const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
    const sign = unscaled < 0n ? '-' : '';
    return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  }
}

function toTwosComplement(value: bigint): Uint8Array {
  let size = 1;
  while (BigInt.asIntN(size * 8, value) !== value) size += 1;
  const hex = BigInt.asUintN(size * 8, value)
    .toString(16)
    .padStart(size * 2, '0');
  return Buffer.from(hex, 'hex');
}

function fromTwosComplement(bytes: Uint8Array): bigint {
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${Buffer.from(bytes).toString('hex') || '0'}`));
}

/** Text of exactly `length` characters, padded with blanks. */
class FixedCharCoder extends BaseCoder<string> {
  readonly #length: number;
  constructor(length: number) {
    super('');
    this.#length = length;
  }
  encode(value: string, out: ByteWriter): void {
    out.lengthPrefixedText(value.padEnd(this.#length, ' '));
  }
  decode(from: ByteReader): string {
    return from.text(from.size());
  }
}

class FixedBytesCoder extends BaseCoder<Uint8Array> {
  readonly #length: number;
  constructor(length: number) {
    super('');
    this.#length = length;
  }
  encode(value: Uint8Array, out: ByteWriter): void {
    const padded = new Uint8Array(Math.max(this.#length, value.length));
    padded.set(value);
    out.varint(padded.length);
    out.bytes(padded);
  }
  decode(from: ByteReader): Uint8Array {
    return Uint8Array.from(from.bytes(from.size()));
  }
}
