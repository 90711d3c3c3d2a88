import { describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { OFFLINE_CONTRACT_VIEWS } from '#feature_store/testing/offline_store_contract';
import { eventTime, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { describeOfflineStore } from '../../conformance/feature_store/offline_store_contract.ts';
import { keyOf } from '../../support/entity_keys.ts';

// TimescaleDB comes in no package that these tests can install: they run where TEST_TIMESCALE_URL names an empty database that has the extension.

const url = process.env.TEST_TIMESCALE_URL;

async function open(database: string): Promise<{ readonly store: OfflineDatabase; readonly pool: pg.Pool }> {
  const target = new URL(url as string);
  const admin = new pg.Pool({ connectionString: target.href });
  const [found] = (await admin.query('SELECT 1 FROM pg_database WHERE datname = $1', [database])).rows;
  if (found === undefined) await admin.query(`CREATE DATABASE ${database}`);
  await admin.end();
  target.pathname = `/${database}`;
  const pool = new pg.Pool({ connectionString: target.href });
  return {
    store: sqlOfflineDatabase(
      { sql: new PostgresExecutor(pool), log: silentLogger, views: OFFLINE_CONTRACT_VIEWS },
      'postgres',
    ),
    pool,
  };
}

if (url === undefined) {
  describe.skip('TimescaleDB: set TEST_TIMESCALE_URL', () => test('', () => {}));
} else {
  const suffix = Date.now().toString(36);
  describeOfflineStore('TimescaleDB', async () => {
    const { store, pool } = await open(`contract_${suffix}`);
    await pool.query('CREATE EXTENSION IF NOT EXISTS timescaledb');
    await store.start();
    return store;
  });

  test('rows that were there before the extension move into the hypertable', async () => {
    const { store, pool } = await open(`moved_${suffix}`);
    const row = (month: number) => ({
      view: 'v',
      version: 1,
      entityKey: keyOf('a'),
      eventTime: eventTime(Date.UTC(2026, month, 1)),
      computedAt: processingTime(0),
      values: { month },
    });
    await store.start();
    await store.features.write([row(0), row(3)]);
    await pool.query('CREATE EXTENSION timescaledb');
    const after = sqlOfflineDatabase({ sql: new PostgresExecutor(pool), log: silentLogger }, 'postgres');
    await after.start();
    await after.features.write([row(6), row(3)]);
    expect(await after.features.countRows({ view: 'v', version: 1 })).toBe(3);
    const { rows } = await pool.query(
      "SELECT num_chunks FROM timescaledb_information.hypertables WHERE hypertable_name = 'feature_rows'",
    );
    expect(rows).toEqual([{ num_chunks: '3' }]);
    await after.start();
    await after.stop();
  }, 60_000);
}
