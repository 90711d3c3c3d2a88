import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from 'hyparquet';
import type { SchemaElement, SchemaTree } from 'hyparquet/src/types.js';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { jsonOfBytes, textOfBytes } from '#connectors/files/exact_rows';
import type { OpenFile } from '#connectors/files/file_system';
import { decimalText, unscaledOfCanonical } from '#feature_store/definitions/values/decimal_text';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { microsOf, timestampOfMicros } from '#feature_store/definitions/values/timestamp_text';
import { type FeatureType, typeOf, type ValueType } from '#feature_store/definitions/values/value_type';
import { UnreadableValue } from '#kernel/text/unstorable_text';

// Values of every type in Parquet, exactly: what history files and training sets hold.

const ROW_GROUP = 50_000;

/** A column with its values, one a row. `event_time` and its kind are dates in milliseconds. */
export interface ParquetColumn {
  readonly name: string;
  readonly type: FeatureType | 'date';
  readonly values: readonly (FeatureValue | Date)[];
}

/** Returns a whole file. */
export function encodeParquet(columns: readonly ParquetColumn[]): Buffer {
  const schema: SchemaElement[] = [{ name: 'root', num_children: columns.length }];
  const columnData = columns.map(({ name, type, values }) => {
    if (type === 'date') {
      schema.push({ name, type: 'INT64', converted_type: 'TIMESTAMP_MILLIS', repetition_type: 'OPTIONAL' });
      return { name, data: values as unknown[] };
    }
    const parsed = typeOf(type);
    schema.push(...elementsOf(name, parsed));
    const encode = encoderOf(parsed);
    return { name, data: values.map((value) => (value === null ? null : encode(value as FeatureValue))) };
  });
  return Buffer.from(parquetWriteBuffer({ columnData, schema, rowGroupSize: ROW_GROUP }));
}

