import type { FeatureValue } from './feature_row.ts';

// The types that a feature's values can have (docs/adr/0024). A type is a string, as in Spark and DuckDB: `decimal(18,2)`, `array<int64>`.

export const SCALAR_TYPES = ['double', 'long', 'int64', 'boolean', 'string', 'timestamp', 'bytes'] as const;
export type ScalarType = (typeof SCALAR_TYPES)[number];

/** `precision` digits, `scale` of them after the point. */
export type DecimalType = `decimal(${number},${number})`;
/** So many float32. */
export type EmbeddingType = `embedding(${number})`;

declare const ELEMENT: unique symbol;
declare const FIELDS: unique symbol;

export type ArrayType<T extends FeatureType = FeatureType> = `array<${string}>` & { readonly [ELEMENT]?: T };
export type StructType<F extends StructFields = StructFields> = `struct<${string}>` & { readonly [FIELDS]?: F };
export interface StructFields {
  readonly [name: string]: FeatureType;
}

/** The type of a feature: `double`, `decimal(18,2)`, `array<string>`, … */
export type FeatureType = ScalarType | DecimalType | EmbeddingType | `array<${string}>` | `struct<${string}>`;

/** What values of a type are, where there is one. */
export type ValueOfType<T extends FeatureType> = T extends 'double' | 'long'
  ? number
  : T extends 'string' | 'timestamp' | DecimalType
    ? string
    : T extends 'boolean'
      ? boolean
      : T extends 'int64'
        ? bigint
        : T extends 'bytes'
          ? Uint8Array
          : T extends EmbeddingType
            ? Float32Array
            : T extends { readonly [ELEMENT]?: infer E extends FeatureType }
              ? readonly (ValueOfType<E> | null)[]
              : T extends { readonly [FIELDS]?: infer F extends StructFields }
                ? { readonly [Name in keyof F]: ValueOfType<F[Name]> | null }
                : T extends `array<${infer E extends FeatureType}>`
                  ? readonly (ValueOfType<E> | null)[]
                  : FeatureValue;

/** Returns the type of decimals of `precision` digits, `scale` of them after the point: `decimal(18, 2)` for money. */
export const decimal = <P extends number, S extends number>(precision: P, scale: S): `decimal(${P},${S})` =>
  `decimal(${precision},${scale})`;

/** Returns the type of vectors of `dimension` float32. */
export const embedding = <N extends number>(dimension: N): `embedding(${N})` => `embedding(${dimension})`;

/** Returns the type of lists of `of`; an element may be null. */
export const array = <const T extends FeatureType>(of: T): ArrayType<T> => `array<${of}>` as ArrayType<T>;

/** Returns the type of objects with these fields; each may be null. */
export const struct = <const F extends StructFields>(fields: F): StructType<F> => {
  const listed = Object.entries(fields).map(([name, type]) => `${name}:${type}`);
  return `struct<${listed.join(',')}>` as StructType<F>;
};

/** A type taken apart. */
export type ValueType =
  | { readonly kind: ScalarType }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'embedding'; readonly dimension: number }
  | { readonly kind: 'array'; readonly element: ValueType }
  | { readonly kind: 'struct'; readonly fields: readonly { readonly name: string; readonly type: ValueType }[] };

/** Of PostgreSQL's and Parquet's decimals that other readers take. */
export const MOST_DIGITS = 38;
/** Of pgvector's vectors. */
export const LARGEST_DIMENSION = 16_000;
/** Of arrays and structs in each other. */
const DEEPEST = 8;
const FIELD_NAME = /^[A-Za-z][A-Za-z0-9_]*$/;
const FORMS = `${SCALAR_TYPES.join(', ')}, decimal(precision,scale), embedding(dimension), array<type> and struct<name:type,…>`;

const parsed = new Map<string, ValueType | string>();
const MOST_KEPT = 10_000;

