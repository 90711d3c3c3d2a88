import type { LogRecord, OutgoingRecord } from '#connectors/connector';
import type { Logger } from '#monitoring/log';
import { FRAME_HEADER_BYTES, frameOf } from '#storage/framing';
import { RecordLog } from '#storage/record_log';
import { decodeRecord, encodeRecord, erasedPayload, type KeptRecord } from './record_payload.ts';

/** A record with what is put before it, bytes. */
export const LARGEST_FRAME = 256 * 1024 * 1024;
/** Newest bytes kept in memory, so that a reader that keeps up never reads the disk. */
const TAIL_BYTES = 1024 * 1024;

/** One partition: a log of records on disk, the newest of them in memory, and readers that wait for more. */
export class PartitionLog {
  readonly #partition: string;
  readonly #log: RecordLog;
  /** The newest frames; the first of them is at `#tailStart`. */
  #tail: Buffer[] = [];
  #tailStart = 0;
  #tailBytes = 0;
  readonly #waiters = new Set<() => void>();

  constructor(
    directory: string,
    partition: string,
    options: { segmentBytes: number; syncEachWrite: boolean; log: Logger; guard?: () => void },
  ) {
    this.#partition = partition;
    this.#log = new RecordLog(directory, { ...options, onWritten: (first, frames) => this.#keep(first, frames) });
  }

  /** Offset the next record gets. */
  get endOffset(): bigint {
    return BigInt(this.#log.end);
  }

  get startOffset(): bigint {
    return BigInt(this.#log.start);
  }

  /** Records at or after an offset: fewer than the offsets there are, where some were never given to a record that is kept. */
  recordsFrom(offset: bigint): number {
    return this.#log.recordsFrom(Number(offset));
  }

  open(): Promise<void> {
    return this.#log.open();
  }

  /** Resolves when every record is written, in this order and next to each other. */
  async append(records: readonly OutgoingRecord[], nowMs: number): Promise<void> {
    await this.#log.append(records.map((record) => encodeRecord(record, record.timestampMs ?? nowMs)));
  }

  #keep(first: number, frames: readonly Buffer[]): void {
    if (this.#tail.length === 0) this.#tailStart = first;
    for (const frame of frames) {
      this.#tail.push(frame);
      this.#tailBytes += frame.length;
    }
    let drop = 0;
    while (this.#tailBytes > TAIL_BYTES && drop < this.#tail.length - 1) {
      this.#tailBytes -= (this.#tail[drop] as Buffer).length;
      drop += 1;
    }
    if (drop > 0) {
      this.#tail = this.#tail.slice(drop);
      this.#tailStart += drop;
    }
    for (const wake of this.#waiters) wake();
  }

  /** Records from `offset` on, at most `maxRecords`; empty when there are none yet. Erased ones are among them. */
  async read(offset: bigint, maxRecords: number): Promise<KeptRecord[]> {
    const position = Number(offset);
    if (this.#tail.length > 0 && position >= this.#tailStart) {
      const from = position - this.#tailStart;
      return this.#tail
        .slice(from, from + maxRecords)
        .map((frame, at) => decodeRecord(frame.subarray(FRAME_HEADER_BYTES), this.#partition, BigInt(position + at)));
    }
    const stored = await this.#log.read(position, maxRecords);
    return stored.map(({ position: at, payload }) => decodeRecord(payload, this.#partition, BigInt(at)));
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

  /** Erases records: their places stay, readers pass over them, and nothing else of them is left in the files. @returns how many */
  async erase(matches: (record: LogRecord) => boolean): Promise<number> {
    const erased = await this.#log.redact((payload, position) => {
      const record = decodeRecord(payload, this.#partition, BigInt(position));
      return record.isErased !== true && matches(record) ? erasedPayload(payload) : undefined;
    });
    for (const { position, payload } of erased) {
      const at = position - this.#tailStart;
      // Not in place: a reader may hold what was there.
      if (at >= 0 && at < this.#tail.length) this.#tail[at] = frameOf(payload);
    }
    return erased.length;
  }

  sync(): Promise<void> {
    return this.#log.sync();
  }

  /** Deletes whole segments whose newest record is older than `beforeMs`; the last one stays. */
  retain(beforeMs: number): Promise<void> {
    return this.#log.retain(beforeMs);
  }

  /** Deletes whole segments that end at or before `offset`; the last one stays. */
  discardBefore(offset: bigint): Promise<void> {
    return this.#log.discardBefore(Number(offset));
  }

  async close(): Promise<void> {
    try {
      await this.#log.close();
    } finally {
      for (const wake of this.#waiters) wake();
    }
  }
}
