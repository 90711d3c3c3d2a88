import type { Service } from '#kernel/lifecycle';

/** One record of a partitioned log, as every broker can give it. */
export interface LogRecord {
  /** Partitioning key, UTF-8; undefined when the producer gave none. */
  readonly key: string | undefined;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  /** Broker timestamp, milliseconds since the epoch. Not the event time: that is inside the payload. */
  readonly timestampMs: number;
  readonly partition: string;
  /** Position of this record; reading resumes AFTER it with {@link SourcePartition.position}. */
  readonly offset: bigint;
}

export interface OutgoingRecord {
  readonly key?: string | undefined;
  readonly value: Buffer | string;
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

export type StartAt = 'earliest' | 'latest';

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
  /** Creates what is missing; existing topics are left as they are. */
  ensureTopics(topics: readonly TopicSpec[]): Promise<void>;
  listPartitions(topic: string): Promise<readonly string[]>;
  openPartition(
    topic: string,
    partition: string,
    from: { readonly resumeAfter: Position } | { readonly startAt: StartAt },
  ): Promise<SourcePartition>;
  readonly producer: Producer;
  /** Publishes a consumer group's progress; called at bundle finalisation only. */
  commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void>;
}
