import { appendFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { ttlsOf } from '#feature_store/stores';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { keyOf } from '../../support/entity_keys.ts';
import { contractView, describeOnlineStore, foreverView } from './online_store_contract.ts';

const open = async (file: string): Promise<MemoryOnlineStore> => {
  const store = new MemoryOnlineStore(
    { log: silentLogger, clock: systemClock, ttlMs: ttlsOf([contractView, foreverView]) },
    { file },
  );
  await store.start();
  return store;
};
const file = join(mkdtempSync(join(tmpdir(), 'online-')), 'rows.jsonl');

describeOnlineStore('the memory store', () => open(file));

test('a line torn by a crash is dropped, those before it are not', async () => {
  const torn = join(mkdtempSync(join(tmpdir(), 'online-')), 'rows.jsonl');
  const store = await open(torn);
  const now = Date.now();
  const row = {
    view: 'contract',
    version: 1,
    entityKey: keyOf('a'),
    eventTime: eventTime(now),
    computedAt: processingTime(now),
    values: {},
  };
  await store.write([row]);
  await store.stop();
  appendFileSync(torn, '0badc0de {"view":"co');
  const again = await open(torn);
  expect(await again.read({ view: 'contract', version: 1 }, [keyOf('a')])).toEqual([row]);
  await again.stop();
});
