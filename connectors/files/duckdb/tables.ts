import { access, readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { environment } from '#configs/environment';
import { messageOf } from '#kernel/errors';
import { MissingExtensionError, UnreadableFileError } from '../../errors.ts';
import { type DuckDb, quotedText } from './duckdb.ts';

// Tables of a lake, named like files: `delta:warehouse/orders`, `iceberg:warehouse/orders/metadata/00003-….metadata.json`.

const TABLE_KINDS = ['delta', 'iceberg'] as const;
type TableKind = (typeof TABLE_KINDS)[number];

/** A version of a table: reading it again gives the same rows. */
export interface LakeTable {
  readonly kind: TableKind;
  readonly location: string;
  /** Of a Delta table. */
  readonly version: string | undefined;
}

const PREFIX = new RegExp(`^(${TABLE_KINDS.join('|')}):(.*?)(?:@v(\\d+))?$`, 's');

/** Returns the table that a path names; undefined when it is a path of files. */
export function tableOf(path: string): LakeTable | undefined {
  const [, kind, location, version] = PREFIX.exec(path) ?? [];
  return kind === undefined ? undefined : { kind: kind as TableKind, location: location as string, version };
}

/**
 * Finds the version of a table that is current: what is read, and read again after a restart.
 *
 * @throws {@link UnreadableFileError} when there is no table, or it cannot be known which version of it is current
 */
export async function currentVersion(path: string, { kind, location, version }: LakeTable): Promise<string> {
  if (location.startsWith('s3://')) {
    throw new UnreadableFileError(
      path,
      'tables are read on disks of this machine: copy it here, or name its Parquet files',
    );
  }
  if (version !== undefined) return path;
  const place = resolve(location);
  if (kind === 'delta') return `delta:${place}@v${await newestOf(path, join(place, '_delta_log'), /^(\d{20})\.json$/)}`;
  if (place.endsWith('.metadata.json')) return `iceberg:${place}`;
  return `iceberg:${await metadataOf(path, place)}`;
}

async function newestOf(path: string, folder: string, pattern: RegExp): Promise<string> {
  const names = await listed(path, folder);
  const versions = names.flatMap((name) => pattern.exec(name)?.[1] ?? []).sort();
  const newest = versions.at(-1);
  if (newest === undefined) throw new UnreadableFileError(path, `there is no version of a Delta table in ${folder}`);
  return String(BigInt(newest));
}

/** Which version of an Iceberg table is current, its catalog knows, or a file beside the versions. */
async function metadataOf(path: string, place: string): Promise<string> {
  const folder = join(place, 'metadata');
  const names = await listed(path, folder);
  if (names.includes('version-hint.text')) {
    const hint = (await readFile(join(folder, 'version-hint.text'), 'utf8')).trim();
    const found = names.find((name) => name === `v${hint}.metadata.json` || name === `${hint}.metadata.json`);
    if (found !== undefined) return join(folder, found);
  }
  const versions = names.filter((name) => name.endsWith('.metadata.json')).sort();
  if (versions.length === 1) return join(folder, versions[0] as string);
  const newest = versions.at(-1) ?? 'NNNNN-….metadata.json';
  throw new UnreadableFileError(
    path,
    `${folder} holds ${versions.length} versions and no version-hint.text: name the one that the table's catalog says is current, such as iceberg:${join(folder, newest)}`,
  );
}

async function listed(path: string, folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw new UnreadableFileError(path, `${messageOf(error)}. Name the folder of the table`, error);
  }
}

/** What reads a kind of table: extensions of DuckDB, in the order in which they are loaded. */
const EXTENSIONS = { delta: ['delta'], iceberg: ['avro', 'iceberg'] } as const;

/** Returns a table in SQL. @throws {@link MissingExtensionError} with the install command */
export async function scanOf(duckdb: DuckDb, path: string, { kind, location, version }: LakeTable): Promise<string> {
  for (const extension of EXTENSIONS[kind]) await loadExtension(duckdb, path, extension);
  return kind === 'delta'
    ? `delta_scan(${quotedText(location)}, version = ${version ?? 0})`
    : `iceberg_scan(${quotedText(location)})`;
}

async function loadExtension({ connection, version }: DuckDb, path: string, name: string): Promise<void> {
  const { DUCKDB_EXTENSIONS: folder } = environment();
  const file = `${name}.duckdb_extension`;
  // As pip lays the package out, or the file itself.
  const places =
    folder === undefined
      ? []
      : [join(folder, `duckdb_extension_${name}`, 'extensions', version, file), join(folder, file)];
  const found = await firstOf(places);
  try {
    // Without a folder: DuckDB's own, where its INSTALL puts them.
    await connection.run(`LOAD ${found === undefined ? name : quotedText(found)}`);
  } catch (error) {
    throw new MissingExtensionError(path, name, version, folder, error);
  }
}

async function firstOf(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (exists) return path;
  }
  return undefined;
}
