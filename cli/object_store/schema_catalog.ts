import { UnreadableFileError } from '#connectors/errors';
import type { FilePieces } from '#connectors/files/file_pieces';
import type { FileSystem } from '#connectors/files/file_system';
import { formatOf, type ReadRow, type Row } from '#connectors/files/formats';
import { partitionValues } from '#connectors/files/partition_values';

/** A column of a table: `long`, `double`, `boolean`, `string`, `timestamp`, `bytes`, `list`, `struct`, `null` where no row has a value, or several, such as `double or string`. */
export interface CatalogColumn {
  readonly name: string;
  readonly type: string;
  /** Whether rows that were read lack it. */
  readonly optional: boolean;
}

/** A file as it was when it was read. */
interface CatalogFile {
  readonly bytes: number;
  readonly columns: readonly CatalogColumn[];
  /** Why it cannot be read; absent where it can. */
  readonly problem?: string;
}

/** Files of one folder, whatever their partitions, as one table. */
export interface CatalogTable {
  /** Its folder, from the root: `raw/transaction`. */
  readonly name: string;
  readonly formats: readonly string[];
  readonly columns: readonly CatalogColumn[];
  /** Values of each column that folders name. */
  readonly partitions: Readonly<Record<string, readonly string[]>>;
  readonly bytes: number;
  readonly files: Readonly<Record<string, CatalogFile>>;
}

export interface SchemaCatalog {
  readonly root: string;
  readonly crawledAt: string;
  readonly tables: readonly CatalogTable[];
}

/** What is other than at the crawl before. Drift: readers of the table may break. */
export interface CatalogChange {
  readonly table: string;
  readonly change: string;
  readonly isDrift: boolean;
}

/** Of each file so many rows are looked at. */
const ROWS_A_FILE = 1_000;
const PARTITION = /^[^=]+=/;
/** Folders that are part of a table's name: rows of two models or views have other columns. */
const OF_THE_NAME = /^(model|view)=/;
const READABLE = /\.(jsonl|ndjson|csv|parquet|avro)(\.gz)?$/;
/** What batch predictions write beside their rows. */
const BESIDE = /\/(_done|refused)\//;

/**
 * Reads files below a root and infers tables: a table is a folder, its partitions are the folders below it that are called `name=value`, and its columns are those of the first 1,000 rows of each file.
 * Files that have the size of the crawl before are not read again.
 */
