import { randomUUID } from 'node:crypto';
import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { FILE_MODE, FOLDER_MODE, makeFolder } from './durable_files.ts';
import { FolderLockedError, LockLostError, onDisk } from './errors.ts';
import { isRunning, thisProcess } from './process_identity.ts';

const HEARTBEAT_MS = 2_000;
/** A holder whose heart has not beaten for so long may be taken to be gone, where its pid says nothing. */
const STALE_MS = 30_000;
/** Then it is watched for so long: a clock that was set forward makes every heartbeat look old. */
const WATCHED_MS = 3 * HEARTBEAT_MS;
/** A holder that has not renewed its lock for so long looks whether it still has it before it writes. */
const LEASE_MS = STALE_MS / 2;
const RETRY_MS = 20;
/** The folder that is the lock. */
const LOCK_NAME = '.lock';
/** What versions before 0.2 used: a file with the pid. */
const LOCK_NAME_BEFORE = 'lock';

const recordSchema = z.object({
  host: z.string(),
  bootId: z.string(),
  pidNamespace: z.string(),
  pid: z.number(),
  startTime: z.string(),
  since: z.string(),
  command: z.string(),
  beat: z.number(),
  /** Where the holder answers, by role. */
  urls: z.record(z.string(), z.string()).optional(),
});
export type LockRecord = z.infer<typeof recordSchema>;

export interface LockSettings {
  /** How long to wait while another process holds the folder. Default: not at all. */
  readonly waitMs?: number;
  /** The lock itself, where it cannot be in the folder. */
  readonly at?: string;
}

const describe = ({ pid, host, command, since }: LockRecord): string =>
  `process ${pid} on ${host} (${command}, since ${since})`;

interface Holder {
  readonly token: string;
  /** Undefined: what it says is not readable. */
  readonly record: LockRecord | undefined;
  readonly mtimeMs: number;
}

/**
 * Makes one process the owner of a folder. The lock is a folder with one file, named by a token of its own: making a folder that has
 * something in it appear under a name fails while another such folder has the name, and a file with a name of its own can be removed
 * without removing a successor's. So of any number of processes that find a lock stale, one gets it.
 *
 * A holder whose process runs on this machine, in this pid namespace, is never robbed. One elsewhere, whose pid says nothing here, keeps
 * the lock as long as its heart beats. A holder that was paused for longer finds out before it writes ({@link check}).
 */
export class FolderLock {
  readonly folder: string;
  readonly #lock: string;
  readonly #file: string;
  #record: LockRecord;
  #renewedMs = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #isLost = false;
  /** Makes {@link check} a function of its own for those that write. */
  readonly guard = (): void => this.check();

  private constructor(folder: string, lock: string, token: string, record: LockRecord) {
    this.folder = folder;
    this.#lock = lock;
    this.#file = join(lock, token);
    this.#record = record;
    this.#timer = setInterval(() => this.#beat(), HEARTBEAT_MS);
    this.#timer.unref();
  }

  /** @throws {@link FolderLockedError} naming the process that holds it */
  static async acquire(folder: string, settings: LockSettings = {}): Promise<FolderLock> {
    await makeFolder(folder);
    const lock = settings.at ?? join(folder, LOCK_NAME);
    const untilMs = performance.now() + (settings.waitMs ?? 0);
    for (;;) {
      const taken = await onDisk(lock, () => take(folder, lock));
      if (taken instanceof FolderLock) return taken;
      if (performance.now() >= untilMs) throw new FolderLockedError(folder, taken);
      await sleep(RETRY_MS * (0.5 + Math.random()));
    }
  }

  /** Makes the lock of a process that has just taken its place. For this file only. */
  static holding(folder: string, lock: string, token: string, record: LockRecord): FolderLock {
    return new FolderLock(folder, lock, token, record);
  }

  /** Says where this process answers, for commands that find the folder in use. */
  describe(urls: Readonly<Record<string, string>>): void {
    this.#record = { ...this.#record, urls };
    this.#beat();
  }

