import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type ComparingFileSystem, pathIn } from '#connectors/files/file_system';
import { FolderLockedError, LockLostError } from '#storage/errors';
import { isRunning, thisProcess } from '#storage/process_identity';
import { UnsafeBucketError } from './errors.ts';

const OWNER_NAME = '_owner.json';
const BEAT_MS = 5_000;
/** An owner on another machine that does not renew its record for so long is gone. What counts is this process' clock. */
const STALE_MS = 30_000;

const recordSchema = z.object({
  ...{ host: z.string(), bootId: z.string(), pidNamespace: z.string(), pid: z.number(), startTime: z.string() },
  ...{ since: z.string(), token: z.string(), beat: z.number() },
});
type OwnerRecord = z.infer<typeof recordSchema>;

export interface OwnerSettings {
  readonly beatMs?: number;
  readonly staleMs?: number;
}

/**
 * Makes one process the writer of a prefix in a bucket: `_owner.json`, which is replaced only by a process that has seen what it replaces. The owner renews it; a
 * process on the same machine takes over as soon as the owner's process is gone, one elsewhere when it was not renewed for thirty seconds.
 */
export class BucketOwner {
  /** Of this owner alone. */
  readonly token: string;
  readonly #files: ComparingFileSystem;
  readonly #location: string;
  readonly #path: string;
  readonly #timer: NodeJS.Timeout;
  #record: OwnerRecord;
  #tag: string;
  #isLost = false;
  #beating: Promise<void> = Promise.resolve();

  private constructor(
    files: ComparingFileSystem,
    location: string,
    held: { readonly record: OwnerRecord; readonly tag: string },
    beatMs: number,
  ) {
    this.#files = files;
    this.#location = location;
    this.#path = pathIn(location, OWNER_NAME);
    this.#record = held.record;
    this.#tag = held.tag;
    this.token = held.record.token;
    this.#timer = setInterval(() => {
      this.#beating = this.#beating.then(() => this.#beat());
    }, beatMs);
    this.#timer.unref();
  }

  /**
   * @throws {@link FolderLockedError} naming the process that owns it
   * @throws {@link UnsafeBucketError} when the server does not compare
   */
  static async acquire(
    files: ComparingFileSystem,
    location: string,
    { beatMs = BEAT_MS, staleMs = STALE_MS }: OwnerSettings = {},
  ): Promise<BucketOwner> {
    const path = pathIn(location, OWNER_NAME);
    for (;;) {
      const before = await files.readTagged(path);
      if (before !== undefined && !(await isGone(files, path, before.tag, before.bytes, { beatMs, staleMs }))) {
        throw new FolderLockedError(location, describe((await files.readTagged(path))?.bytes ?? before.bytes));
      }
      const record = { ...thisProcess(), since: new Date().toISOString(), token: randomUUID(), beat: 0 };
      const tag = await files.writeIf(path, encode(record), before?.tag);
      if (tag === undefined) continue;
      // A server that ignores the condition would let two processes in.
      if ((await files.writeIf(path, encode({ ...record, beat: 1 }), undefined)) !== undefined) {
        throw new UnsafeBucketError(location);
      }
      return new BucketOwner(files, location, { record, tag }, beatMs);
    }
  }

  /** @throws {@link LockLostError} when another process has taken the place */
  check(): void {
    if (this.#isLost) throw new LockLostError(this.#location);
  }

  async #beat(): Promise<void> {
    if (this.#isLost) return;
    const record = { ...this.#record, beat: this.#record.beat + 1 };
    try {
      const tag = await this.#files.writeIf(this.#path, encode(record), this.#tag);
      if (tag === undefined) this.#isLost = true;
      else [this.#record, this.#tag] = [record, tag];
    } catch {
      // The server does not answer: the next beat finds out whether another process has taken over meanwhile.
    }
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    if (this.#isLost) return;
    this.#isLost = true;
    await this.#files.remove(this.#path).catch(() => {});
  }
}

const encode = (record: OwnerRecord): Buffer => Buffer.from(`${JSON.stringify(record)}\n`);

function decode(bytes: Buffer): OwnerRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}

function describe(bytes: Buffer): string {
  const record = decode(bytes);
  return record === undefined ? 'another process' : `process ${record.pid} on ${record.host} (since ${record.since})`;
}

/** Returns whether the owner that was seen is gone: its process on this machine has ended, or it does not renew its record. */
async function isGone(
  files: ComparingFileSystem,
  path: string,
  tag: string,
  bytes: Buffer,
  { beatMs, staleMs }: Required<OwnerSettings>,
): Promise<boolean> {
  const record = decode(bytes);
  const runs = record === undefined ? undefined : isRunning(record);
  if (runs !== undefined) return !runs;
  for (const untilMs = performance.now() + staleMs; performance.now() < untilMs; ) {
    await sleep(beatMs / 2);
    const now = await files.readTagged(path);
    if (now === undefined) return true;
    if (now.tag !== tag) return false;
  }
  return true;
}
