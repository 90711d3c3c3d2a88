import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '#monitoring/log';
import { bootId } from './boot_id.ts';
import { FILE_MODE, makeFolder, syncFolder } from './durable_files.ts';
import { DamagedFileError, DiskFailedError, diskError, onDisk } from './errors.ts';
import {
  type Framing,
  LARGEST_PAYLOAD_BYTES,
  RECORDS,
  SEGMENT_HEADER_BYTES,
  sealFrame,
  segmentHeader,
} from './framing.ts';
import { checkLog, RESERVED_AT_ONCE } from './log_check.ts';
import { PositionMark, replaceMark } from './position_mark.ts';
import { MARK_FILE, segmentFile } from './segment_files.ts';
import { ForwardReader, INDEX_EVERY, nextFrame } from './segment_scan.ts';

interface Segment {
  readonly file: string;
  readonly framing: Framing;
  readonly base: number;
  handle: FileHandle;
  /** Reads of the handle under way. */
  reads: number;
  bytes: number;
  records: number;
  /** File positions of records 0, 256, 512, … of this segment. */
  readonly index: number[];
}

/** A record as it was read. */
export interface StoredRecord {
  readonly position: number;
  readonly payload: Buffer;
}

interface PendingAppend {
  readonly frames: readonly Buffer[];
  /** Nothing is appended: a new segment begins. */
  readonly rolls?: boolean;
  resolve(first: number): void;
  reject(error: unknown): void;
}

export interface RecordLogSettings {
  readonly segmentBytes: number;
  /** True: records are on the disk itself before they are acknowledged. */
  readonly syncEachWrite: boolean;
  readonly log: Logger;
  /** Throws when this process may no longer write, as when it has lost the folder's lock. */
  readonly guard?: () => void;
  /** Called in the order of positions, after frames were written and before they are acknowledged. */
  readonly onWritten?: (first: number, frames: readonly Buffer[]) => void;
}

/**
 * An append-only log of records in a folder: segment files and a mark of how far they go. Appends that arrive while a write is under way
 * are written together in the next one. A record counts as written once write(2) has returned: killing the process loses nothing that was
 * acknowledged; losing power may lose what was not yet synced. No position is given to two records, whatever happens to the files.
 */
export class RecordLog {
  readonly #directory: string;
  readonly #settings: RecordLogSettings;
  readonly #segments: Segment[] = [];
  #mark: PositionMark | undefined;
  #pending: PendingAppend[] = [];
  #writing: Promise<void> | undefined;
  /** A failed write may have left part of itself after the last segment's end. */
  #hasRemains = false;
  /** Files that were replaced while they were read. */
  readonly #replaced = new Map<Segment, FileHandle[]>();
  /** One redaction at a time: each copies what the one before has written. */
  #redacting: Promise<unknown> = Promise.resolve();
  #isDirty = false;
  #end = 0;
  /** The disk did not confirm a sync: it is unknown what is on it. */
  #failure: DiskFailedError | undefined;

  constructor(directory: string, settings: RecordLogSettings) {
    this.#directory = directory;
    this.#settings = settings;
  }

  /** Position of the next record. */
  get end(): number {
    return this.#end;
  }

  /** Position of the oldest record that is kept. */
  get start(): number {
    return this.#segments[0]?.base ?? this.#end;
  }

  /** Records at or after a position. */
  recordsFrom(position: number): number {
    let count = 0;
    for (let at = this.#segments.length - 1; at >= 0; at -= 1) {
      const { base, records } = this.#segments[at] as Segment;
      count += Math.max(0, Math.min(records, base + records - position));
      if (base <= position) break;
    }
    return count;
  }

