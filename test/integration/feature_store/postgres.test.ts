import pg from 'pg';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { OFFLINE_CONTRACT_VIEWS } from '#feature_store/testing/offline_store_contract';
import { silentLogger } from '#monitoring/log';
import { describeOfflineStore } from '../../conformance/feature_store/offline_store_contract.ts';
import { serviceAddress } from '../service_address.ts';

describeOfflineStore('PostgreSQL', async () => {
  const pool = new pg.Pool({ connectionString: serviceAddress('TEST_POSTGRES_URL') });
  const store = sqlOfflineDatabase(
    { sql: new PostgresExecutor(pool), log: silentLogger, views: OFFLINE_CONTRACT_VIEWS },
    'postgres',
  );
  await store.start();
  return store;
});
