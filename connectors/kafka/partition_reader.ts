import type { LogRecord, Position, SourcePartition } from '#connectors/connector';
import { UnreadableBatchError } from './errors.ts';
import type { FetchedPartition, Fetcher } from './fetcher.ts';

/** What the answer of a fetch takes beside waiting for records. */
const FETCH_TIME_MS = 50;

export interface PartitionReaderParts {
  readonly fetcher: Fetcher;
  readonly partition: FetchedPartition;
  /** Times that the topic was found to be another one than the position's. */
  readonly recreations: number;
  readonly understand: (error: unknown) => unknown;
  readonly onClose: () => void;
}

/** An offset, and the id of the topic that it is an offset of: a topic that is created again begins anew. */
export const formatPosition = (offset: bigint, topicId: string | undefined): Position =>
  topicId === undefined ? String(offset) : `${offset}@${topicId}`;

/** @throws RangeError when it is no position of a Kafka partition */
export function parsePosition(position: Position): { readonly offset: bigint; readonly topicId: string | undefined } {
  const [, offset, topicId] = /^(-?\d+)(?:@([0-9a-f]{32}))?$/.exec(position) ?? [];
  if (offset === undefined) throw new RangeError(`"${position.slice(0, 60)}" is no position in a Kafka partition`);
  return { offset: BigInt(offset), topicId };
}

export class PartitionReader implements SourcePartition {
  readonly #parts: PartitionReaderParts;
  /** Fetched and not yet polled. */
  #buffer: readonly LogRecord[] = [];
  #bufferAt = 0;
  #position: bigint;
  /** After all of {@link #buffer}. */
  #bufferEnd: bigint;
  #topicId: string | undefined;
  #recreations: number;
  #unreadable: UnreadableBatchError | undefined;

  constructor(parts: PartitionReaderParts) {
    this.#parts = parts;
    this.#bufferEnd = parts.partition.offset;
    this.#position = parts.partition.offset - 1n;
    this.#topicId = parts.partition.topicId;
    this.#recreations = parts.recreations;
  }

  async poll(options: { maxRecords: number; maxWaitMs: number; signal: AbortSignal }): Promise<readonly LogRecord[]> {
    if (this.#bufferAt >= this.#buffer.length && !options.signal.aborted) {
      await this.#refill(options.maxWaitMs, options.signal);
    }
    const records = this.#buffer.slice(this.#bufferAt, this.#bufferAt + options.maxRecords);
    this.#bufferAt += records.length;
    if (this.#bufferAt >= this.#buffer.length) this.#position = this.#bufferEnd - 1n;
    else this.#position = (records[records.length - 1] as LogRecord).offset;
    return records;
  }

  async #refill(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#unreadable !== undefined) throw this.#unreadable;
    const { fetcher, partition, understand } = this.#parts;
    try {
      const chunk = await fetcher.take(partition, maxWaitMs + FETCH_TIME_MS, signal);
      if (chunk === undefined) return;
      this.#buffer = chunk.records;
      this.#bufferAt = 0;
      this.#bufferEnd = chunk.nextOffset;
      this.#topicId = chunk.topicId;
      if (chunk.isRecreated) this.#recreations += 1;
    } catch (error) {
      if (error instanceof UnreadableBatchError) this.#unreadable = error;
      throw understand(error);
    }
  }

  skipUnreadable(): void {
    if (this.#unreadable === undefined) return;
    const { fetcher, partition } = this.#parts;
    fetcher.skip(partition, this.#unreadable);
    this.#position = this.#unreadable.lastOffset;
    this.#bufferEnd = this.#position + 1n;
    this.#unreadable = undefined;
  }

  /** Offset of the next record to poll. */
  nextOffset(): bigint {
    return this.#position + 1n;
  }

  recreations(): number {
    return this.#recreations;
  }

  position(): Position {
    return formatPosition(this.#position, this.#topicId);
  }

  lagRecords(): bigint {
    const lag = this.#parts.partition.endOffset - this.#position - 1n;
    return lag > 0n ? lag : 0n;
  }

  /** Fetches run beside polls: an empty poll may only mean that none has come back. */
  endSeenMs(): number | undefined {
    return this.lagRecords() === 0n ? this.#parts.partition.endSeenMs : undefined;
  }

  endOffset(): bigint {
    return this.#parts.partition.endOffset;
  }

  async close(): Promise<void> {
    const { fetcher, partition, onClose } = this.#parts;
    fetcher.close(partition);
    onClose();
  }
}