  /** @throws {@link DamagedFileError} for anything but a torn tail */
  async open(): Promise<void> {
    const { log } = this.#settings;
    await makeFolder(this.#directory);
    const { segments, mark, end, tornTail, damage } = await checkLog(this.#directory);
    const [worst] = damage;
    if (worst !== undefined) throw new DamagedFileError(worst.file, worst.atByte, worst.problem);
    const isSameRun = mark !== undefined && mark.bootId !== '' && mark.bootId === bootId();
    // After a crash of the machine, records that readers have seen may be gone: their positions are not given again.
    const mayHaveLost = mark !== undefined && !mark.isClosed && (!isSameRun || tornTail !== undefined);
    this.#end = mayHaveLost ? Math.max(end, mark.reserved) : Math.max(end, mark?.written ?? 0);
    try {
      for (const { file, framing, base, goodBytes, records, index } of segments) {
        const handle = await onDisk(file, () => open(file, framing === RECORDS ? 'r+' : 'r', FILE_MODE));
        this.#segments.push({ file, framing, base, handle, reads: 0, bytes: goodBytes, records, index });
      }
      const torn = this.#segments.at(-1);
      if (tornTail !== undefined && torn !== undefined) {
        const { file, atByte, sizeBytes, problem } = tornTail;
        log.warn({ file, keptBytes: atByte, cutBytes: sizeBytes - atByte, problem }, 'record_log.torn_tail_cut');
        await this.#cut(torn, atByte);
      }
      const markFile = join(this.#directory, MARK_FILE);
      const reserved = Math.max(this.#end + RESERVED_AT_ONCE, mark?.reserved ?? 0);
      const opened = { isClosed: false, bootId: bootId(), synced: Math.min(mark?.synced ?? 0, end), reserved };
      // A segment of this version is never without a mark, and a mark never speaks of records that no segment has.
      if (mark === undefined) await replaceMark(markFile, { ...opened, start: this.start, written: end });
      const last = this.#segments.at(-1);
      const canGoOn = last?.framing === RECORDS && endOfSegment(last) === this.#end;
      if (!canGoOn) await this.#roll();
      const start = Math.min(mark?.start ?? this.start, this.start);
      this.#mark = await PositionMark.open(markFile, { ...opened, start, written: this.#end });
      await this.#syncLast();
    } catch (error) {
      await this.#closeFiles();
      throw error;
    }
  }

  async #cut(segment: Segment, bytes: number): Promise<void> {
    if (segment.framing !== RECORDS) {
      const writable = await onDisk(segment.file, () => open(segment.file, 'r+'));
      try {
        await onDisk(segment.file, () => writable.truncate(bytes));
      } finally {
        await writable.close();
      }
    } else if (bytes < SEGMENT_HEADER_BYTES) {
      // The segment was being made: it is made again.
      this.#segments.pop();
      await segment.handle.close();
      await onDisk(segment.file, () => unlink(segment.file));
    } else await onDisk(segment.file, () => segment.handle.truncate(bytes));
  }

  #last(): Segment {
    return this.#segments[this.#segments.length - 1] as Segment;
  }

  /** Begins a segment at the end. */
  async #roll(): Promise<void> {
    const before = this.#segments.at(-1);
    const file = segmentFile(this.#directory, this.#end);
    await onDisk(file, async () => {
      const handle = await open(file, 'w+', FILE_MODE);
      try {
        const header = segmentHeader(this.#end, before === undefined ? this.#end : endOfSegment(before));
        await writeWhole(handle, header, 0);
        await handle.sync();
        await syncFolder(this.#directory);
      } catch (error) {
        await handle.close();
        await unlink(file).catch(() => {});
        throw error;
      }
      const segment = {
        file,
        framing: RECORDS,
        base: this.#end,
        handle,
        reads: 0,
        bytes: SEGMENT_HEADER_BYTES,
        records: 0,
        index: [],
      };
      this.#segments.push(segment);
    });
  }

  /**
   * Resolves with the first position when all frames are written, in this order and next to each other.
   *
   * @param frames - from `allocateFrame`, with their payloads; their headers are filled in here
   * @throws what the disk refuses, as a named error: nothing of it was acknowledged, and the next append tries again
   */
  append(frames: readonly Buffer[]): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ frames, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending;
      this.#pending = [];
      try {
        if (this.#failure !== undefined) throw this.#failure;
        this.#settings.guard?.();
        await this.#removeRemains();
        const rolls = batch.some((pending) => pending.rolls === true) && this.#last().records > 0;
        if (rolls || this.#last().bytes >= this.#settings.segmentBytes) {
          await this.sync();
          await this.#roll();
        }
        const first = this.#end;
        const all = batch.length === 1 ? (batch[0] as PendingAppend).frames : batch.flatMap(({ frames }) => frames);
        if (all.length > 0) await this.#write(all);
        let position = first;
        for (const { frames, resolve } of batch) {
          resolve(position);
          position += frames.length;
        }
      } catch (error) {
        await this.#removeRemains().catch(() => {});
        for (const { reject } of batch) reject(diskError(this.#directory, error));
      }
    }
    // In the same turn as the look at what is pending: an append that comes now starts the next round.
    this.#writing = undefined;
  }

  /** What was not acknowledged must not come back: half a batch is cut off, now or before the next write. */
  async #removeRemains(): Promise<void> {
    if (!this.#hasRemains) return;
    const { handle, bytes, file } = this.#last();
    await onDisk(file, () => handle.truncate(bytes));
    this.#hasRemains = false;
  }

  async #write(frames: readonly Buffer[]): Promise<void> {
    const segment = this.#last();
    const mark = this.#mark as PositionMark;
    const first = this.#end;
    const end = first + frames.length;
    for (const [at, frame] of frames.entries()) {
      if (frame.length > LARGEST_PAYLOAD_BYTES) throw new RangeError(`a record of ${frame.length} bytes is too large`);
      sealFrame(frame, first + at);
    }
    if (end > mark.marked.reserved) {
      mark.set({ reserved: end + RESERVED_AT_ONCE });
      mark.sync();
    }
    const bytes = frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames);
    this.#hasRemains = true;
    await onDisk(segment.file, () => writeWhole(segment.handle, bytes, segment.bytes));
    if (this.#settings.syncEachWrite) await this.#syncFile(segment);
    else this.#isDirty = true;
    mark.set(this.#settings.syncEachWrite ? { written: end, synced: end } : { written: end });
    this.#hasRemains = false;
    for (const frame of frames) {
      if (segment.records % INDEX_EVERY === 0) segment.index.push(segment.bytes);
      segment.bytes += frame.length;
      segment.records += 1;
    }
    this.#end = end;
    this.#settings.onWritten?.(first, frames);
  }

  /** A sync that failed is never tried again: the system may have dropped what it could not write, and would report success. */
  async #syncFile({ handle, file }: Segment): Promise<void> {
    try {
      await handle.datasync();
    } catch (error) {
      this.#failure = new DiskFailedError(file, 'the disk did not confirm a write', error);
      throw this.#failure;
    }
  }

  /** Records from `position` on, at most `most`; empty when there are none yet. */
  async read(position: number, most: number): Promise<StoredRecord[]> {
    if (position >= this.#end) return [];
    const at = this.#segments.findLastIndex(({ base }) => base <= position);
    // Positions that were reserved before a crash, or were lost, have no records, and a segment may have lost all of its own: reading continues with the next segment that has some.
    const segment = this.#segments.find(
      (each, index) => index >= at && each.records > 0 && endOfSegment(each) > position,
    );
    return segment === undefined ? [] : this.#readSegment(segment, Math.max(position, segment.base), most);
  }

  async #readSegment(segment: Segment, position: number, most: number): Promise<StoredRecord[]> {
    segment.reads += 1;
    try {
      return await this.#readFrom(segment, position, most);
    } finally {
      segment.reads -= 1;
      if (segment.reads === 0) await this.#closeReplaced(segment);
    }
  }

  async #readFrom(segment: Segment, position: number, most: number): Promise<StoredRecord[]> {
    const { file, handle, framing, base, index, bytes: end } = segment;
    if (segment.records === 0) return [];
    const indexed = Math.min(Math.floor((position - base) / INDEX_EVERY), index.length - 1);
    const reader = new ForwardReader(handle, index[indexed] as number, end);
    const records: StoredRecord[] = [];
    for (let at = base + indexed * INDEX_EVERY; records.length < most && reader.filePosition < end; at += 1) {
      const looked = await onDisk(file, () => nextFrame(reader, framing));
      if (looked.kind !== 'frame' || (looked.position ?? at) !== at) {
        const problem = looked.kind === 'damaged' ? looked.problem : `record ${at} is not in its place`;
        throw new DamagedFileError(file, reader.filePosition, problem);
      }
      if (at >= position) {
        const payload = reader.buffer.subarray(looked.payloadAt, reader.cursor + looked.bytes);
        records.push({ position: at, payload });
      }
      reader.advance(looked.bytes);
    }
    return records;
  }

  /** Makes everything that was written durable. */
  async sync(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isDirty) await this.#syncLast();
  }

  async #syncLast(): Promise<void> {
    const end = this.#end;
    this.#isDirty = false;
    await this.#syncFile(this.#last());
    this.#mark?.set({ synced: end });
  }