  /**
   * Called before each write: costs next to nothing while the heart beats.
   *
   * @throws {@link LockLostError} when another process has taken the folder
   */
  check(): void {
    if (!this.#isLost && Date.now() - this.#renewedMs > LEASE_MS) this.#beat();
    if (this.#isLost) throw new LockLostError(this.folder);
  }

  #beat(): void {
    const record = { ...this.#record, beat: this.#record.beat + 1 };
    try {
      // Opened anew, never made: a lock that was taken away does not come back.
      const descriptor = openSync(this.#file, 'r+');
      try {
        writeSync(descriptor, padded(record), 0);
        // Where the file was removed while it was being written, its successor has the folder.
        statSync(this.#file);
      } finally {
        closeSync(descriptor);
      }
      this.#record = record;
      this.#renewedMs = Date.now();
    } catch (error) {
      // A full disk or too few descriptors say nothing about who holds it; the file is in its place or it is not.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') this.#isLost = true;
    }
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    this.#isLost = true;
    await unlink(this.#file).catch(() => {});
    // Fails when a successor is in it already.
    await rmdir(this.#lock).catch(() => {});
  }
}

/** Same length each time, so that it is overwritten in place. */
const RECORD_BYTES = 2_048;
const padded = (record: LockRecord): string => `${JSON.stringify(record).padEnd(RECORD_BYTES - 1)}\n`;

/** @returns who holds it, when it could not be taken */
async function take(folder: string, lock: string): Promise<FolderLock | string> {
  const before = await holderBefore(join(folder, LOCK_NAME_BEFORE));
  if (before !== undefined) return before;
  const holder = await readHolder(lock);
  if (holder !== undefined) {
    const who = holder.record === undefined ? 'another process' : describe(holder.record);
    if (!(await isGone(lock, holder))) return who;
    // Named by its token: a successor's file stays.
    await unlink(join(lock, holder.token)).catch(() => {});
  }
  const token = randomUUID();
  const record: LockRecord = {
    ...thisProcess(),
    since: new Date().toISOString(),
    command: process.argv
      .slice(1, 4)
      .map((part) => part.split('/').at(-1))
      .join(' '),
    beat: 0,
  };
  const made = `${lock}.${token}`;
  await mkdir(made, { mode: FOLDER_MODE });
  try {
    const handle = await open(join(made, token), 'wx', FILE_MODE);
    try {
      await handle.writeFile(padded(record));
    } finally {
      await handle.close();
    }
    // Succeeds where there is no such folder, or an empty one; of several processes, for one.
    await rename(made, lock);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    const winner = await readHolder(lock);
    return winner?.record === undefined ? 'another process' : describe(winner.record);
  }
  return FolderLock.holding(folder, lock, token, record);
}

/** Returns who holds a folder; undefined where no process does. */
export async function holderOf(folder: string, at = join(folder, LOCK_NAME)): Promise<LockRecord | undefined> {
  const holder = await onDisk(at, () => readHolder(at));
  if (holder?.record === undefined || isRunning(holder.record) === false) return undefined;
  return holder.record;
}

async function readHolder(lock: string): Promise<Holder | undefined> {
  try {
    const [token] = await readdir(lock);
    if (token === undefined) return undefined;
    const file = join(lock, token);
    const [text, { mtimeMs }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
    return { token, record: parse(text), mtimeMs };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parse(text: string): LockRecord | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

async function isGone(lock: string, holder: Holder): Promise<boolean> {
  const runs = holder.record === undefined ? undefined : isRunning(holder.record);
  if (runs !== undefined) return !runs;
  // By the clock of the file system that has both, not by that of either machine.
  if ((await nowOf(lock)) - holder.mtimeMs < STALE_MS) return false;
  await sleep(WATCHED_MS);
  const later = await readHolder(lock);
  return (
    later?.token === holder.token && later.record?.beat === holder.record?.beat && later.mtimeMs === holder.mtimeMs
  );
}

async function nowOf(lock: string): Promise<number> {
  const probe = `${lock}.${randomUUID()}`;
  const handle = await open(probe, 'wx', FILE_MODE);
  try {
    await handle.writeFile(' ');
    return (await handle.stat()).mtimeMs;
  } finally {
    await handle.close();
    await unlink(probe).catch(() => {});
  }
}

/** A version before 0.2 may still run: its lock is a file with its pid. One whose process is gone is removed. */
async function holderBefore(file: string): Promise<string | undefined> {
  let text: string;
  try {
    if (!(await stat(file)).isFile()) return undefined;
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  // Anything else of that name is none of ours.
  if (!/^\d{1,10}\s*$/.test(text)) return undefined;
  const pid = Number(text);
  if (pid > 0 && pid !== process.pid) {
    try {
      process.kill(pid, 0);
      return `process ${pid} of an earlier version`;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPERM') return `process ${pid} of an earlier version`;
    }
  }
  await unlink(file).catch(() => {});
  return undefined;
}
