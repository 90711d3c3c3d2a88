import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DiskLog } from '#connectors/disk_log/disk_log';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { replaceFile } from '#storage/durable_files';
import { DiskFullError, diskError } from '#storage/errors';
import { goodEvent } from '../support/definitions/good_event.ts';
import { keyOf } from '../support/entity_keys.ts';
import { temporaryFolder } from '../support/servers/disk_folder.ts';
import { createTestGateway } from '../unit/connectors/gateway/test_gateway.ts';

/** A disk of one megabyte; only the administrator can make one. */
function mount(at: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'headwater-test', at], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const probe = temporaryFolder('probe');
const canMount = mount(probe);
if (canMount) execFileSync('umount', [probe]);
rmSync(probe, { recursive: true, force: true });

let disk: string;
beforeEach(() => {
  disk = temporaryFolder('disk');
  if (canMount) mount(disk);
});
afterEach(() => {
  if (canMount) execFileSync('umount', ['-l', disk]);
  rmSync(disk, { recursive: true, force: true });
});

/** Takes all the room there is. */
function fill(): string {
  const ballast = join(disk, 'ballast');
  for (let kilobytes = 1_024; kilobytes >= 1; kilobytes /= 2) {
    for (;;) {
      try {
        writeFileSync(`${ballast}`, Buffer.alloc(kilobytes * 1_024), { flag: 'a' });
      } catch {
        break;
      }
    }
  }
  return ballast;
}

const signal = new AbortController().signal;

(canMount ? describe : describe.skip)('a disk without room', () => {
  const openLog = async (): Promise<DiskLog> => {
    const log = new DiskLog(
      { log: silentLogger, clock: systemClock },
      { kind: 'disk_log', directory: join(disk, 'log'), fsync: 'always', segmentBytes: 20_000 },
    );
    await log.start();
    await log.ensureTopics([{ name: 't', partitions: 1 }]);
    return log;
  };
  const readAll = async (log: DiskLog): Promise<string[]> => {
    const reader = await log.openPartition('t', '0', { startAt: 'earliest' });
    const values: string[] = [];
    for (;;) {
      const records = await reader.poll({ maxRecords: 100, maxWaitMs: 0, signal });
      if (records.length === 0) return values;
      values.push(...records.map(({ value }) => value.toString().trimEnd()));
    }
  };

  test('the log: what was acknowledged is there, the rest has a named error, and it goes on when there is room', async () => {
    const log = await openLog();
    const accepted: string[] = [];
    const send = async (id: string): Promise<boolean> => {
      try {
        await log.producer.send('t', [{ key: id, value: id.padEnd(700) }]);
        accepted.push(id);
        return true;
      } catch (error) {
        expect(error).toBeInstanceOf(DiskFullError);
        expect((error as Error).message).toContain(disk);
        return false;
      }
    };
    for (let round = 0; round < 3; round += 1) {
      for (let at = 0; at < 30; at += 1) expect(await send(`before-${round}-${at}`)).toBe(true);
      const ballast = fill();
      let refused = 0;
      for (let at = 0; at < 40; at += 1) if (!(await send(`full-${round}-${at}`))) refused += 1;
      expect(refused).toBeGreaterThan(0);
      rmSync(ballast);
      for (let at = 0; at < 30; at += 1) expect(await send(`after-${round}-${at}`)).toBe(true);
    }
    expect(await readAll(log)).toEqual(accepted);
    await log.stop();
    const again = await openLog();
    expect(await readAll(again)).toEqual(accepted);
    await again.stop();
  });

  test('the online store: a row that was acknowledged after the disk had been full is there after a restart', async () => {
    const open = async (): Promise<MemoryOnlineStore> => {
      const store = new MemoryOnlineStore(
        { log: silentLogger, clock: systemClock, ttlMs: new Map() },
        { file: join(disk, 'online', 'rows.jsonl') },
      );
      await store.start();
      return store;
    };
    const view = { view: 'v', version: 1 };
    const row = (entityKey: EntityKey) => ({
      ...{ ...view, entityKey, eventTime: eventTime(1), computedAt: processingTime(1), values: { a: 'x'.repeat(900) } },
    });
    const store = await open();
    const accepted: EntityKey[] = [];
    const write = async (id: string): Promise<void> => {
      try {
        const key = keyOf(id);
        await store.write([row(key)]);
        accepted.push(key);
      } catch (error) {
        expect(error).toBeInstanceOf(DiskFullError);
      }
    };
    for (let at = 0; at < 20; at += 1) await write(`before-${at}`);
    const ballast = fill();
    for (let at = 0; at < 20; at += 1) await write(`full-${at}`);
    expect(accepted.length).toBeLessThan(40);
    rmSync(ballast);
    for (let at = 0; at < 20; at += 1) await write(`after-${at}`);
    expect(accepted.filter((key) => key.startsWith(keyOf('after')))).toHaveLength(20);
    await store.stop();
    const again = await open();
    const found = await again.read(view, accepted);
    expect(found.map((each) => each?.entityKey)).toEqual(accepted);
    await again.stop();
  });

  test('the spool: a full disk is answered 503, and events are taken again when there is room, without a restart', async () => {
    const gateway = await createTestGateway({ spool: { directory: join(disk, 'spool') } });
    await gateway.service.start();
    gateway.broker.mode = 'down';
    const accepted: string[] = [];
    const send = async (id: string): Promise<number> => {
      const { status } = await gateway.post('/ingest', JSON.stringify(goodEvent(id)));
      if (status === 202) accepted.push(id);
      return status;
    };
    for (let at = 0; at < 20; at += 1) expect(await send(`before-${at}`)).toBe(202);
    const ballast = fill();
    const statuses = new Set<number>();
    for (let at = 0; at < 40; at += 1) statuses.add(await send(`full-${at}`));
    expect(statuses).toContain(503);
    expect([...statuses].every((status) => status === 202 || status === 503)).toBe(true);
    rmSync(ballast);
    for (let at = 0; at < 20; at += 1) expect(await send(`after-${at}`)).toBe(202);
    gateway.broker.mode = 'up';
    const giveUpAt = Date.now() + 20_000;
    while (gateway.sent.length < accepted.length && Date.now() < giveUpAt) await sleep(20);
    expect(gateway.valuesOf('raw-events').map(({ event_id: id }) => id)).toEqual(accepted);
    await gateway.service.stop();
  }, 60_000);

  test('a state file that cannot be replaced stays as it was', async () => {
    const file = join(disk, 'state.json');
    await replaceFile(file, 'old');
    fill();
    await expect(replaceFile(file, 'x'.repeat(100_000))).rejects.toThrow(DiskFullError);
    expect(execFileSync('cat', [file]).toString()).toBe('old');
  });
});

