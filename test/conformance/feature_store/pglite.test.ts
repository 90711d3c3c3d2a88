import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PgliteExecutor } from '#feature_store/offline/pglite_executor';
import { SqlOfflineStore } from '#feature_store/offline/sql_store';
import { silentLogger } from '#monitoring/log';
import { describeOfflineStore } from './offline_store_contract.ts';

describeOfflineStore('PGlite', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pglite-'));
  const store = new SqlOfflineStore({ sql: new PgliteExecutor(directory), log: silentLogger }, 'pglite');
  await store.start();
  return store;
});
