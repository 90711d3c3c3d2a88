import pg from 'pg';
import { parseExactJson } from '#kernel/exact/exact_json';
import { copyText } from './copy_in.ts';

/** Where statements run: a client, or a pool. */
export type Queries = Pick<pg.ClientBase, 'query'>;

/** A column, with its values' way from and to PostgreSQL's text. */
export interface TableColumn {
  readonly name: string;
  /** For casts, quoted: `pg_catalog."int8"`. */
  readonly type: string;
  /** @throws TypeError or RangeError for a value that cannot be taken exactly */
  readonly decode: (text: string) => unknown;
  /** @throws TypeError for a value that the column's type does not have */
  readonly encode: (value: unknown) => string;
}

interface PgType {
  readonly name: string;
  readonly quoted: string;
  readonly element: number;
  readonly isArray: boolean;
}

/** Returns `table` or `schema.table` as an identifier. */
export const quotedTable = (table: string): string => table.split('.').map(pg.escapeIdentifier).join('.');

/**
 * Returns the columns of a table or view, those named or all. Values are those of features' types (docs/adr/0024): int8 is a bigint, numeric a string of digits, bytea a Uint8Array, a timestamp a string in UTC with six digits of a second,
 * json what it holds, an array a list, pgvector's vector a Float32Array; what has no type of its own is PostgreSQL's text.
 *
 * @throws {@link pg.DatabaseError} when the table or a column does not exist
 */
export async function tableColumns(
  queries: Queries,
  table: string,
  names?: readonly string[],
): Promise<readonly TableColumn[]> {
  const list = names?.map(pg.escapeIdentifier).join(', ') ?? '*';
  // A column of a domain has its base type here.
  const { fields } = await queries.query({
    text: `SELECT ${list} FROM ${quotedTable(table)} LIMIT 0`,
    rowMode: 'array',
  });
  const types = new Map<number, PgType>();
  for (let oids = fields.map(({ dataTypeID }) => dataTypeID); oids.length > 0; ) {
    const found = await typesOf(queries, oids);
    for (const [oid, type] of found) types.set(oid, type);
    oids = [...found.values()].flatMap(({ element, isArray }) => (isArray && !types.has(element) ? [element] : []));
  }
  return fields.map(({ name, dataTypeID }) => {
    const type = types.get(dataTypeID) as PgType;
    return { name, type: type.quoted, decode: decoderOf(type, types), encode: encoderOf(name, type, types) };
  });
}

async function typesOf(queries: Queries, oids: readonly number[]): Promise<ReadonlyMap<number, PgType>> {
  const { rows } = await queries.query<[string, string, string, string, boolean]>({
    text: `SELECT t.oid::text, t.typname, quote_ident(n.nspname) || '.' || quote_ident(t.typname), t.typelem::text, t.typcategory = 'A'
      FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = ANY($1::oid[])`,
    values: [oids],
    rowMode: 'array',
  });
  return new Map(
    rows.map(([oid, name, quoted, element, isArray]) => [
      Number(oid),
      { name, quoted, element: Number(element), isArray },
    ]),
  );
}

// --- from PostgreSQL's text -------------------------------------------------------------------------------------------

/** As pg has it; its types describe an older one. */
const parseArray = pg.types.arrayParser as unknown as {
  create(text: string, decode: (element: string | null) => unknown): { parse(): unknown[] };
};

const asText = (text: string): string => text;
const DECODERS: Readonly<Record<string, (text: string) => unknown>> = {
  int2: Number,
  int4: Number,
  oid: Number,
  float4: Number,
  float8: Number,
  int8: BigInt,
  bool: (text) => text === 't',
  bytea: (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex')),
  json: parseExactJson,
  jsonb: parseExactJson,
  timestamp: timestampText,
  timestamptz: timestampText,
  vector: (text) => Float32Array.from(JSON.parse(text) as number[]),
};

function decoderOf(type: PgType, types: ReadonlyMap<number, PgType>): (text: string) => unknown {
  const element = type.isArray ? types.get(type.element) : undefined;
  if (element === undefined) return DECODERS[type.name] ?? asText;
  const decode = decoderOf(element, types);
  return (text) => parseArray.create(text, (each) => (each === null ? null : decode(each))).parse();
}

/** `2026-11-29 10:00:00.12+00`; infinities and years before 1 or after 9999 stay as PostgreSQL writes them. */
function timestampText(text: string): string {
  const [, day, time, fraction = ''] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d+))?(?:\+00)?$/.exec(text) ?? [];
  return day === undefined ? text : `${day}T${time}.${fraction.padEnd(6, '0')}Z`;
}

// --- to PostgreSQL's text ---------------------------------------------------------------------------------------------

function encoderOf(column: string, type: PgType, types: ReadonlyMap<number, PgType>): (value: unknown) => string {
  const element = type.isArray ? types.get(type.element) : undefined;
  if (element !== undefined) {
    const encode = encoderOf(column, element, types);
    return (value) => {
      if (!isList(value)) throw notOf(column, type, value);
      return arrayText(value, encode);
    };
  }
  if (type.name === 'json' || type.name === 'jsonb') return jsonText;
  return (value) => {
    if (value instanceof Uint8Array && type.name === 'bytea') return `\\x${Buffer.from(value).toString('hex')}`;
    if (isList(value) && type.name === 'vector') return `[${Array.from(value, Number).join(',')}]`;
    if (value instanceof Date) return value.toISOString();
    if (typeof value === 'object' || typeof value === 'function' || typeof value === 'symbol') {
      throw notOf(column, type, value);
    }
    return Object.is(value, -0) ? '-0' : String(value);
  };
}

const isList = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

const notOf = (column: string, { name }: PgType, value: unknown): TypeError =>
  new TypeError(`column "${column}" is of type ${name}, and the value is ${describe(value)}`);

const describe = (value: unknown): string =>
  isList(value) ? 'a list' : value instanceof Uint8Array ? 'bytes' : `of type ${typeof value}`;

function arrayText(list: ArrayLike<unknown>, encode: (value: unknown) => string): string {
  const elements = Array.from(list, (each) => {
    if (each === null || each === undefined) return 'NULL';
    return Array.isArray(each) ? arrayText(each, encode) : `"${encode(each).replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${elements.join(',')}}`;
}

/** As JSON.stringify, with bigints as numbers. */
function jsonText(value: unknown): string {
  const digits: string[] = [];
  const marker = '\u0000bigint ';
  const text = JSON.stringify(value, (_, each) => {
    if (each instanceof Uint8Array) return `\\x${Buffer.from(each).toString('hex')}`;
    if (typeof each !== 'bigint') return each;
    digits.push(String(each));
    return `${marker}${digits.length - 1}`;
  });
  if (text === undefined) return 'null';
  return digits.length === 0 ? text : text.replace(/"\\u0000bigint (\d+)"/g, (_, at) => digits[Number(at)] as string);
}

/** Returns rows in COPY's text format. */
export function copyRows(columns: readonly TableColumn[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  let text = '';
  for (const row of rows) {
    for (const [at, { name, encode }] of columns.entries()) {
      const value = row[name];
      if (at > 0) text += '\t';
      text += value === null || value === undefined ? '\\N' : copyText(encode(value));
    }
    text += '\n';
  }
  return text;
}