/** The elements of a column, depth first. Source: Apache Parquet format, LogicalTypes.md (LIST of three levels). */
function elementsOf(name: string, type: ValueType, repetition: 'OPTIONAL' | 'REQUIRED' = 'OPTIONAL'): SchemaElement[] {
  const of = { name, repetition_type: repetition };
  switch (type.kind) {
    case 'double':
      return [{ ...of, type: 'DOUBLE' }];
    case 'long':
    case 'int64':
      return [{ ...of, type: 'INT64' }];
    case 'boolean':
      return [{ ...of, type: 'BOOLEAN' }];
    case 'string':
      return [{ ...of, type: 'BYTE_ARRAY', converted_type: 'UTF8' }];
    case 'bytes':
      return [{ ...of, type: 'BYTE_ARRAY' }];
    case 'timestamp': {
      const logical = { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' } as const;
      return [{ ...of, type: 'INT64', converted_type: 'TIMESTAMP_MICROS', logical_type: logical }];
    }
    case 'decimal': {
      const { precision, scale } = type;
      const decimal = { converted_type: 'DECIMAL', precision, scale } as const;
      return [{ ...of, type: 'FIXED_LEN_BYTE_ARRAY', type_length: bytesOf(precision), ...decimal }];
    }
    case 'embedding':
      return listOf(of, [{ name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' }]);
    case 'array':
      return listOf(of, elementsOf('element', type.element));
    case 'struct':
      return [
        { ...of, num_children: type.fields.length },
        ...type.fields.flatMap((field) => elementsOf(field.name, field.type)),
      ];
  }
}

const listOf = (of: SchemaElement, element: readonly SchemaElement[]): SchemaElement[] => [
  { ...of, num_children: 1, converted_type: 'LIST' },
  { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
  ...element,
];

/** Bytes that hold every integer of so many digits, with its sign. */
function bytesOf(precision: number): number {
  let bytes = 1;
  while (2n ** BigInt(8 * bytes - 1) < 10n ** BigInt(precision)) bytes += 1;
  return bytes;
}

function encoderOf(type: ValueType): (value: FeatureValue) => unknown {
  switch (type.kind) {
    case 'long':
      return (value) => BigInt(value as number);
    case 'timestamp':
      return (value) => microsOf(value as string);
    case 'decimal':
      return (value) => unscaledOfCanonical(value as string);
    case 'embedding':
      return (value) => Array.from(value as Float32Array);
    case 'array': {
      const encode = encoderOf(type.element);
      return (value) => (value as readonly FeatureValue[]).map((each) => (each === null ? null : encode(each)));
    }
    case 'struct': {
      const fields = type.fields.map((field) => ({ name: field.name, encode: encoderOf(field.type) }));
      return (value) =>
        Object.fromEntries(
          fields.map(({ name, encode }) => {
            const each = (value as Readonly<Record<string, FeatureValue>>)[name] ?? null;
            return [name, each === null ? null : encode(each)];
          }),
        );
    }
    default:
      return (value) => value;
  }
}

type Row = Readonly<Record<string, unknown>>;

/** Reads a file's rows, a row group at a time: decimals and times are exact strings, integers are bigints, text that cannot be read is an {@link UnreadableValue}. */
export async function* readParquet(file: OpenFile): AsyncGenerator<readonly Row[]> {
  const bytes = asyncBufferOf(file, await file.size());
  const metadata = await parquetMetadataAsync(bytes);
  const decoders = parquetSchema(metadata).children.map((node) => [node.element.name, decoderOf(node)] as const);
  withoutDecimals(metadata);
  let rowStart = 0;
  for (const { num_rows: rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(rows);
    const read = await parquetReadObjects({ file: bytes, metadata, rowStart, rowEnd, utf8: false, parsers: PARSERS });
    yield read.map((row) => Object.fromEntries(decoders.map(([name, decode]) => [name, decode(row[name])])));
    rowStart = rowEnd;
  }
}

/** The library would read them as doubles. Decoders are made before. */
function withoutDecimals({ schema }: FileMetaData): void {
  for (const element of schema) {
    if (!isDecimal(element)) continue;
    delete element.converted_type;
    delete element.logical_type;
  }
}

const isDecimal = ({ converted_type: converted, logical_type: logical }: SchemaElement): boolean =>
  converted === 'DECIMAL' || logical?.type === 'DECIMAL';

function decoderOf({ element, children }: SchemaTree): (value: unknown) => unknown {
  if (isDecimal(element)) {
    const { scale = 0 } = element;
    return (value) => (value === null || value === undefined ? null : decimalText(unscaled(value), scale));
  }
  if (children.length === 0) return (value) => value ?? null;
  const [only] = children as [SchemaTree, ...SchemaTree[]];
  if (element.converted_type === 'LIST' || element.logical_type?.type === 'LIST') {
    const decode = decoderOf(only.children.length === 1 ? (only.children[0] as SchemaTree) : only);
    return (value) => (Array.isArray(value) ? value.map(decode) : null);
  }
  const fields = children.map((child) => [child.element.name, decoderOf(child)] as const);
  return (value) =>
    value === null || value === undefined
      ? null
      : Object.fromEntries(fields.map(([name, decode]) => [name, decode((value as Row)[name])]));
}

/** Of an integer, or of bytes that hold one, the highest first. */
function unscaled(value: unknown): bigint {
  if (!(value instanceof Uint8Array)) return BigInt(value as number | bigint);
  if (value.length === 0) return 0n;
  const hex = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex');
  return BigInt.asIntN(8 * value.length, BigInt(`0x${hex}`));
}

function timeText(micros: bigint): string | UnreadableValue {
  const read = timestampOfMicros(micros);
  return 'timestamp' in read
    ? read.timestamp
    : new UnreadableValue(`holds a time that ${read.problem}`, String(micros));
}

const PARSERS = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && textOfBytes(bytes),
  jsonFromBytes: (bytes: Uint8Array | undefined) => bytes && jsonOfBytes(bytes),
  timestampFromMilliseconds: (ms: bigint | null | undefined) => (typeof ms === 'bigint' ? new Date(Number(ms)) : null),
  timestampFromMicroseconds: (micros: bigint | null | undefined) =>
    typeof micros === 'bigint' ? timeText(micros) : null,
  timestampFromNanoseconds: (nanos: bigint | null | undefined) =>
    typeof nanos !== 'bigint'
      ? null
      : nanos % 1_000n === 0n
        ? timeText(nanos / 1_000n)
        : new UnreadableValue('holds a time that is finer than a microsecond', String(nanos)),
};

const asyncBufferOf = (file: OpenFile, byteLength: number): AsyncBuffer => ({
  byteLength,
  async slice(start: number, end = byteLength): Promise<ArrayBuffer> {
    const bytes = await file.read(start, end - start);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  },
});
