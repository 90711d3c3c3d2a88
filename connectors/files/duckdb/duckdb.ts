import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBConnection, DuckDBTypeId } from '@duckdb/node-api';
import { importOptional } from '#kernel/optional_package';

/** Beyond, DuckDB sorts on disk. */
const MEMORY_LIMIT = '1GB';

/** A DuckDB in memory. It downloads nothing and loads no extension by itself. */
export interface DuckDb {
  /** Such as `v1.5.5`: extensions are built for one version. */
  readonly version: string;
  readonly connection: DuckDBConnection;
  /** Ids of types. */
  readonly types: typeof DuckDBTypeId;
  close(): void;
}

/**
 * Opens DuckDB, an optional package that is loaded when a file first needs it.
 *
 * @param use - what needs it, for the error's message
 * @throws {@link PackageMissingError} with the install command
 */
export async function openDuckDb(use: string): Promise<DuckDb> {
  const {
    DuckDBInstance,
    DuckDBTypeId: types,
    version,
  } = await importOptional({ packages: ['@duckdb/node-api'], use }, () => import('@duckdb/node-api'));
  const instance = await DuckDBInstance.create(':memory:', {
    ...{ autoinstall_known_extensions: 'false', autoload_known_extensions: 'false' },
    ...{ memory_limit: MEMORY_LIMIT, temp_directory: join(tmpdir(), `headwater-duckdb-${process.pid}`) },
  });
  const connection = await instance.connect();
  // A time without a zone is UTC, whatever the zone of the machine.
  await connection.run(`SET TimeZone = 'UTC'`);
  return {
    version: version(),
    connection,
    types,
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

/** Writes a string in SQL. */
export const quotedText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Writes a name in SQL. */
export const quotedName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
