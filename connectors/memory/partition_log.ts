import { type FileHandle, mkdir, open, readdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogRecord, OutgoingRecord } from '#connectors/connector';
import type { Logger } from '#monitoring/log';
import { decodeFrame, encodeFrame, frameLength, isIntact } from './frame.ts';

const SEGMENT = /^(\d{20})\.log$/;
/** A record with what is put before it, bytes. */
export const LARGEST_FRAME = 256 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** Newest bytes kept in memory, so that a reader that keeps up never reads the disk. */
const TAIL_BYTES = 1024 * 1024;
/** A file position is remembered every so many records. */
const INDEX_EVERY = 256;

interface Segment {
  readonly baseOffset: bigint;
  readonly handle: FileHandle;
  bytes: number;
  records: number;
  /** File positions of records 0, 256, 512, … of this segment. */
  readonly index: number[];
}

interface PendingAppend {
  readonly frames: readonly Buffer[];
  readonly bytes: number;
  resolve(): void;
  reject(error: unknown): void;
}

interface TailFrame {
  readonly offset: bigint;
  readonly frame: Buffer;
}

/**
 * One partition: segment files named by the offset of their first record. Appends that arrive while a write is under way are written
 * together in the next one. A record counts as written once write(2) has returned: killing the process loses nothing
 * acknowledged; losing power may lose what was not yet synced (see {@link MemoryLogConfig.fsync}).
 */
export class PartitionLog {
  readonly #directory: string;
  readonly #partition: string;
  readonly #segmentBytes: number;
  readonly #syncEachWrite: boolean;
  readonly #log: Logger;
  readonly #segments: Segment[] = [];
  #pending: PendingAppend[] = [];
  #writing: Promise<void> | undefined;
  #dirty = false;
  #end = 0n;
  #tail: TailFrame[] = [];
  #tailBytes = 0;
  readonly #waiters = new Set<() => void>();

  constructor(
    directory: string,
    partition: string,
    options: { segmentBytes: number; syncEachWrite: boolean; log: Logger },
  ) {
    this.#directory = directory;
    this.#partition = partition;
    this.#segmentBytes = options.segmentBytes;
    this.#syncEachWrite = options.syncEachWrite;
    this.#log = options.log;
  }

  /** Offset the next record gets. */
  get endOffset(): bigint {
    return this.#end;
  }

  get startOffset(): bigint {
    return this.#segments[0]?.baseOffset ?? 0n;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    const bases = (await readdir(this.#directory))
      .map((name) => SEGMENT.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(BigInt)
      .sort((a, b) => (a < b ? -1 : 1));
    for (const base of bases) this.#segments.push(await this.#recover(base));
    if (this.#segments.length === 0) await this.#roll();
    const last = this.#last();
    this.#end = last.baseOffset + BigInt(last.records);
  }

  #last(): Segment {
    return this.#segments[this.#segments.length - 1] as Segment;
  }

  async #roll(): Promise<void> {
    const path = this.#path(this.#end);
    this.#segments.push({ baseOffset: this.#end, handle: await open(path, 'a+'), bytes: 0, records: 0, index: [] });
  }

  #path(base: bigint): string {
    return join(this.#directory, `${String(base).padStart(20, '0')}.log`);
  }

