import type { LogRecord } from '#connectors/connector';
import type { Logger } from '#monitoring/log';
import type { ClusterConnection } from './cluster_connection.ts';
import { UnreadableBatchError } from './errors.ts';
import { connectNode, createErrorFromCode } from './kafkajs_cluster.ts';
import { type FetchAnswer, fetchPartitions } from './protocol/fetch_request.ts';
import { BatchDecoder, offsetAfter } from './protocol/record_reader.ts';
import type { TopicDirectory } from './topic_directory.ts';

// kafkajs has no consumer that takes its partitions and offsets from outside: a consumer always joins a group, and a group's rebalances and
// commits would compete with the positions that a pipeline snapshot owns.

/** Records of a partition that were unpacked together. */
export interface Chunk {
  readonly records: readonly LogRecord[];
  /** Offset to fetch from next: past what was returned and what was filtered out. */
  readonly nextOffset: bigint;
  readonly topicId: string | undefined;
  /** The topic was created again: reading begins anew with this chunk. */
  readonly isRecreated: boolean;
}

/** What one fetch has brought of a partition, packed as the broker keeps it. */
interface Fetched {
  readonly decoder: BatchDecoder;
  /** Position until something of it is read. */
  readonly offset: bigint;
  readonly topicId: string | undefined;
  readonly isRecreated: boolean;
  readonly bytes: number;
}

export interface FetchTarget {
  readonly topic: string;
  readonly topicId: string | undefined;
  readonly partition: number;
  readonly offset: bigint;
  readonly endOffset: bigint;
}

/** Longest wait of the broker for records, when every partition is in the request. */
const IDLE_WAIT_MS = 250;
/** With a partition that is not in the request, and may soon need to be. */
const SHORT_WAIT_MS = 25;
/** Chunks of a partition that wait to be read: one more is fetched while one is read. */
const MOST_CHUNKS = 2;
/** Batches are unpacked until their records take so much, whatever they took packed. */
const MOST_UNPACKED_BYTES = 1024 * 1024;
/** All partitions that have something to read stop fetching above this. */
const MOST_BUFFERED_BYTES = 64 * 1024 * 1024;
/** A partition whose leader moves is looked up so often before its reader gets the error. */
const MOST_MOVES = 100;
const MOVE_DELAY_MS = 100;

/** Errors that new metadata may end: the leader has moved, or the topic was deleted and perhaps created again. */
const STALE = new Set([
  3, // UNKNOWN_TOPIC_OR_PARTITION
  5, // LEADER_NOT_AVAILABLE
  6, // NOT_LEADER_OR_FOLLOWER
  9, // REPLICA_NOT_AVAILABLE
  74, // FENCED_LEADER_EPOCH
  75, // UNKNOWN_LEADER_EPOCH
  78, // OFFSET_NOT_AVAILABLE
  100, // UNKNOWN_TOPIC_ID
  103, // INCONSISTENT_TOPIC_ID
]);
const UNKNOWN_TOPIC_OR_PARTITION = 3;

/** A partition that is read. */
export class FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  topicId: string | undefined;
  /** Where the next fetch begins. */
  offset: bigint;
  /** Where a reader of committed records ends, as last seen. */
  endOffset: bigint;
  /** When a fetch was sent whose answer had nothing more, ms; undefined while there may be more. */
  endSeenMs: number | undefined;
  leader: string | undefined;
  isInRequest = false;
  isClosed = false;
  /** Looked up in vain, in a row. */
  moves = 0;
  /** Not fetched before, ms of the monotonic clock. */
  notBeforeMs = 0;
  readonly chunks: Fetched[] = [];
  /** The first chunk is of a topic that was created again, and its beginning was reported. */
  hasBegunAnew = false;
  failure: unknown;
  #wake: () => void = () => {};

  constructor({ topic, topicId, partition, offset, endOffset }: FetchTarget) {
    this.topic = topic;
    this.topicId = topicId;
    this.partition = partition;
    this.offset = offset;
    this.endOffset = endOffset;
  }

  wake(): void {
    this.#wake();
  }

  /** Resolves when there is a chunk or a failure, or after `maxWaitMs`. */
  async arrival(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    if (this.chunks.length > 0 || this.failure !== undefined || signal.aborted) return;
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      onAbort = () => resolve();
      timer = setTimeout(resolve, maxWaitMs);
      signal.addEventListener('abort', onAbort, { once: true });
    });
    clearTimeout(timer);
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
    this.#wake = () => {};
  }
}

/**
 * Fetches all partitions that are read, over one connection to each broker: one request at a time asks a leader for every partition of its
 * that has room for more. Whether there are two partitions or two hundred, there are as many connections as brokers.
 */
