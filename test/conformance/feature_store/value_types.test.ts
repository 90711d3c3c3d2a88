import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { ttlsOf } from '#feature_store/stores';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { nearView, typedView } from '../../support/definitions/typed_values.ts';
import { describeValueTypes } from './value_types_contract.ts';

const views = [typedView, nearView];

describeValueTypes('the embedded stores', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'typed-online-')), 'rows.jsonl');
  const make = () =>
    new MemoryOnlineStore({ log: silentLogger, clock: systemClock, ttlMs: ttlsOf(views), views }, { file });
  let online = make();
  await online.start();
  const sql = new PgliteExecutor(mkdtempSync(join(tmpdir(), 'typed-offline-')));
  const offline = sqlOfflineDatabase({ sql, log: silentLogger, views }, 'pglite');
  await offline.start();
  return {
    offline,
    // Started anew between writing and reading: what is read comes from the log on disk.
    online: {
      ...{ kind: 'memory', name: 'memory', start: async () => {}, drain: async () => {}, stop: async () => {} },
      async write(rows) {
        const result = await online.write(rows);
        await online.stop();
        online = make();
        await online.start();
        return result;
      },
      read: (...args) => online.read(...args),
      increment: (...args) => online.increment(...args),
      readCounters: (...args) => online.readCounters(...args),
      erase: (...args) => online.erase(...args),
    },
    async stop() {
      await online.stop();
      await offline.stop();
    },
  };
});
