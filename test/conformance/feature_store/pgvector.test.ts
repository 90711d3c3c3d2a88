import { afterAll, beforeAll, describe } from '@jest/globals';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { silentLogger } from '#monitoring/log';
import { nearView } from '../../support/definitions/typed_values.ts';
import { PgvectorExecutor } from '../../support/servers/pgvector_executor.ts';
import { testSimilaritySearch } from './similarity_search_contract.ts';

describe('PostgreSQL with pgvector', () => {
  let offline: OfflineDatabase;
  beforeAll(async () => {
    offline = sqlOfflineDatabase({ sql: new PgvectorExecutor(), log: silentLogger, views: [nearView] }, 'postgres');
    await offline.start();
  }, 60_000);
  afterAll(() => offline.stop());

  // It computes with 32-bit floats: squares of small components are 0.
  testSimilaritySearch(() => offline, { accuracy: 1e-5, smallest: 1e-9 });
});
