import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FolderLockedError, LockLostError } from '#storage/errors';
import { FolderLock, holderOf } from '#storage/folder_lock';
import { isRunning, thisProcess } from '#storage/process_identity';
import { temporaryFolder } from '../../support/servers/disk_folder.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder('lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const recordFile = (): string => join(folder, '.lock', readdirSync(join(folder, '.lock'))[0] as string);

/** A lock as another process would have left it. */
function leave(change: object, ageMs = 0): void {
  const record = { ...thisProcess(), since: '2026-01-01T00:00:00Z', command: 'start', beat: 7, ...change };
  mkdirSync(join(folder, '.lock'), { recursive: true });
  const file = join(folder, '.lock', 'token');
  writeFileSync(file, JSON.stringify(record));
  const at = new Date(Date.now() - ageMs);
  utimesSync(file, at, at);
}

test('one process has a folder; the error names it; afterwards another can have it', async () => {
  const lock = await FolderLock.acquire(folder);
  await expect(FolderLock.acquire(folder)).rejects.toThrow(`is in use by process ${process.pid} on ${hostname()}`);
  lock.describe({ serving: 'http://127.0.0.1:8000' });
  expect(await holderOf(folder)).toMatchObject({ pid: process.pid, urls: { serving: 'http://127.0.0.1:8000' } });
  await lock.release();
  expect(await holderOf(folder)).toBeUndefined();
  await (await FolderLock.acquire(folder)).release();
  expect(readdirSync(folder)).toEqual([]);
});

test('a process that has ended is recognised by its pid, and by its start where the pid was given again', async () => {
  for (const gone of [{ pid: 2_147_483_646 }, { pid: 1, startTime: '1' }, { startTime: '1' }]) {
    leave(gone);
    const lock = await FolderLock.acquire(folder);
    await lock.release();
  }
});

test('a holder that runs here keeps the folder however old its heartbeat is', async () => {
  leave({}, 3_600_000);
  await expect(FolderLock.acquire(folder)).rejects.toThrow(FolderLockedError);
});

test('pid 1 of another container, or a process of another machine, keeps the folder as long as its heart beats', async () => {
  for (const elsewhere of [
    { pid: 1, pidNamespace: 'pid:[1]', host: 'other' },
    { pid: process.pid, bootId: '00000000-0000-0000-0000-000000000000', host: 'other' },
    { pid: 2_147_483_646, pidNamespace: 'pid:[1]' },
  ]) {
    leave(elsewhere, 5_000);
    expect(isRunning({ ...thisProcess(), ...elsewhere })).toBeUndefined();
    await expect(FolderLock.acquire(folder)).rejects.toThrow(FolderLockedError);
  }
});

test('one elsewhere whose heart does not beat is replaced; one that beats again while it is watched is not', async () => {
  const elsewhere = { pid: 1, pidNamespace: 'pid:[1]', host: 'other' };
  leave(elsewhere, 60_000);
  const watched = FolderLock.acquire(folder);
  const beating = setTimeout(() => leave({ ...elsewhere, beat: 8 }, 60_000), 2_000);
  await expect(watched).rejects.toThrow(FolderLockedError);
  clearTimeout(beating);
  leave(elsewhere, 60_000);
  await (await FolderLock.acquire(folder)).release();
}, 30_000);

test('a holder that was replaced while it was paused finds out before it writes', async () => {
  const lock = await FolderLock.acquire(folder);
  expect(() => lock.check()).not.toThrow();
  rmSync(recordFile());
  const successor = await FolderLock.acquire(folder);
  const now = Date.now;
  Date.now = () => now() + 60_000;
  try {
    expect(() => lock.check()).toThrow(LockLostError);
  } finally {
    Date.now = now;
  }
  await lock.release();
  // The successor's lock is not touched by it.
  expect(JSON.parse(readFileSync(recordFile(), 'utf8'))).toMatchObject({ pid: process.pid });
  expect(() => successor.check()).not.toThrow();
  await successor.release();
});

test('of many that want it at once, one has it at a time', async () => {
  let inside = 0;
  let most = 0;
  let turns = 0;
  const work = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn += 1) {
      const lock = await FolderLock.acquire(folder, { waitMs: 20_000 });
      inside += 1;
      most = Math.max(most, inside);
      turns += 1;
      await setImmediate();
      inside -= 1;
      await lock.release();
    }
  };
  await Promise.all(Array.from({ length: 10 }, work));
  expect([most, turns]).toEqual([1, 50]);
}, 60_000);
