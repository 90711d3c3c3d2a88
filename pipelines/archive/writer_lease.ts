import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { ConditionalFiles, TaggedFile } from '#connectors/files/file_system';
import { isRunning, thisProcess } from '#storage/process_identity';
import { ArchiveInUseError } from './errors.ts';

export const LEASE_NAME = '_writer.json';

export interface LeaseTimes {
  /** How often the holder renews it, ms. */
  readonly beatMs: number;
  /** A lease that was not renewed for so long is free, ms. */
  readonly staleMs: number;
}
export const LEASE_TIMES: LeaseTimes = { beatMs: 3_000, staleMs: 20_000 };

const leaseSchema = z.object({
  writer: z.string(),
  host: z.string(),
  bootId: z.string(),
  pidNamespace: z.string(),
  pid: z.number(),
  startTime: z.string(),
  since: z.string(),
  beat: z.number(),
  released: z.boolean(),
});
type LeaseRecord = z.infer<typeof leaseSchema>;

/**
 * Makes one process the writer of an archive in a bucket, by an object that its holder replaces again and again, each time on the condition that it is still its own. A process that
 * finds one watches it: a holder that replaces it is named, one that does not for {@link LeaseTimes.staleMs} of the watcher's own time has lost it. No clocks are compared. A holder that was
 * paused finds another object at its next renewal; until then the condition on the archive's list refuses what it commits.
 */
export class WriterLease {
  /** Of this lease alone. */
  readonly writer = randomUUID();
  readonly #files: ConditionalFiles;
  readonly #location: string;
  readonly #times: LeaseTimes;
  readonly #stopped = new AbortController();
  readonly #since = new Date().toISOString();
  #tag = '';
  #beat = 0;
  #isLost = false;
  #renewedMs = 0;
  #beating: Promise<void> = Promise.resolve();

  private constructor(files: ConditionalFiles, location: string, times: LeaseTimes) {
    this.#files = files;
    this.#location = location;
    this.#times = times;
  }

  /** @throws {@link ArchiveInUseError} naming the process that has it */
  static async acquire(files: ConditionalFiles, location: string, times = LEASE_TIMES): Promise<WriterLease> {
    const lease = new WriterLease(files, location, times);
    const held = await files.read(LEASE_NAME);
    if (held !== undefined && !isFree(held)) await lease.#watch(held);
    const tag = await files.replace(LEASE_NAME, lease.#bytes(false), held?.tag);
    if (tag === undefined) throw new ArchiveInUseError(location, holderOf(await files.read(LEASE_NAME)));
    lease.#tag = tag;
    lease.#renewedMs = performance.now();
    lease.#beating = lease.#beatOn();
    return lease;
  }

  /** Returns when a holder has not renewed it for long enough. */
  async #watch({ tag }: TaggedFile): Promise<void> {
    const { beatMs, staleMs } = this.#times;
    for (const endMs = performance.now() + staleMs; performance.now() < endMs; ) {
      await sleep(beatMs / 2);
      const now = await this.#files.read(LEASE_NAME);
      if (now?.tag !== tag) throw new ArchiveInUseError(this.#location, holderOf(now));
    }
  }

  #bytes(released: boolean): Uint8Array {
    this.#beat += 1;
    const record: LeaseRecord = {
      ...{ writer: this.writer, ...thisProcess(), since: this.#since, beat: this.#beat, released },
    };
    return Buffer.from(JSON.stringify(record));
  }

  async #beatOn(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted && !this.#isLost) {
      await sleep(this.#times.beatMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#replace(false);
      } catch {
        // A bucket that is away is tried again; check() says when that lasts too long.
      }
    }
  }

  async #replace(released: boolean): Promise<void> {
    const tag = await this.#files.replace(LEASE_NAME, this.#bytes(released), this.#tag);
    if (tag === undefined) this.#isLost = true;
    else {
      this.#tag = tag;
      this.#renewedMs = performance.now();
    }
  }

  /** Whether another process has it. */
  get isLost(): boolean {
    return this.#isLost || performance.now() - this.#renewedMs > this.#times.staleMs;
  }

  /** @throws {@link ArchiveInUseError} when it is lost, or may be */
  check(): void {
    if (this.isLost) throw new ArchiveInUseError(this.#location);
  }

  async release(): Promise<void> {
    this.#stopped.abort();
    await this.#beating;
    if (!this.#isLost) await this.#replace(true).catch(() => {});
  }
}

function recordOf({ bytes }: TaggedFile): LeaseRecord | undefined {
  try {
    return leaseSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}

/** Released, or of a process of this machine that does not run. */
function isFree(held: TaggedFile): boolean {
  const record = recordOf(held);
  return record !== undefined && (record.released || isRunning(record) === false);
}

function holderOf(held: TaggedFile | undefined): string | undefined {
  const record = held && recordOf(held);
  return record && `process ${record.pid} on ${record.host} (since ${record.since})`;
}
