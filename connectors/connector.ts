import type { Service } from '#kernel/lifecycle';

/** One record of a partitioned log, as every broker can give it. */
export interface LogRecord {
  /** Partitioning key, UTF-8; undefined when the producer gave none. */
  readonly key: string | undefined;
  /** Empty when {@link isTombstone}. */
  readonly value: Buffer;
  /** The record says that its key is deleted. Only Kafka and the memory log know such records. */
  readonly isTombstone?: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** Broker timestamp, milliseconds since the epoch. Not the event time: that is inside the payload. */
  readonly timestampMs: number;
  readonly partition: string;
  /** Position of this record; reading resumes AFTER it with {@link SourcePartition.position}. */
  readonly offset: bigint;
}

export interface OutgoingRecord {
  readonly key?: string | undefined;
  /** null deletes the key, where the broker knows that: a tombstone. */
  readonly value: Buffer | string | null;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly timestampMs?: number | undefined;
}

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
  /** How far behind the newest record this reader is in time, ms; for brokers that do not number their records. */
  lagMs?(): number;
  /**
   * Partitions that take over once this one has ended and all of it was polled (a Kinesis shard's children); undefined while it
   * goes on. Absent where partitions never end.
   */
  successors?(): readonly string[] | undefined;
  /** When the oldest record that was not acknowledged was published, ms; for brokers without order. */
  oldestPendingMs?(): number | undefined;
  close(): Promise<void>;
}

export interface Producer {
  /** Resolves when every record is durable as the broker understands it; on rejection none may be assumed written. */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<void>;
}

/**
 * A broker of partitioned logs: memory (on disk), Kafka, Kinesis, Pub/Sub. Records of one key stay in order within
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
  /** Whether an existing topic may get more partitions that nothing leads to: whoever reads it should look again now and then. */
  readonly addsPartitions: boolean;
  openPartition(topic: string, partition: string, from: ReadFrom): Promise<SourcePartition>;
  readonly producer: Producer;
  /** Publishes a consumer group's progress; called at bundle finalisation only. */
  commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void>;
  /** What {@link commit} has published, by partition; empty for an unknown group. */
  committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>>;
}