export class Fetcher {
  readonly #connection: ClusterConnection;
  readonly #directory: TopicDirectory;
  readonly #log: Logger;
  readonly #maxBytes: number;
  readonly #open = new Set<FetchedPartition>();
  readonly #busy = new Set<string>();
  #bufferedBytes = 0;
  #turn = 0;
  #isLookingUp = false;

  constructor(deps: { connection: ClusterConnection; directory: TopicDirectory; log: Logger }, maxBytes: number) {
    this.#connection = deps.connection;
    this.#directory = deps.directory;
    this.#log = deps.log;
    this.#maxBytes = maxBytes;
  }

  open(target: FetchTarget): FetchedPartition {
    const opened = new FetchedPartition(target);
    this.#open.add(opened);
    return opened;
  }

  /**
   * The next chunk; undefined when none came within `maxWaitMs`.
   * @throws kafkajs errors, {@link UnreadableBatchError}; the next call tries again from the same offset
   */
  async take(from: FetchedPartition, maxWaitMs: number, signal: AbortSignal): Promise<Chunk | undefined> {
    this.#pump();
    await from.arrival(maxWaitMs, signal);
    for (let fetched = from.chunks[0]; fetched !== undefined; fetched = from.chunks[0]) {
      const chunk = await this.#unpack(from, fetched);
      if (chunk !== undefined) return chunk;
    }
    const { failure } = from;
    from.failure = undefined;
    if (failure !== undefined) throw failure;
    return undefined;
  }