/** Takes a type apart. @returns a string that says what is wrong with it when it is no type */
export function parseType(text: string): ValueType | string {
  let type = parsed.get(text);
  if (type === undefined) {
    type = parse(String(text), 0);
    if (parsed.size < MOST_KEPT) parsed.set(text, type);
  }
  return type;
}

/** Takes a type apart that a definition was checked to have. */
export function typeOf(text: string): ValueType {
  const type = parseType(text);
  if (typeof type === 'string') throw new TypeError(type);
  return type;
}

/** Returns the type of an array's elements. */
export const elementTypeOf = (type: FeatureType): FeatureType => type.slice('array<'.length, -1) as FeatureType;

/** Whether the type's values are their own JSON form and cost nothing to check: the types that most features have. */
export const isPlainType = (text: string): boolean =>
  text === 'double' || text === 'long' || text === 'boolean' || text === 'string';

/** Whether text formats hold the type's values as JSON: lists and objects. */
export const isWrittenAsJson = (type: FeatureType): boolean => /^(array|struct|embedding)/.test(type);

function parse(text: string, depth: number): ValueType | string {
  if ((SCALAR_TYPES as readonly string[]).includes(text)) return { kind: text as ScalarType };
  if (depth > DEEPEST) return `a type is nested more than ${DEEPEST} levels deep`;
  const [, kind, inside] = /^(decimal|embedding|array|struct)[(<](.*)[)>]$/s.exec(text) ?? [];
  switch (kind) {
    case 'decimal':
      return parseDecimal(text);
    case 'embedding':
      return parseEmbedding(text);
    case 'array': {
      if (!/^array<.*>$/s.test(text)) break;
      const element = parse(inside as string, depth + 1);
      return typeof element === 'string' ? element : { kind, element };
    }
    case 'struct':
      if (/^struct<.*>$/s.test(text)) return parseStruct(inside as string, depth);
  }
  return `"${text.slice(0, 100)}" is no type: ${FORMS} are`;
}

function parseDecimal(text: string): ValueType | string {
  const [, precision, scale] = (/^decimal\((\d+),(\d+)\)$/.exec(text) ?? []).map(Number);
  if (precision === undefined || scale === undefined) return `"${text}" is no type: write decimal(18,2)`;
  if (precision < 1 || precision > MOST_DIGITS) return `${text}: the precision is 1 to ${MOST_DIGITS} digits`;
  if (scale > precision) return `${text}: the scale is 0 to the precision, ${precision}`;
  return { kind: 'decimal', precision, scale };
}

function parseEmbedding(text: string): ValueType | string {
  const [, dimension] = (/^embedding\((\d+)\)$/.exec(text) ?? []).map(Number);
  if (dimension === undefined) return `"${text}" is no type: write embedding(384)`;
  if (dimension < 1 || dimension > LARGEST_DIMENSION) return `${text}: the dimension is 1 to ${LARGEST_DIMENSION}`;
  return { kind: 'embedding', dimension };
}

function parseStruct(inside: string, depth: number): ValueType | string {
  const fields: { name: string; type: ValueType }[] = [];
  for (const part of split(inside)) {
    const colon = part.indexOf(':');
    const name = part.slice(0, Math.max(0, colon));
    if (!FIELD_NAME.test(name)) return `struct<${inside.slice(0, 100)}>: "${name}" is no name of a field`;
    if (fields.some((field) => field.name === name)) return `struct<…>: two fields are called "${name}"`;
    const type = parse(part.slice(colon + 1), depth + 1);
    if (typeof type === 'string') return type;
    fields.push({ name, type });
  }
  return fields.length === 0 ? 'struct<>: a struct has at least one field' : { kind: 'struct', fields };
}

/** At commas that are not inside of another type. */
function split(text: string): readonly string[] {
  if (text === '') return [];
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '<' || character === '(') depth += 1;
    else if (character === '>' || character === ')') depth -= 1;
    else if (character === ',' && depth === 0) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...parts, text.slice(from)];
}
