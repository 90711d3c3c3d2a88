import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { SCHEMA_LOCK } from '#feature_store/database/migrate';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { SqlDatabase } from '#feature_store/database/sql_database';
import { assetPath } from '#kernel/project_root';
import { listeningLogger } from '../../conformance/feature_store/entity_keys_migration_contract.ts';
import { runCommand } from '../../support/platforms/command_line.ts';
import { serviceAddress } from '../service_address.ts';

// Pods of a rollout start at the same time, and each brings the schema up to date: one of them does it, the others wait.

const PROCESSES = 4;
const MIGRATIONS = readdirSync(assetPath('feature_store/database/migrations')).sort();
const schema = `migrated_${randomBytes(4).toString('hex')}`;
const folder = mkdtempSync(join(tmpdir(), 'migrations-'));
const url = new URL(serviceAddress('TEST_POSTGRES_URL'));
let admin: pg.Client;

beforeAll(async () => {
  admin = new pg.Client({ connectionString: url.href });
  await admin.connect();
});
afterAll(async () => {
  for (const name of [schema, `${schema}_processes`]) await admin.query(`DROP SCHEMA IF EXISTS ${name} CASCADE`);
  await admin.end();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const appliedIn = async (name: string): Promise<readonly string[]> =>
  (await admin.query<{ name: string }>(`SELECT name FROM ${name}.headwater_migrations ORDER BY name`)).rows.map(
    (row) => row.name,
  );

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await isTrue()) return;
    await sleep(100);
  }
  throw new Error('it did not become true within a minute');
}

test('of stores that start at once, each with one connection, one applies a migration', async () => {
  const { log, lines } = listeningLogger();
  const databases = Array.from({ length: 8 }, () => {
    const pool = new pg.Pool({
      ...{ connectionString: url.href, max: 1, options: `-c search_path=${schema},public` },
      // Shorter than others wait for their turn on a slow machine: the lock's own limit is another.
      ...{ statement_timeout: 30_000, query_timeout: 31_000 },
    });
    return new SqlDatabase({ sql: new PostgresExecutor(pool, schema), log }, 'test');
  });
  const outcomes = await Promise.allSettled(databases.map((database) => database.start()));
  await Promise.all(databases.map((database) => database.stop()));
  expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
  expect(await appliedIn(schema)).toEqual(MIGRATIONS);
  expect(lines.filter(({ msg }) => msg === 'offline_store.migrated')).toHaveLength(MIGRATIONS.length);
}, 120_000);

test('of processes that start at once, one applies a migration', async () => {
  const namespace = `${schema}_processes`;
  const env = {
    ...{ ENVIRONMENT: 'services', NAMESPACE: namespace, LOG_LEVEL: 'info' },
    ...{ DATABASE_HOST: url.hostname, DATABASE_PORT: url.port, DATABASE_NAME: 'postgres' },
    DATABASE_USER: url.username,
  };
  // Held until all of them wait for it: then they race.
  const key = `hashtextextended('${SCHEMA_LOCK}${namespace}', 0)`;
  await admin.query(`SELECT pg_advisory_lock(${key})`);
  const running = Promise.all(
    Array.from({ length: PROCESSES }, () => runCommand(folder, ['workflows', 'list', '--json'], env)),
  );
  try {
    await until(async () => {
      const { rows } = await admin.query(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`);
      return rows.length === PROCESSES;
    });
  } finally {
    await admin.query(`SELECT pg_advisory_unlock(${key})`);
  }
  const outcomes = await running;
  expect(outcomes.map(({ code, stderr }) => (code === 0 ? 'listed' : stderr))).toEqual(Array(PROCESSES).fill('listed'));
  expect(await appliedIn(namespace)).toEqual(MIGRATIONS);
}, 120_000);