test('what the file system refuses has a name, the path, and what to do', async () => {
  const named = (code: string) => diskError('/data/log', Object.assign(new Error(`${code}: refused`), { code }));
  for (const [code, expected, advice] of [
    ['ENOSPC', 'STORAGE_DISK_FULL', 'Free space'],
    ['EDQUOT', 'STORAGE_DISK_FULL', 'Free space'],
    ['EFBIG', 'STORAGE_DISK_FULL', 'Free space'],
    ['EROFS', 'STORAGE_NO_ACCESS', 'Mount the disk writable'],
    ['EACCES', 'STORAGE_NO_ACCESS', 'give the folder to the user'],
    ['EMFILE', 'STORAGE_TOO_MANY_FILES', 'ulimit -n'],
    ['ENFILE', 'STORAGE_TOO_MANY_FILES', 'ulimit -n'],
    ['ENOTDIR', 'STORAGE_PATH', 'another kind of file'],
    ['EIO', 'STORAGE_DISK_FAILED', 'check the disk'],
  ] as const) {
    const error = named(code);
    expect([error.code, error.message.includes('/data/log'), error.message.includes(advice)]).toEqual([
      ...[expected, true, true],
    ]);
  }
  const occupied = join(disk, 'log');
  writeFileSync(occupied, 'a file where a folder must be');
  const log = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: occupied, fsync: 'never', segmentBytes: 1_000 },
  );
  await expect(log.start()).rejects.toMatchObject({ code: 'STORAGE_PATH', message: expect.stringContaining(occupied) });
  mkdirSync(join(disk, 'other'));
});
