import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { OFFLINE_CONTRACT_VIEWS } from '#feature_store/testing/offline_store_contract';
import { silentLogger } from '#monitoring/log';
import { describeOfflineStore } from './offline_store_contract.ts';

describeOfflineStore('PGlite', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pglite-'));
  const deps = { sql: new PgliteExecutor(directory), log: silentLogger, views: OFFLINE_CONTRACT_VIEWS };
  const store = sqlOfflineDatabase(deps, 'pglite');
  await store.start();
  return store;
});
