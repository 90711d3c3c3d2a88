import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from '@jest/globals';
import { fraudView } from '#examples/fraud/features/fraud';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { DamagedFileError } from '#storage/errors';
import { keyOf } from '../../support/entity_keys.ts';
import { flipped, imageOf, layOut, temporaryFolder } from '../../support/servers/disk_folder.ts';
import { until } from '../../support/turns.ts';
import { createTestGateway } from '../connectors/gateway/test_gateway.ts';

// test/data/before_0.2 was written by the code of version 0.1.

const folder = temporaryFolder('upgrade');
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => layOut(folder, new Map()));

const online = imageOf('test/data/before_0.2/online');
const spool = imageOf('test/data/before_0.2/spool');

const openOnline = async (): Promise<MemoryOnlineStore> => {
  const store = new MemoryOnlineStore(
    { log: silentLogger, clock: systemClock, ttlMs: new Map(), views: [{ ...fraudView, view: 'v' }] },
    { file: join(folder, 'rows.jsonl') },
  );
  await store.start();
  return store;
};

const view = { view: 'v', version: 1 };
const keysOf = (...ids: readonly string[]) => ids.map((id) => keyOf(id));
const NEWEST = [10, 11, 7, 8, 9];

test('rows and counters of an online store of 0.1 are there, also after the next restart', async () => {
  layOut(folder, online);
  for (let opening = 0; opening < 2; opening += 1) {
    const store = await openOnline();
    const rows = await store.read(view, keysOf('u0', 'u1', 'u2', 'u3', 'u4'));
    expect(rows.map((row) => row?.values.a)).toEqual(NEWEST);
    expect(await store.increment(keyOf('u1'), 'clicks', 0)).toBe(7);
    await store.stop();
    expect(existsSync(join(folder, 'rows.jsonl'))).toBe(false);
  }
});

test('a damaged line of 0.1 is an error with file and byte; only a last line without its end is cut', async () => {
  const [[name, bytes]] = [...online] as [[string, Buffer]];
  const lines = bytes.toString('utf8').trimEnd().split('\n').length;
  let errors = 0;
  for (let bit = 0; bit < bytes.length * 8; bit += 13) {
    layOut(folder, new Map([[name, flipped(bytes, bit)]]));
    const opened = await openOnline().catch((error: unknown) => error as Error);
    if (opened instanceof MemoryOnlineStore) {
      const rows = await opened.read(view, keysOf('u0', 'u2', 'u3', 'u4'));
      expect(rows.map((row) => row?.values.a)).toEqual([10, 7, 8, 9]);
      await opened.stop();
      continue;
    }
    errors += 1;
    expect(opened).toBeInstanceOf(DamagedFileError);
    expect(opened.message).toContain(join(folder, name));
  }
  expect(errors).toBeGreaterThan(lines);
}, 60_000);

test('what waits in a spool of 0.1 is sent, from where it had come', async () => {
  layOut(folder, spool);
  const gateway = await createTestGateway({ spool: { directory: folder } });
  await gateway.service.start();
  await until(() => gateway.sent.length >= 6);
  expect(gateway.valuesOf('raw-events').map(({ n }) => n)).toEqual([4, 5, 6, 7, 8, 9]);
  await gateway.service.stop();
});

test('a mark of what was sent beyond the end of the spool is an error, not a loss', async () => {
  layOut(folder, spool, new Map([['sent', Buffer.from('50')]]));
  const gateway = await createTestGateway({ spool: { directory: folder } });
  await expect(gateway.service.start()).rejects.toThrow('records before 50 were sent, and the spool ends at 10');
  await gateway.service.stop();
});