  /**
   * Replaces payloads in place: `replace` returns other bytes of the same length, or undefined to keep a record. Positions stay. Each file is written anew
   * beside and renamed, so that a crash leaves the old one or the new one.
   *
   * @returns positions and payloads of what was replaced
   */
  redact(replace: (payload: Buffer, position: number) => Buffer | undefined): Promise<StoredRecord[]> {
    const redacted = this.#redacting.then(() => this.#redact(replace));
    this.#redacting = redacted.catch(() => {});
    return redacted;
  }

  async #redact(replace: (payload: Buffer, position: number) => Buffer | undefined): Promise<StoredRecord[]> {
    // Of the last segment, appends would continue while it is copied.
    await new Promise<number>((resolve, reject) => {
      this.#pending.push({ frames: [], rolls: true, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
    const replaced: StoredRecord[] = [];
    for (const segment of this.#segments.slice(0, -1)) {
      const found: StoredRecord[] = [];
      for (let at = segment.base; at < endOfSegment(segment); ) {
        const records = await this.#readSegment(segment, at, REDACTED_AT_ONCE);
        for (const { position, payload } of records) {
          const changed = replace(payload, position);
          if (changed !== undefined) found.push({ position, payload: changed });
        }
        at = (records.at(-1)?.position ?? endOfSegment(segment)) + 1;
      }
      if (found.length > 0 && this.#segments.includes(segment)) await this.#rewrite(segment, found);
      replaced.push(...found);
    }
    return replaced;
  }

  async #rewrite(segment: Segment, changed: readonly StoredRecord[]): Promise<void> {
    const { file, handle: before, framing, base, bytes } = segment;
    const content = Buffer.alloc(bytes);
    await onDisk(file, () => before.read(content, 0, bytes, 0));
    let position = base;
    let next = 0;
    for (let at = framing.firstAt; at < bytes && next < changed.length; position += 1) {
      const looked = framing.look(content, at);
      if (looked.kind !== 'frame') throw new DamagedFileError(file, at, 'no intact record begins here');
      const { position: wanted, payload } = changed[next] as StoredRecord;
      if (position === wanted) {
        payload.copy(content, looked.payloadAt);
        framing.seal(content.subarray(at, at + looked.bytes), position);
        next += 1;
      }
      at += looked.bytes;
    }
    this.#settings.guard?.();
    const { atime, mtime } = await before.stat();
    const making = `${file}${REDACTING}`;
    const handle = await onDisk(making, async () => {
      const made = await open(making, 'w+', FILE_MODE);
      await writeWhole(made, content, 0);
      // Retention goes by when a segment was last appended to.
      await made.utimes(atime, mtime);
      await made.sync();
      return made;
    });
    await onDisk(file, () => rename(making, file));
    await syncFolder(this.#directory);
    this.#replaced.set(segment, [...(this.#replaced.get(segment) ?? []), before]);
    segment.handle = handle;
    if (segment.reads === 0) await this.#closeReplaced(segment);
  }

  /** What was read of a file before it was replaced is read to the end. */
  async #closeReplaced(segment: Segment): Promise<void> {
    const handles = this.#replaced.get(segment);
    if (handles === undefined) return;
    this.#replaced.delete(segment);
    for (const handle of handles) await handle.close();
  }

  /** Begins a new segment, so that those before can be discarded. */
  async roll(): Promise<void> {
    await this.#writing;
    await this.sync();
    if (this.#last().records > 0) await this.#roll();
  }

  /** Deletes whole segments whose newest record is older than `beforeMs`; the last one stays. */
  async retain(beforeMs: number): Promise<void> {
    while (this.#segments.length > 1) {
      const oldest = this.#segments[0] as Segment;
      if ((await oldest.handle.stat()).mtimeMs >= beforeMs) return;
      await this.#dropOldest();
    }
  }

  /** Deletes whole segments that end at or before a position; the last one stays. */
  async discardBefore(position: number): Promise<void> {
    while (this.#segments.length > 1) {
      const oldest = this.#segments[0] as Segment;
      if (endOfSegment(oldest) > position) return;
      await this.#dropOldest();
    }
  }

  async #dropOldest(): Promise<void> {
    this.#settings.guard?.();
    const oldest = this.#segments.shift() as Segment;
    this.#mark?.set({ start: this.start });
    await oldest.handle.close();
    await onDisk(oldest.file, () => unlink(oldest.file));
  }

  async close(): Promise<void> {
    await this.#redacting;
    await this.#writing;
    if (this.#mark === undefined) return;
    try {
      if (this.#failure === undefined) {
        await this.#removeRemains();
        await this.sync();
        this.#settings.guard?.();
        this.#mark.set({ isClosed: true, synced: this.#end, written: this.#end });
        this.#mark.sync();
      }
    } finally {
      await this.#closeFiles();
    }
  }

  async #closeFiles(): Promise<void> {
    this.#mark?.close();
    this.#mark = undefined;
    for (const segment of this.#segments.splice(0)) {
      await this.#closeReplaced(segment);
      await segment.handle.close();
    }
  }
}

const REDACTED_AT_ONCE = 1_000;
/** Ends the name of a file that is being made; it is not a segment's. */
const REDACTING = '.redacting';

const endOfSegment = ({ base, records }: Segment): number => base + records;

async function writeWhole(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += (await handle.write(bytes, written, bytes.length - written, at + written)).bytesWritten;
  }
}
