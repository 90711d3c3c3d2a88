import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { environment } from '#configs/environment';
import type { PostgresConfig } from '#connectors/postgres/config';
import { FILE_MODE, makeFolder } from '#storage/durable_files';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import type { BackupStore } from './backup_store.ts';
import { BackupFailedError, RestoreRefusedError } from './errors.ts';
import type { Manifest } from './manifest.ts';

/** libpq's variables for a configuration. */
const libpq = (config: PostgresConfig): Readonly<Record<string, string>> => ({
  PGHOST: config.host,
  PGPORT: String(config.port),
  PGUSER: config.user,
  PGSSLMODE: config.sslMode === 'require' ? 'verify-full' : 'disable',
  ...(config.password === undefined ? {} : { PGPASSWORD: config.password }),
  ...(config.sslMode === 'require' ? { PGSSLROOTCERT: config.caFile ?? 'system' } : {}),
  ...(config.certFile === undefined ? {} : { PGSSLCERT: config.certFile }),
  ...(config.keyFile === undefined ? {} : { PGSSLKEY: config.keyFile }),
});

/** Runs a program with a stream in or out of it. @throws {@link BackupFailedError} with the end of its messages when it fails */
async function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  streams: { readonly output?: (stream: Readable) => Promise<void>; readonly input?: AsyncIterable<Uint8Array> },
): Promise<void> {
  const child = spawn(command, args, { env: { ...environment(), ...env }, stdio: 'pipe' });
  let messages = '';
  child.stderr.on('data', (chunk: Buffer) => {
    messages = (messages + chunk.toString('utf8')).slice(-2_000);
  });
  // Subscribed to before anything is awaited: a program that does not exist ends at once.
  const ended = once(child, 'close') as Promise<[number | null]>;
  const streamed = Promise.all([
    streams.output?.(child.stdout) ?? child.stdout.resume(),
    streams.input === undefined ? child.stdin.end() : pipeline(streams.input, child.stdin),
  ]);
  try {
    const [[code]] = await Promise.all([ended, streamed]);
    if (code === 0) return;
    throw new BackupFailedError(`${command} ended with code ${code}: ${messages.trim()}`);
  } catch (error) {
    if (error instanceof BackupFailedError) throw error;
    child.kill();
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new BackupFailedError(`${command} failed: ${messages.trim()}`, error);
    throw new BackupFailedError(
      `${command} is not installed here: install PostgreSQL's programs (Debian: postgresql-client)`,
      error,
    );
  }
}

/** Stores a base backup of the server, with the write-ahead log that makes it consistent. The user needs the right REPLICATION. */
export async function storeBase(
  store: BackupStore,
  config: PostgresConfig,
  sql: OfflineDatabase['sql'],
): Promise<NonNullable<Manifest['postgres']>> {
  const [position] = await sql.query<{ readonly lsn: string; readonly segment: string }>(
    'SELECT pg_current_wal_lsn()::text AS lsn, pg_walfile_name(pg_current_wal_lsn()) AS segment',
  );
  let base: Awaited<ReturnType<BackupStore['add']>> | undefined;
  await run('pg_basebackup', ['-D', '-', '-F', 'tar', '-X', 'fetch', '-c', 'fast', '--no-password'], libpq(config), {
    output: async (stream) => {
      base = await store.add(stream);
    },
  });
  if (base === undefined || position === undefined) throw new BackupFailedError('pg_basebackup returned nothing');
  return { ...position, base };
}

export interface RecoverySettings {
  /** A data directory that does not exist yet, or is empty. */
  readonly folder: string;
  /** Recovery ends before the first commit after this moment, milliseconds since the epoch; without, at the end of the log. */
  readonly untilMs: number | undefined;
  /** What the server runs for a segment: `%f` is its name, `%p` where it goes. */
  readonly restoreCommand: string;
}

/** Unpacks a base backup into a data directory, which the server recovers from when it is started there. */
export async function restoreBase(
  store: BackupStore,
  { postgres, id }: Manifest,
  { folder, untilMs, restoreCommand }: RecoverySettings,
): Promise<void> {
  if (postgres === undefined) throw new RestoreRefusedError(`backup ${id} has no base backup of a PostgreSQL server`);
  await makeFolder(folder);
  await run('tar', ['-x', '-f', '-', '-C', folder], {}, { input: store.read(postgres.base) });
  const settings = [
    `restore_command = ${quoted(restoreCommand)}`,
    ...(untilMs === undefined
      ? []
      : [`recovery_target_time = ${quoted(sqlTime(untilMs))}`, `recovery_target_action = 'promote'`]),
  ];
  await writeFile(join(folder, 'postgresql.auto.conf'), `${settings.join('\n')}\n`, { flag: 'a', mode: FILE_MODE });
  await writeFile(join(folder, 'recovery.signal'), '', { mode: FILE_MODE });
}

const quoted = (value: string): string => `'${value.replaceAll("'", "''")}'`;

/** As the server's settings read a time: `T` and `Z` are refused there. */
const sqlTime = (millis: number): string => new Date(millis).toISOString().replace('T', ' ').replace('Z', '+00');
