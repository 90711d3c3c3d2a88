import { z } from 'zod';
import { ExactDecimal } from '#kernel/exact/exact_decimal';
import { InvalidJsonError, parseExactJson } from '#kernel/exact/exact_json';
import { numberOfInteger, numberOfText } from '#kernel/exact/exact_number';
import { UnreadableValue } from '#kernel/text/unstorable_text';
import { parseRfc3339 } from '#kernel/times/rfc3339';

/** Reads a value of a row as its field of the schema has it. What is none of the field's type stays as it is, and is refused for it. */
export interface ReadField {
  /** Of a format with types of its own. */
  typed(value: unknown): unknown;
  /** Of text: CSV, names of folders. */
  text(text: string): unknown;
  /** What a missing value is: null where the schema takes null and no missing field. */
  readonly missing: null | undefined;
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  ...{ true: true, True: true, TRUE: true, '1': true, '1.0': true },
  ...{ false: false, False: false, FALSE: false, '0': false, '0.0': false },
};

/** How pandas, polars, R and databases write missing values; strings may be any of these words. */
const MISSING_WORDS: ReadonlySet<string> = new Set([
  ...['NaN', 'nan', 'NA', 'N/A', '<NA>', 'NaT', 'None', 'NULL', 'null'],
]);

/** Returns readers of a schema's fields, by name. */
export const fieldReaders = ({ shape }: z.ZodObject): ReadonlyMap<string, ReadField> =>
  new Map(Object.entries(shape).map(([name, schema]) => [name, readerOf(schema as z.ZodType)]));

function readerOf(schema: z.ZodType): ReadField {
  const inner = unwrapped(schema);
  const takesText = inner instanceof z.ZodString || inner instanceof z.ZodEnum || inner instanceof z.ZodLiteral;
  return {
    typed: (value) => takenTime(typedValue(value, inner), inner),
    text: (text) => {
      if (!takesText && MISSING_WORDS.has(text)) return undefined;
      return takenTime(textValue(text, inner), inner);
    },
    missing: !accepts(schema, undefined) && accepts(schema, null) ? null : undefined,
  };
}

function accepts(schema: z.ZodType, value: unknown): boolean {
  try {
    return schema.safeParse(value).success;
  } catch {
    return false;
  }
}

/**
 * Returns a time with an offset as the same instant in UTC, where the schema of the field takes no offsets (zod's `z.iso.datetime()` takes `Z` alone): PostgreSQL writes `+00:00` whatever was stored.
 */
export function takenTime(value: unknown, schema: z.ZodType): unknown {
  if (typeof value !== 'string' || !(schema instanceof z.ZodISODateTime) || accepts(schema, value)) return value;
  const timeMs = parseRfc3339(value);
  if (timeMs === undefined) return value;
  return value.endsWith('+00:00') ? `${value.slice(0, -'+00:00'.length)}Z` : new Date(timeMs).toISOString();
}

/** Returns the schema of a field's value itself. */
export const unwrappedField = ({ shape }: z.ZodObject, name: string): z.ZodType =>
  unwrapped(shape[name] as unknown as z.ZodType);

/** The schema of the value itself. */
function unwrapped(schema: z.ZodType): z.ZodType {
  let inner = schema;
  for (;;) {
    if (inner instanceof z.ZodPipe) inner = inner.in as z.ZodType;
    else if (
      inner instanceof z.ZodOptional ||
      inner instanceof z.ZodNullable ||
      inner instanceof z.ZodDefault ||
      inner instanceof z.ZodPrefault ||
      inner instanceof z.ZodReadonly ||
      inner instanceof z.ZodCatch
    )
      inner = inner.unwrap() as z.ZodType;
    else return inner;
  }
}

function textValue(text: string, schema: z.ZodType): unknown {
  if (schema instanceof z.ZodNumber) return numberOfText(text) ?? text;
  if (schema instanceof z.ZodBoolean) return BOOLEANS[text] ?? text;
  if (schema instanceof z.ZodBigInt) return /^[+-]?\d+$/.test(text) ? BigInt(text) : text;
  const isNested = schema instanceof z.ZodArray || schema instanceof z.ZodObject || schema instanceof z.ZodRecord;
  if (!isNested) return text;
  try {
    return typedValue(parseExactJson(text), schema);
  } catch (error) {
    if (error instanceof InvalidJsonError) return text;
    throw error;
  }
}

/** A value as an event of the gateway would have it; an {@link UnreadableValue} for one that JSON does not hold exactly. */
export function typedValue(value: unknown, schema?: z.ZodType): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return integerValue(value, schema);
  if (value instanceof ExactDecimal)
    return schema instanceof z.ZodString ? value.text : (numberOfText(value.text) ?? value.text);
  if (typeof value !== 'object' || value instanceof UnreadableValue) return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid time' : value.toISOString();
  if (ArrayBuffer.isView(value)) return schema instanceof z.ZodString ? base64(value) : value;
  if (Array.isArray(value)) {
    const element = schema instanceof z.ZodArray ? unwrapped(schema.element as z.ZodType) : undefined;
    return value.map((each) => typedValue(each, element));
  }
  const shape = schema instanceof z.ZodObject ? (schema.shape as Readonly<Record<string, z.ZodType>>) : {};
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      const of = shape[name];
      return [name, typedValue(field, of === undefined ? undefined : unwrapped(of))];
    }),
  );
}

function integerValue(value: bigint, schema: z.ZodType | undefined): unknown {
  if (schema instanceof z.ZodBigInt) return value;
  return schema instanceof z.ZodString ? String(value) : numberOfInteger(value);
}

const base64 = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');
