import type { ChildShard, _Record as KinesisRecord } from '@aws-sdk/client-kinesis';
import type { LogRecord, Position, SourcePartition } from '#connectors/connector';
import { deaggregate } from './aggregated_records.ts';
import { openEnvelope } from './envelope.ts';
import { BINARY_KEY, NO_KEY } from './put_records.ts';
import type { FetchedRecords, ShardFetcher, ShardStart } from './shard_fetcher.ts';
import { formatShardPart, type HashRange, isOwn, partOfChild, type ShardPart } from './shard_part.ts';

export interface ShardReaderParts {
  readonly part: ShardPart;
  /** {@link part} as a partition's name. */
  readonly partition: string;
  /** Hash keys that are this reader's. */
  readonly range: HashRange;
  readonly start: ShardStart;
  /** User records of the first Kinesis record that were read before. */
  readonly skip: number;
  /** When it was opened, ms. */
  readonly openedMs: number;
  readonly fetcher: ShardFetcher;
  readonly understand: <T>(task: () => Promise<T>) => Promise<T>;
  readonly onClose: () => void;
}

/** A user's record and the position after it. */
interface Buffered {
  readonly record: LogRecord;
  readonly position: Position;
}

/** Room for the user records of one aggregate, so that offsets stay in order. */
const USER_RECORDS_BITS = 20n;

function keyOf(partitionKey: string): Pick<LogRecord, 'key' | 'keyBytes'> {
  if (partitionKey.startsWith(NO_KEY)) return { key: undefined };
  if (!partitionKey.startsWith(BINARY_KEY)) return { key: partitionKey };
  const keyBytes = Buffer.from(partitionKey.slice(BINARY_KEY.length), 'base64');
  return { key: keyBytes.toString('utf8'), keyBytes };
}

/** Reads a shard, or a part of one. Positions: a sequence number, `N+2` when two of an aggregate's records are read, or where it began. */
export class ShardReader implements SourcePartition {
  readonly #parts: ShardReaderParts;
  #buffer: Buffered[] = [];
  #position: Position;
  /** After all that was fetched; some of it may not be ours. */
  #fetchedTo: Position;
  #skip: number;
  #lagMs = 0;
  #endSeenMs: number | undefined;
  #children: readonly ChildShard[] | undefined;

  constructor(parts: ShardReaderParts) {
    this.#parts = parts;
    this.#skip = parts.skip;
    this.#position = formatPosition(parts.start, parts.skip, parts.openedMs);
    this.#fetchedTo = this.#position;
  }

  async poll(options: { maxRecords: number; maxWaitMs: number; signal: AbortSignal }): Promise<readonly LogRecord[]> {
    const { fetcher, understand } = this.#parts;
    if (this.#buffer.length === 0 && this.#children === undefined && !options.signal.aborted) {
      const beganMs = Date.now();
      this.#take(await understand(() => fetcher.fetch(options.maxWaitMs, options.signal)), beganMs);
    }
    const taken = this.#buffer.splice(0, options.maxRecords);
    const last = taken[taken.length - 1];
    if (this.#buffer.length === 0) this.#position = this.#fetchedTo;
    else if (last !== undefined) this.#position = last.position;
    return taken.map(({ record }) => record);
  }

  #take({ records, millisBehindLatest, children }: FetchedRecords, beganMs: number): void {
    if (millisBehindLatest !== undefined) {
      this.#lagMs = millisBehindLatest;
      this.#endSeenMs = records.length === 0 && millisBehindLatest === 0 ? beganMs : undefined;
    }
    this.#children = children;
    for (const record of records) {
      this.#unpack(record);
      this.#fetchedTo = record.SequenceNumber as string;
    }
  }

  #unpack({ SequenceNumber = '', PartitionKey = '', Data, ApproximateArrivalTimestamp }: KinesisRecord): void {
    const { part, partition } = this.#parts;
    const data = Data === undefined ? Buffer.alloc(0) : Buffer.from(Data.buffer, Data.byteOffset, Data.byteLength);
    const users = deaggregate(PartitionKey, data);
    for (const [index, { partitionKey, data: userData }] of users.entries()) {
      if (index < this.#skip) continue;
      if (!isOwn(part, partitionKey)) continue;
      this.#buffer.push({
        record: {
          ...keyOf(partitionKey),
          ...openEnvelope(userData),
          isTombstone: false,
          timestampMs: ApproximateArrivalTimestamp?.getTime() ?? this.#parts.openedMs,
          partition,
          offset: (BigInt(SequenceNumber) << USER_RECORDS_BITS) + BigInt(index),
        },
        position: index + 1 === users.length ? SequenceNumber : `${SequenceNumber}+${index + 1}`,
      });
    }
    this.#skip = 0;
  }

  position(): Position {
    return this.#position;
  }

  /** Kinesis does not number its records: what is fetched, and one more while it says that there are some. */
  lagRecords(): bigint {
    return BigInt(this.#buffer.length + (this.#lagMs > 0 ? 1 : 0));
  }

  /** A poll that is throttled returns nothing without having asked. */
  endSeenMs(): number | undefined {
    return this.#endSeenMs;
  }

  lagMs(): number {
    return this.#lagMs;
  }

  successors(): readonly string[] | undefined {
    if (this.#children === undefined || this.#buffer.length > 0) return undefined;
    return this.#children.flatMap(({ ShardId, HashKeyRange }) => {
      const child = { from: BigInt(HashKeyRange?.StartingHashKey ?? 0), to: BigInt(HashKeyRange?.EndingHashKey ?? 0) };
      const part = partOfChild(this.#parts.range, ShardId as string, child);
      return part === undefined ? [] : [formatShardPart(part)];
    });
  }

  async close(): Promise<void> {
    await this.#parts.fetcher.close();
    this.#parts.onClose();
  }
}

function formatPosition(start: ShardStart, skip: number, openedMs: number): Position {
  switch (start.kind) {
    case 'earliest':
      return 'earliest';
    // What comes after this moment, also when reading continues much later.
    case 'latest':
      return `time@${openedMs}`;
    case 'time':
      return `time@${start.timestampMs}`;
    case 'after':
      return start.sequenceNumber;
    case 'at':
      return `${start.sequenceNumber}+${skip}`;
  }
}

/** Reads back what {@link ShardReader.position} has given. @throws RangeError when it is none of them */
export function parsePosition(position: Position): { readonly from: ShardStart; readonly skip: number } {
  if (position === 'earliest') return { from: { kind: 'earliest' }, skip: 0 };
  const [, timestamp] = /^time@(\d+)$/.exec(position) ?? [];
  if (timestamp !== undefined) return { from: { kind: 'time', timestampMs: Number(timestamp) }, skip: 0 };
  const [, sequenceNumber, read] = /^(\d+)(?:\+(\d+))?$/.exec(position) ?? [];
  if (sequenceNumber === undefined) throw new RangeError(`"${position}" is no position in a Kinesis shard`);
  if (read === undefined) return { from: { kind: 'after', sequenceNumber }, skip: 0 };
  return { from: { kind: 'at', sequenceNumber }, skip: Number(read) };
}
