import type { Service } from '#kernel/lifecycle';
import type { EntityMention } from './entity_mention.ts';

/** A header in its place: names may repeat, and values are bytes; null where the producer gave none. */
export type Header = readonly [name: string, value: Buffer | null];

/** One record of a partitioned log, as every broker can give it. */
export interface LogRecord {
  /** Partitioning key as UTF-8; undefined when the producer gave none. */
  readonly key: string | undefined;
  /** The key as it was sent; absent where keys are strings. */
  readonly keyBytes?: Buffer | undefined;
  /** Empty when {@link isTombstone}. */
  readonly value: Buffer;
  /** The record says that its key is deleted. Only Kafka and the disk log know such records. */
  readonly isTombstone?: boolean;
  /** Each name once, with its last value as UTF-8. */
  readonly headers: Readonly<Record<string, string>>;
  /** All headers in their order, as they were sent; absent where {@link headers} says everything. */
  readonly headerList?: readonly Header[];
  /** Broker timestamp, milliseconds since the epoch. Not the event time: that is inside the payload. */
  readonly timestampMs: number;
  readonly partition: string;
  /** Position of this record; reading resumes AFTER it with {@link SourcePartition.position}. */
  readonly offset: bigint;
}

/** A record to be sent. */
export interface OutgoingRecord {
  readonly key?: string | undefined;
  /** A key that is no string; comes before {@link key}. */
  readonly keyBytes?: Buffer | undefined;
  /** null deletes the key, where the broker knows that: a tombstone. */
  readonly value: Buffer | string | null;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Headers with repeated names or values that are no strings; comes before {@link headers}. */
  readonly headerList?: readonly Header[] | undefined;
  /** Milliseconds since the epoch; a fraction is dropped, and what is no time is refused. */
  readonly timestampMs?: number | undefined;
}

/** Returns the headers of a record in their order, as bytes. */
export function headersOf({ headers, headerList }: LogRecord | OutgoingRecord): readonly Header[] {
  if (headerList !== undefined) return headerList;
  return Object.entries(headers ?? {}).map(([name, value]): Header => [name, Buffer.from(value, 'utf8')]);
}

/** Returns headers by name: each name once, with its last value as UTF-8: what {@link LogRecord.headers} is of {@link LogRecord.headerList}. */
export const lastHeaders = (headers: readonly Header[]): Readonly<Record<string, string>> =>
  // Not by assignment: a header may be called "__proto__".
  Object.fromEntries(headers.map(([name, value]) => [name, value?.toString('utf8') ?? '']));

/** Returns the key of a record as bytes; undefined when it has none. */
export function keyBytesOf({ key, keyBytes }: LogRecord | OutgoingRecord): Buffer | undefined {
  return keyBytes ?? (key === undefined ? undefined : Buffer.from(key, 'utf8'));
}

/** A topic, with its number of partitions. */
export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  /** Records older than this may be deleted; undefined keeps them for ever. */
  readonly retentionMs?: number | undefined;
}

/** Opaque resume point of a partition: plain JSON, so that a snapshot can hold it. */
export type Position = string;

/** `timestampMs`: the first record that the broker took in at that time or later. */
export type StartAt = 'earliest' | 'latest' | { readonly timestampMs: number };

/** Where reading of a partition begins. */
export type ReadFrom = { readonly resumeAfter: Position } | { readonly startAt: StartAt };

/** A reader of one partition. Not safe for concurrent polls. */
export interface SourcePartition {
  /**
   * Records ready now, possibly none; waits up to `maxWaitMs` for the first one.
   * @throws {PlatformError} `CONNECTOR_…`; retryable ones left the position unchanged
   */
  poll(options: { maxRecords: number; maxWaitMs: number; signal: AbortSignal }): Promise<readonly LogRecord[]>;
  /** Resume point after the last record polled. */
  position(): Position;
  /** Records in the partition behind the newest one, as last seen. */
  lagRecords(): bigint;
  /**
   * When the broker was asked the question whose answer said last that nothing is left to read, ms; undefined while it has not. Absent where a poll that returns
   * nothing has asked itself.
   */
  endSeenMs?(): number | undefined;
  /** Offset that the next record of the partition gets, as last seen; absent where records are not numbered. */
  endOffset?(): bigint;
  /** How far behind the newest record this reader is in time, ms; for brokers that do not number their records. */
  lagMs?(): number;
  /**
   * Partitions that take over once this one has ended and all of it was polled (a Kinesis shard's children); undefined while it
   * continues. Absent where partitions never end.
   */
  successors?(): readonly string[] | undefined;
  /** Moves past a batch of which {@link poll} has said that it cannot be read. Absent where there are no batches. */
  skipUnreadable?(): void;
  /** How often the topic was found deleted and created again, and was read from its start. */
  recreations?(): number;
  /** Independent streams that this reader holds at the moment; absent where there is always one. */
  workers?(): number;
  /** Acknowledges records, whatever was polled beside them; absent where progress is a position. */
  acknowledge?(records: readonly LogRecord[]): Promise<void>;
  /** When the oldest record that was not acknowledged was published, ms; for brokers without order. */
  oldestPendingMs?(): number | undefined;
  close(): Promise<void>;
}

/** Sends records to topics. */
export interface Producer {
  /** Resolves when every record is durable as the broker understands it; on rejection none may be assumed written. */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<void>;
}

/**
 * A broker of partitioned logs: a log on this machine's disk, Kafka, Kinesis, Pub/Sub. Records of one key stay in order within
 * their partition. Positions are owned by the reader (a pipeline snapshot); `commit` only publishes progress to the
 * broker's own tools and lag metrics.
 */
export interface Broker extends Service {
  readonly kind: string;
  /** Records can carry headers. */
  readonly hasHeaders: boolean;
  /** Creates what is missing; existing topics are left as they are. */
  ensureTopics(topics: readonly TopicSpec[]): Promise<void>;
  listTopics(): Promise<readonly string[]>;
  /** Partitions to begin with when reading from `startAt`; others follow as {@link SourcePartition.successors}. */
  listPartitions(topic: string, startAt?: StartAt): Promise<readonly string[]>;
  /** Whether an existing topic may get more partitions that nothing leads to: readers list them again now and then. */
  readonly addsPartitions: boolean;
  openPartition(topic: string, partition: string, from: ReadFrom): Promise<SourcePartition>;
  readonly producer: Producer;
  /**
   * Erases the records of a topic that mention an entity: their places stay, readers pass over them. Absent where a broker cannot: there records last until
   * the topic's retention, or its compaction, removes them.
   *
   * @returns how many
   */
  eraseRecords?(topic: string, mention: EntityMention): Promise<number>;
  /** Publishes a consumer group's progress; called at bundle finalisation only. */
  commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void>;
  /** What {@link commit} has published, by partition; empty for an unknown group. */
  committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>>;
}
