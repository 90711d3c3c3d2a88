import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { silentLogger } from '#monitoring/log';
import { describeOfflineStore } from './offline_store_contract.ts';

describeOfflineStore('PGlite', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pglite-'));
  const store = sqlOfflineDatabase({ sql: new PgliteExecutor(directory), log: silentLogger }, 'pglite');
  await store.start();
  return store;
});