  /** @returns undefined when all of it was read. @throws {@link UnreadableBatchError} */
  async #unpack(
    from: FetchedPartition,
    { decoder, offset, topicId, isRecreated }: Fetched,
  ): Promise<Chunk | undefined> {
    const isAnew = isRecreated && !from.hasBegunAnew;
    from.hasBegunAnew = isRecreated;
    const { records, nextOffset, unreadable } = await decoder.next(MOST_UNPACKED_BYTES);
    if (records.length === 0 && unreadable !== undefined) {
      throw new UnreadableBatchError(from.topic, String(from.partition), unreadable);
    }
    if (decoder.isDone) this.#dropFirst(from);
    if (nextOffset === undefined && !isAnew) return undefined;
    const position = nextOffset !== undefined && nextOffset > offset ? nextOffset : offset;
    return { records, nextOffset: position, topicId, isRecreated: isAnew };
  }

  #dropFirst(from: FetchedPartition): void {
    this.#bufferedBytes -= from.chunks.shift()?.bytes ?? 0;
    from.hasBegunAnew = false;
    this.#pump();
  }

  /** Continues after a batch that cannot be read. */
  skip(from: FetchedPartition, { lastOffset }: UnreadableBatchError): void {
    const [fetched] = from.chunks;
    fetched?.decoder.skip();
    if (fetched?.decoder.isDone === true) this.#dropFirst(from);
    if (from.offset > lastOffset) return;
    // Where its end could not be found it was fetched again meanwhile.
    while (from.chunks[0] !== undefined && from.chunks[0].offset <= lastOffset) this.#dropFirst(from);
    from.offset = lastOffset + 1n;
  }

  close(partition: FetchedPartition): void {
    partition.isClosed = true;
    this.#open.delete(partition);
    for (const { bytes } of partition.chunks.splice(0)) this.#bufferedBytes -= bytes;
  }

  get openCount(): number {
    return this.#open.size;
  }

  #wants(partition: FetchedPartition): boolean {
    if (partition.isInRequest || partition.failure !== undefined) return false;
    if (partition.chunks.length >= MOST_CHUNKS || partition.notBeforeMs > performance.now()) return false;
    return partition.chunks.length === 0 || this.#bufferedBytes < MOST_BUFFERED_BYTES;
  }

  #pump(): void {
    const byLeader = new Map<string, FetchedPartition[]>();
    let isUnknown = false;
    for (const partition of this.#open) {
      if (!this.#wants(partition)) continue;
      if (partition.leader === undefined) {
        isUnknown = true;
        continue;
      }
      if (this.#busy.has(partition.leader)) continue;
      const group = byLeader.get(partition.leader);
      if (group === undefined) byLeader.set(partition.leader, [partition]);
      else group.push(partition);
    }
    if (isUnknown) void this.#lookUp();
    for (const [leader, group] of byLeader) void this.#request(leader, group);
  }

  /** Finds leaders; and topics that were created again, which are read from their beginning. */
  async #lookUp(): Promise<void> {
    if (this.#isLookingUp) return;
    this.#isLookingUp = true;
    const unknown = [...this.#open].filter((one) => one.leader === undefined && this.#wants(one));
    try {
      const topics = await this.#directory.lookUp([...new Set(unknown.map(({ topic }) => topic))]);
      for (const partition of unknown) {
        const found = topics.get(partition.topic);
        const code = found?.errorCode ?? UNKNOWN_TOPIC_OR_PARTITION;
        const exists = code === 0 && found?.leaders.has(partition.partition) === true;
        const leader = found?.leaders.get(partition.partition);
        if (!exists || leader === undefined) {
          this.#delay(partition, createErrorFromCode(code === 0 ? (exists ? 5 : 3) : code));
          continue;
        }
        if (found?.id !== undefined && partition.topicId !== undefined && found.id !== partition.topicId) {
          const { earliest, latest } = await this.#directory.rangeOf(found, partition.partition);
          this.#beginAnew(partition, found.id, earliest, latest);
        }
        partition.topicId = found?.id ?? partition.topicId;
        partition.leader = leader;
      }
    } catch (error) {
      for (const partition of unknown) if (partition.leader === undefined) this.#fail(partition, error);
    } finally {
      this.#isLookingUp = false;
    }
    this.#pump();
  }

  #beginAnew(partition: FetchedPartition, topicId: string, earliest: bigint, latest: bigint): void {
    const { topic, topicId: before, offset } = partition;
    this.#log.warn(
      { topic, partition: partition.partition, before, now: topicId, offset: String(offset) },
      'kafka.topic_recreated',
    );
    partition.offset = earliest;
    partition.endOffset = latest;
    const decoder = new BatchDecoder(Buffer.alloc(0), String(partition.partition), earliest, []);
    partition.chunks.push({ decoder, offset: earliest, topicId, isRecreated: true, bytes: 0 });
    partition.wake();
  }

  async #request(leader: string, group: readonly FetchedPartition[]): Promise<void> {
    this.#busy.add(leader);
    this.#turn += 1;
    // Those at the end of a request get what is left of it: each comes first in turn.
    const first = this.#turn % group.length;
    const order = [...group.slice(first), ...group.slice(0, first)];
    for (const partition of order) partition.isInRequest = true;
    const offsets = order.map(({ offset }) => offset);
    const isWhole = [...this.#open].every((one) => one.isInRequest || one.leader !== leader);
    const maxWaitMs = isWhole ? IDLE_WAIT_MS : SHORT_WAIT_MS;
    const askedMs = Date.now();
    try {
      const answers = await this.#connection.use(
        'fetch',
        async (cluster) =>
          fetchPartitions(await connectNode(cluster, leader), {
            partitions: order,
            maxWaitMs,
            maxBytes: this.#maxBytes,
          }),
        maxWaitMs,
      );
      for (const [index, partition] of order.entries())
        this.#receive(partition, offsets[index], answers[index], askedMs);
    } catch (error) {
      for (const partition of order) {
        partition.leader = undefined;
        this.#fail(partition, error);
      }
    }
    for (const partition of order) partition.isInRequest = false;
    this.#busy.delete(leader);
    this.#pump();
  }

  #receive(
    partition: FetchedPartition,
    requested: bigint | undefined,
    answer: FetchAnswer | undefined,
    askedMs: number,
  ): void {
    if (partition.isClosed || answer === undefined || partition.offset !== requested) return;
    if (answer.errorCode !== 0) {
      const error = createErrorFromCode(answer.errorCode);
      if (STALE.has(answer.errorCode)) {
        partition.leader = undefined;
        this.#delay(partition, error);
      } else {
        this.#fail(partition, error);
      }
      return;
    }
    partition.moves = 0;
    const { topicId, offset } = partition;
    const { endOffset, aborted, records: bytes } = answer;
    partition.endOffset = endOffset;
    const decoder = new BatchDecoder(bytes, String(partition.partition), offset, aborted);
    partition.endSeenMs = decoder.isDone && offset >= endOffset ? askedMs : undefined;
    if (decoder.isDone) return;
    // What a damaged batch says of itself may be wrong: no record is beyond the end.
    const after = offsetAfter(bytes) ?? offset;
    partition.offset = after > endOffset ? endOffset : after > offset ? after : offset;
    partition.chunks.push({ decoder, offset, topicId, isRecreated: false, bytes: bytes.length });
    this.#bufferedBytes += bytes.length;
    partition.wake();
  }

  /** Fails once it was looked up often enough. */
  #delay(partition: FetchedPartition, error: unknown): void {
    partition.moves += 1;
    if (partition.moves > MOST_MOVES) {
      partition.moves = 0;
      this.#fail(partition, error);
      return;
    }
    partition.notBeforeMs = performance.now() + MOVE_DELAY_MS;
    setTimeout(() => this.#pump(), MOVE_DELAY_MS + 1).unref();
  }

  #fail(partition: FetchedPartition, error: unknown): void {
    partition.failure = error;
    partition.wake();
  }
}
