import pg from 'pg';
import { PostgresExecutor } from '#feature_store/offline/postgres_executor';
import { SqlOfflineStore } from '#feature_store/offline/sql_store';
import { silentLogger } from '#monitoring/log';
import { describeOfflineStore } from '../../conformance/feature_store/offline_store_contract.ts';
import { serviceAddress } from '../service_address.ts';

describeOfflineStore('PostgreSQL', async () => {
  const pool = new pg.Pool({ connectionString: serviceAddress('TEST_POSTGRES_URL') });
  const store = new SqlOfflineStore({ sql: new PostgresExecutor(pool), log: silentLogger }, 'postgres');
  await store.start();
  return store;
});