  /** Counts a segment's records and cuts off a tail that a crash left half written. */
  async #recover(baseOffset: bigint): Promise<Segment> {
    const path = this.#path(baseOffset);
    const handle = await open(path, 'a+');
    const { size } = await handle.stat();
    const segment: Segment = { baseOffset, handle, bytes: 0, records: 0, index: [] };
    let buffer = Buffer.alloc(0);
    let readFrom = 0;
    for (;;) {
      const length = frameLength(buffer, 0, LARGEST_FRAME);
      if (length > 0 && isIntact(buffer, 0, length)) {
        if (segment.records % INDEX_EVERY === 0) segment.index.push(segment.bytes);
        segment.bytes += length;
        segment.records += 1;
        buffer = buffer.subarray(length);
        continue;
      }
      if (length !== 0) break;
      const chunk = Buffer.allocUnsafe(wantedBytes(buffer));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, readFrom);
      if (bytesRead === 0) break;
      readFrom += bytesRead;
      buffer = Buffer.concat([buffer, chunk.subarray(0, bytesRead)]);
    }
    if (segment.bytes < size) {
      this.#log.warn({ path, keptBytes: segment.bytes, cutBytes: size - segment.bytes }, 'memory_log.torn_tail_cut');
      await handle.truncate(segment.bytes);
    }
    return segment;
  }

  /** Resolves when every record is written, in this order and next to each other. */
  append(records: readonly OutgoingRecord[], nowMs: number): Promise<void> {
    const frames = records.map((record) => encodeFrame(record, record.timestampMs ?? nowMs));
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    return new Promise((resolve, reject) => {
      this.#pending.push({ frames, bytes, resolve, reject });
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending;
      this.#pending = [];
      try {
        if (this.#last().bytes >= this.#segmentBytes) await this.#roll();
        await this.#write(batch.flatMap(({ frames }) => frames));
        for (const { resolve } of batch) resolve();
        for (const wake of this.#waiters) wake();
      } catch (error) {
        // Half a batch may be in the file: cut it off, so that what was not acknowledged is not there.
        await this.#last()
          .handle.truncate(this.#last().bytes)
          .catch(() => {});
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #write(frames: readonly Buffer[]): Promise<void> {
    const segment = this.#last();
    const bytes = frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames);
    let written = 0;
    while (written < bytes.length) written += (await segment.handle.write(bytes, written)).bytesWritten;
    if (this.#syncEachWrite) await segment.handle.datasync();
    else this.#dirty = true;
    for (const frame of frames) {
      if (segment.records % INDEX_EVERY === 0) segment.index.push(segment.bytes);
      segment.bytes += frame.length;
      segment.records += 1;
      this.#tail.push({ offset: this.#end, frame });
      this.#tailBytes += frame.length;
      this.#end += 1n;
    }
    this.#trimTail();
  }

  #trimTail(): void {
    let drop = 0;
    while (this.#tailBytes > TAIL_BYTES && drop < this.#tail.length - 1) {
      this.#tailBytes -= (this.#tail[drop] as TailFrame).frame.length;
      drop += 1;
    }
    if (drop > 0) this.#tail = this.#tail.slice(drop);
  }

  /** Records from `offset` on, at most `maxRecords`; empty when there are none yet. */
  async read(offset: bigint, maxRecords: number): Promise<LogRecord[]> {
    if (offset >= this.#end) return [];
    const first = this.#tail[0]?.offset;
    return first !== undefined && offset >= first
      ? this.#readTail(offset, first, maxRecords)
      : this.#readSegment(offset, maxRecords);
  }

  #readTail(offset: bigint, first: bigint, maxRecords: number): LogRecord[] {
    const start = Number(offset - first);
    return this.#tail
      .slice(start, start + maxRecords)
      .map(({ offset: at, frame }) => decodeFrame(frame, 0, frame.length, this.#partition, at));
  }

  async #readSegment(offset: bigint, maxRecords: number): Promise<LogRecord[]> {
    const segment = this.#segments.findLast(({ baseOffset }) => baseOffset <= offset) as Segment;
    const skip = Number(offset - segment.baseOffset);
    const indexed = Math.min(Math.floor(skip / INDEX_EVERY), segment.index.length - 1);
    let at = segment.baseOffset + BigInt(indexed * INDEX_EVERY);
    let readFrom = segment.index[indexed] as number;
    const end = segment.bytes;
    const records: LogRecord[] = [];
    let rest = Buffer.alloc(0);
    while (records.length < maxRecords && readFrom < end) {
      const chunk = Buffer.allocUnsafe(Math.min(wantedBytes(rest), end - readFrom));
      const { bytesRead } = await segment.handle.read(chunk, 0, chunk.length, readFrom);
      if (bytesRead === 0) break;
      readFrom += bytesRead;
      const buffer =
        rest.length === 0 ? chunk.subarray(0, bytesRead) : Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
      let cursor = 0;
      for (let length = frameLength(buffer, 0, LARGEST_FRAME); length > 0 && records.length < maxRecords; ) {
        if (at >= offset) records.push(decodeFrame(buffer, cursor, length, this.#partition, at));
        at += 1n;
        cursor += length;
        length = frameLength(buffer, cursor, LARGEST_FRAME);
      }
      rest = buffer.subarray(cursor);
    }
    return records;
  }

  /** Resolves when a record is appended, `maxWaitMs` pass, or `signal` aborts. */
  waitForAppend(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, maxWaitMs);
      this.#waiters.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  async sync(): Promise<void> {
    if (!this.#dirty) return;
    this.#dirty = false;
    await this.#last().handle.datasync();
  }

  /** Deletes whole segments whose newest record is older than `beforeMs`; the last one stays. */
  async retain(beforeMs: number): Promise<void> {
    while (this.#segments.length > 1) {
      const oldest = this.#segments[0] as Segment;
      if ((await oldest.handle.stat()).mtimeMs >= beforeMs) return;
      await this.#dropOldest();
    }
  }

  /** Deletes whole segments that end at or before `offset`; the last one stays. */
  async discardBefore(offset: bigint): Promise<void> {
    while (this.#segments.length > 1) {
      const oldest = this.#segments[0] as Segment;
      if (oldest.baseOffset + BigInt(oldest.records) > offset) return;
      await this.#dropOldest();
    }
  }

  async #dropOldest(): Promise<void> {
    const oldest = this.#segments.shift() as Segment;
    await oldest.handle.close();
    await unlink(this.#path(oldest.baseOffset));
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.sync();
    for (const wake of this.#waiters) wake();
    for (const { handle } of this.#segments.splice(0)) await handle.close();
  }
}

/** How much to read next, given the beginning of a frame: all of it when it says how long it is. */
function wantedBytes(rest: Buffer): number {
  const announced = rest.length >= 4 ? rest.readUInt32BE(0) : 0;
  return announced > LARGEST_FRAME ? READ_BYTES : Math.max(READ_BYTES, announced);
}
