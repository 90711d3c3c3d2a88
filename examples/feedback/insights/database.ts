import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';
import { FolderInUseError } from './errors.ts';

/** The part of SQL that is used: PostgreSQL, or PGlite in a folder. */
export interface Database {
  query<Row>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  close(): Promise<void>;
}

/** In order; each runs once. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE feedback_adverse_events (
     id uuid PRIMARY KEY,
     received_at timestamptz NOT NULL,
     request_id text NOT NULL,
     customer_id text,
     language text NOT NULL,
     score double precision NOT NULL,
     concerns jsonb NOT NULL,
     masked_text text,
     status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'in_review', 'reported', 'closed'))
   );
   CREATE INDEX feedback_adverse_events_open ON feedback_adverse_events (received_at) WHERE status = 'new';
   CREATE INDEX feedback_adverse_events_customer ON feedback_adverse_events (customer_id);
   CREATE TABLE feedback_adverse_event_audit (
     number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     event_id uuid NOT NULL REFERENCES feedback_adverse_events (id),
     at timestamptz NOT NULL DEFAULT now(),
     actor text NOT NULL,
     action text NOT NULL,
     note text
   );
   CREATE FUNCTION feedback_refuse_change() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN RAISE EXCEPTION 'the audit trail of adverse events is never changed'; END $$;
   CREATE TRIGGER feedback_audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON feedback_adverse_event_audit
     FOR EACH STATEMENT EXECUTE FUNCTION feedback_refuse_change();
   CREATE TABLE feedback_comments (
     id uuid PRIMARY KEY,
     received_at timestamptz NOT NULL,
     customer_id text,
     text text NOT NULL
   );
   CREATE INDEX feedback_comments_received ON feedback_comments (received_at);
   CREATE INDEX feedback_comments_customer ON feedback_comments (customer_id);`,
];

/** Processes that start together migrate one after the other. */
const MIGRATION_LOCK = 27_003_100;

/** Opens the database of a setting: `postgres://…`, or a folder; its tables are made where they are missing. */
export async function openDatabase(place: string): Promise<Database> {
  if (/^postgres(ql)?:\/\//.test(place)) {
    const pool = new pg.Pool({ connectionString: place, max: 4, connectionTimeoutMillis: 2_000, query_timeout: 2_000 });
    // Broken idle connections are replaced by the pool.
    pool.on('error', () => {});
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
      await migrate(async (sql, values) => (await client.query(sql, values as unknown[])).rows);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {});
      await pool.end();
      throw error;
    } finally {
      client.release();
    }
    return {
      query: async <Row>(sql: string, values: readonly unknown[] = []) =>
        (await pool.query(sql, values as unknown[])).rows as Row[],
      close: () => pool.end(),
    };
  }
  const unlock = place === ':memory:' ? async () => {} : await lock(place);
  const lite = await PGlite.create(place === ':memory:' ? 'memory://' : place).catch(async (error: unknown) => {
    await unlock();
    throw error;
  });
  await migrate(async (sql, values) => {
    if (values !== undefined) return (await lite.query(sql, values as unknown[])).rows;
    await lite.exec(sql);
    return [];
  });
  return {
    query: async <Row>(sql: string, values: readonly unknown[] = []) =>
      (await lite.query(sql, values as unknown[])).rows as Row[],
    close: async () => {
      await lite.close();
      await unlock();
    },
  };
}

/** Makes this process the only one that has the folder: PGlite does not share it. @returns what gives it back */
async function lock(folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true });
  const file = join(dirname(folder), `${basename(folder)}.lock`);
  for (;;) {
    try {
      const held = await open(file, 'wx');
      await held.writeFile(String(process.pid));
      await held.close();
      return () => rm(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const pid = Number(await readFile(file, 'utf8').catch(() => ''));
      if (pid !== process.pid && pid > 0 && isRunning(pid)) throw new FolderInUseError(folder, pid);
      await rm(file, { force: true });
    }
  }
}

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

async function migrate(run: (sql: string, values?: readonly unknown[]) => Promise<readonly unknown[]>): Promise<void> {
  await run(
    'CREATE TABLE IF NOT EXISTS feedback_migrations (number integer PRIMARY KEY, at timestamptz DEFAULT now())',
  );
  const done = (await run('SELECT number FROM feedback_migrations', [])) as readonly { number: number }[];
  for (const [at, sql] of MIGRATIONS.entries()) {
    if (done.some(({ number }) => number === at)) continue;
    await run(sql);
    await run('INSERT INTO feedback_migrations (number) VALUES ($1)', [at]);
  }
}