export async function crawl(
  { files, pieces, nowMs }: { readonly files: FileSystem; readonly pieces: FilePieces; readonly nowMs: number },
  root: string,
  paths: readonly string[],
  before: SchemaCatalog | undefined,
): Promise<SchemaCatalog> {
  const known = new Map(before?.tables.map((table) => [table.name, table]));
  const tables = new Map<string, Record<string, CatalogFile>>();
  for (const path of paths.filter((each) => READABLE.test(each) && !BESIDE.test(each))) {
    const name = tableOf(root, path);
    const file = path.slice(root.length).replace(/^\/+/, '');
    const bytes = await sizeOf(files, path);
    const last = known.get(name)?.files[file];
    const of = tables.get(name) ?? {};
    tables.set(name, of);
    of[file] = last?.bytes === bytes ? last : await describeFile(pieces, path, bytes);
  }
  return {
    ...{ root, crawledAt: new Date(nowMs).toISOString() },
    tables: [...tables].map(([name, of]) => describe(name, of)).sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/** One file that cannot be read does not keep the others out of the catalogue. */
async function describeFile(pieces: FilePieces, path: string, bytes: number): Promise<CatalogFile> {
  try {
    const rows = await firstRows(pieces, path);
    return { bytes, columns: columnsOf(rows, formatOf(path).format === 'csv' ? valueOfText : undefined) };
  } catch (error) {
    if (!(error instanceof UnreadableFileError)) throw error;
    return { bytes, columns: [], problem: error.message };
  }
}

/** Returns the folder of a file, from the root, without what comes from its first partition on. */
function tableOf(root: string, path: string): string {
  const folders = path.slice(root.length).replace(/^\/+/, '').split('/').slice(0, -1);
  const first = folders.findIndex((folder) => PARTITION.test(folder) && !OF_THE_NAME.test(folder));
  return (first < 0 ? folders : folders.slice(0, first)).join('/') || '.';
}

async function sizeOf(files: FileSystem, path: string): Promise<number> {
  const file = await files.open(path);
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

async function firstRows(pieces: FilePieces, path: string): Promise<readonly Row[]> {
  const rows: Row[] = [];
  try {
    for (let at: number | undefined = 0; at !== undefined && rows.length < ROWS_A_FILE; ) {
      const piece: { readonly rows: readonly ReadRow[]; readonly next: number | undefined } = await pieces.read(
        path,
        at,
      );
      for (const each of piece.rows) if (each.ok) rows.push(each.row);
      at = piece.next;
    }
  } finally {
    // A file that is not read to its end stays open otherwise.
    await pieces.close();
  }
  return rows.slice(0, ROWS_A_FILE);
}

/** @param read - what a value stands for; the value itself without */
function columnsOf(
  rows: readonly Row[],
  read: (value: unknown) => unknown = (value) => value,
): readonly CatalogColumn[] {
  const types = new Map<string, Set<string>>();
  const present = new Map<string, number>();
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      const type = typeOf(read(value));
      const of = types.get(name) ?? new Set();
      types.set(name, of);
      if (type === undefined) continue;
      of.add(type);
      present.set(name, (present.get(name) ?? 0) + 1);
    }
  }
  return [...types].map(([name, of]) => ({
    ...{ name, type: typeOfAll(of), optional: (present.get(name) ?? 0) < rows.length },
  }));
}

/** Returns what a text of CSV, which has no types, looks like. */
function valueOfText(text: unknown): unknown {
  if (typeof text !== 'string') return text;
  if (text === '') return null;
  if (text === 'true' || text === 'false') return text === 'true';
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

const TIMESTAMP = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/;

/** @returns undefined for a missing value */
function typeOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined;
  switch (typeof value) {
    case 'bigint':
      return 'long';
    case 'number':
      return Number.isInteger(value) ? 'long' : 'double';
    case 'boolean':
      return 'boolean';
    case 'string':
      return TIMESTAMP.test(value) ? 'timestamp' : 'string';
    default:
      if (value instanceof Date) return 'timestamp';
      if (value instanceof Uint8Array) return 'bytes';
      return Array.isArray(value) || ArrayBuffer.isView(value) ? 'list' : 'struct';
  }
}

/** Numbers of both kinds are doubles; timestamps among other strings are strings. */
function typeOfAll(types: ReadonlySet<string>): string {
  const left = new Set(types);
  if (left.has('double')) left.delete('long');
  if (left.has('string')) left.delete('timestamp');
  return left.size === 0 ? 'null' : [...left].sort().join(' or ');
}

function describe(name: string, files: Readonly<Record<string, CatalogFile>>): CatalogTable {
  const types = new Map<string, Set<string>>();
  const complete = new Map<string, number>();
  const partitions = new Map<string, Set<string>>();
  const formats = new Set<string>();
  let bytes = 0;
  for (const [path, file] of Object.entries(files)) {
    bytes += file.bytes;
    formats.add(formatOf(path).format);
    for (const [key, value] of Object.entries(partitionValues(path) ?? {})) {
      const values = partitions.get(key) ?? new Set();
      partitions.set(key, values.add(value ?? 'null'));
    }
    for (const { name: column, type, optional } of file.columns) {
      const of = types.get(column) ?? new Set();
      types.set(column, of);
      for (const each of type.split(' or ')) if (each !== 'null') of.add(each);
      if (!optional) complete.set(column, (complete.get(column) ?? 0) + 1);
    }
  }
  // A file without rows says nothing of its columns.
  const count = Object.values(files).filter((file) => file.columns.length > 0).length;
  return {
    ...{ name, formats: [...formats].sort(), bytes, files },
    columns: [...types].map(([column, of]) => ({
      ...{ name: column, type: typeOfAll(of), optional: (complete.get(column) ?? 0) < count },
    })),
    partitions: Object.fromEntries([...partitions].map(([key, values]) => [key, [...values].sort()])),
  };
}

/** Returns what has changed between two crawls, table by table. */
export function changesBetween(before: SchemaCatalog | undefined, after: SchemaCatalog): readonly CatalogChange[] {
  if (before === undefined) return after.tables.flatMap((table) => [added(table.name), ...unreadableIn(table)]);
  const old = new Map(before.tables.map((table) => [table.name, table]));
  const changes = after.tables.flatMap((table) => {
    const last = old.get(table.name);
    return last === undefined
      ? [added(table.name), ...unreadableIn(table)]
      : [...changesOfTable(last, table), ...unreadableIn(table, last)];
  });
  const now = new Set(after.tables.map(({ name }) => name));
  const gone = before.tables.filter(({ name }) => !now.has(name));
  return [...changes, ...gone.map(({ name }) => ({ table: name, change: 'table is gone', isDrift: true }))];
}

/** Files that cannot be read, new ones and those that could be before. */
const unreadableIn = ({ name: table, files }: CatalogTable, before?: CatalogTable): readonly CatalogChange[] =>
  Object.entries(files).flatMap(([file, { problem }]) =>
    problem === undefined || before?.files[file]?.problem !== undefined
      ? []
      : [{ table, change: problem, isDrift: true }],
  );

const added = (table: string): CatalogChange => ({ table, change: 'new table', isDrift: false });

function changesOfTable(
  before: CatalogTable,
  { name: table, columns, partitions, files }: CatalogTable,
): readonly CatalogChange[] {
  const changes: CatalogChange[] = [];
  const old = new Map(before.columns.map((column) => [column.name, column]));
  const inFile = (column: string, type: string): string => {
    const [path] =
      Object.entries(files).find(
        ([file, { bytes, columns: of }]) =>
          before.files[file]?.bytes !== bytes && of.some((each) => each.name === column && each.type !== type),
      ) ?? [];
    return path === undefined ? '' : ` (${path})`;
  };
  for (const { name, type, optional } of columns) {
    const last = old.get(name);
    if (last === undefined) changes.push({ table, change: `new column ${name}: ${type}`, isDrift: false });
    else if (last.type !== type && last.type !== 'null') {
      const change = `column ${name} was ${last.type}, is ${type}${inFile(name, last.type)}`;
      changes.push({ table, change, isDrift: !(last.type === 'long' && type === 'double') });
    } else if (optional && !last.optional) {
      changes.push({ table, change: `column ${name} is missing in some rows`, isDrift: true });
    }
  }
  const now = new Set(columns.map(({ name }) => name));
  for (const { name } of before.columns.filter((column) => !now.has(column.name))) {
    changes.push({ table, change: `column ${name} is gone`, isDrift: true });
  }
  for (const [key, values] of Object.entries(partitions)) {
    const known = Object.hasOwn(before.partitions, key) ? before.partitions[key] : undefined;
    const fresh = values.filter((value) => known?.includes(value) !== true);
    if (fresh.length > 0) changes.push({ table, change: `new ${key}: ${fresh.join(', ')}`, isDrift: false });
  }
  const added = Object.keys(files).filter((file) => before.files[file] === undefined).length;
  const gone = Object.keys(before.files).filter((file) => files[file] === undefined).length;
  if (added + gone > 0) changes.push({ table, change: `${added} files more, ${gone} gone`, isDrift: false });
  return changes;
}
