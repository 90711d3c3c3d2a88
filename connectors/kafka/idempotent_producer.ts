import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { keyBytesOf, type OutgoingRecord } from '#connectors/connector';
import { RecordTooLargeError, refusalOf } from '#connectors/errors';
import { mostRecordBytes, recordBytes } from '#connectors/records/record_size';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { ClusterConnection, type Timeouts } from './cluster_connection.ts';
import { anyBroker, connectNode, createErrorFromCode } from './kafkajs_cluster.ts';
import { type BatchCompression, compressionOf } from './protocol/codecs.ts';
import type { Compression } from './protocol/compressions.ts';
import type { TopicMetadata } from './protocol/metadata_request.ts';
import { DUPLICATE_SEQUENCE, type PartitionBatch, produce } from './protocol/produce_request.ts';
import { type BatchOrigin, murmur2, RecordBatchBuilder } from './protocol/record_batch.ts';
import { TopicDirectory } from './topic_directory.ts';

export interface ProducerSettings extends Timeouts {
  /** Largest batch of a partition; what the topic's `max.message.bytes` allows. */
  readonly batchBytes: number;
  /** Largest record, with key, headers and what the batch adds; a larger one is refused before it is sent. */
  readonly maxRecordBytes: number;
  /** A record that could not be delivered for so long is given up, ms. */
  readonly deliveryTimeoutMs: number;
  readonly compression: Compression;
  /** Topics are looked up again after so long, ms. */
  readonly metadataMaxAgeMs: number;
}

type Identity = Omit<BatchOrigin, 'baseSequence'>;

/** Records of one partition that go together; a batch keeps its origin while it is sent again. */
class Pending {
  readonly builder = new RecordBatchBuilder();
  /** What {@link builder} holds: to split it, or for another partition, should this one go away. */
  readonly records: OutgoingRecord[] = [];
  /** Records that the broker refused alone. */
  readonly refused = new Map<OutgoingRecord, Error>();
  /** It is on its way, or was: nothing may be added. */
  isSealed = false;
  readonly deadlineMs: number;
  readonly done: Promise<void>;
  /**
   * Under which it was sent. The broker may have the batch though no answer came: only under the same origin does it know the repetition,
   * whatever has happened to the producer's identity since.
   */
  origin: BatchOrigin | undefined;
  resolve: () => void = () => {};
  reject: (error: unknown) => void = () => {};

  constructor(deadlineMs: number) {
    this.deadlineMs = deadlineMs;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // The sender waits for it too.
    this.done.catch(() => {});
  }
}

/** What the batch adds to a record that is alone in it. */
const RECORD_OVERHEAD_BYTES = 100;
const TOO_LARGE: ReadonlySet<string> = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);

interface Partition {
  readonly topic: string;
  readonly id: number;
  readonly queue: Pending[];
  /** That the numbers are counted under. */
  identity: Identity | undefined;
  /** Number of the next record, in the eyes of the broker. */
  sequence: number;
  /** As far as is known. */
  leader: string | undefined;
  /** Why there is no leader, by the cluster's answer. */
  problem: number;
  /** Its first batch is in a request; its leader may have changed since. */
  isUnderWay: boolean;
}

interface KnownTopic {
  /** Undefined before Kafka 2.8. */
  readonly id: string | undefined;
  readonly partitions: readonly Partition[];
}

interface Taken {
  readonly partition: Partition;
  readonly pending: Pending;
}

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
/** The broker cannot tell any more what it has of us, and did not take the batch: numbering starts afresh. */
const LOST_TRACK = new Set(['UNKNOWN_PRODUCER_ID', 'OUT_OF_ORDER_SEQUENCE_NUMBER']);
/** Another producer has the identity. */
const FENCED = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED']);
const LARGEST_SEQUENCE = 2 ** 31;
const LARGEST_EPOCH = 2 ** 15 - 1;
/** Partitions in one request add up to no more. */
const REQUEST_BYTES = 8 * 1024 * 1024;

/**
 * An idempotent producer with acks=all. Records are encoded into their partition's batch as they are sent; each leader has one request
 * under way, and what is sent meanwhile makes up the next one, so that batches grow with the load and nothing waits for a timer. Records
 * of a key keep their order. A batch is sent again under its origin (producer id, epoch and number) until it is acknowledged: the broker drops what it
 * has. Numbering starts afresh under the next epoch (KIP-360), so that a late copy of a batch that was given up is refused.
 */
export class IdempotentProducer {
  readonly #connection: ClusterConnection;
  readonly #settings: ProducerSettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #pause: (ms: number) => Promise<unknown>;
  readonly #directory: TopicDirectory;
  readonly #opening = new Map<string, Promise<readonly Partition[]>>();
  readonly #topics = new Map<string, KnownTopic>();
  /** Partitions that a topic no longer has, with batches that must go elsewhere. */
  readonly #gone = new Set<Partition>();
  /** Leaders with a request under way. */
  readonly #busy = new Set<string>();
  #identity: Identity | undefined;
  #identifying: Promise<Identity> | undefined;
  #isScheduled = false;
  #roundRobin = 0;
  #failures = 0;
  #isClosed = false;
  #compression: BatchCompression | undefined;
  #lookedUpMs = performance.now();
  #refreshing: Promise<void> | undefined;

  /** @param deps.pause - waits before a batch is sent again */
  constructor(
    kafka: Kafka,
    deps: { readonly clock: Clock; readonly log: Logger; readonly pause?: (ms: number) => Promise<unknown> },
    settings: ProducerSettings,
  ) {
    this.#connection = new ClusterConnection(kafka, settings);
    this.#directory = new TopicDirectory(this.#connection);
    this.#settings = settings;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#pause = deps.pause ?? sleep;
  }

  async connect(): Promise<void> {
    this.#compression = await compressionOf(this.#settings.compression);
    await this.#connection.use('connect', async () => {});
  }

  /**
   * Resolves when every record is acknowledged by all in-sync replicas.
   *
   * @throws {@link RecordsRefusedError} when some are too large, and all others are acknowledged; kafkajs errors otherwise
   */
  async send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    const partitions = this.#topics.get(topic)?.partitions ?? (await this.#open(topic));
    if (performance.now() - this.#lookedUpMs > this.#settings.metadataMaxAgeMs) void this.#refresh();
    const nowMs = this.#clock.now();
    const deadlineMs = performance.now() + this.#settings.deliveryTimeoutMs;
    const keyless = partitions[this.#roundRobin++ % partitions.length] as Partition;
    const touched = new Set<Pending>();
    let refused: Map<number, Error> | undefined;
    for (let index = 0; index < records.length; index += 1) {
      const record = records[index] as OutgoingRecord;
      const tooLarge = this.#tooLarge(topic, record);
      if (tooLarge !== undefined) {
        refused ??= new Map();
        refused.set(index, tooLarge);
        continue;
      }
      touched.add(this.#add(partitionOf(record, partitions) ?? keyless, record, nowMs, deadlineMs));
    }
    this.#schedule();
    if (touched.size === 1) for (const { done } of touched) await done;
    else await Promise.all([...touched].map(({ done }) => done));
    for (const pending of touched) {
      if (pending.refused.size === 0) continue;
      // The batch may be others' as well.
      for (let index = 0; index < records.length; index += 1) {
        const error = pending.refused.get(records[index] as OutgoingRecord);
        if (error === undefined) continue;
        refused ??= new Map();
        refused.set(index, error);
      }
    }
    if (refused !== undefined) throw refusalOf(topic, records.length, refused);
  }

  /** Sizes are looked at closely where they could matter. */
  #tooLarge(topic: string, record: OutgoingRecord): RecordTooLargeError | undefined {
    const maxBytes = this.#settings.maxRecordBytes;
    if (mostRecordBytes(record) + RECORD_OVERHEAD_BYTES <= maxBytes) return undefined;
    const sizeBytes = recordBytes(record) + RECORD_OVERHEAD_BYTES;
    return sizeBytes <= maxBytes
      ? undefined
      : new RecordTooLargeError('Kafka', topic, record.key, { sizeBytes, maxBytes });
  }

  #add({ queue }: Partition, record: OutgoingRecord, nowMs: number, deadlineMs: number): Pending {
    let open = queue[queue.length - 1];
    if (open === undefined || open.isSealed) {
      open = new Pending(deadlineMs);
      queue.push(open);
    }
    const { batchBytes } = this.#settings;
    const free = batchBytes - open.builder.bytes - RECORD_OVERHEAD_BYTES;
    if (open.builder.count > 0 && mostRecordBytes(record) > free && recordBytes(record) > free) {
      open = new Pending(deadlineMs);
      queue.push(open);
    }
    open.builder.add(record, nowMs);
    open.records.push(record);
    return open;
  }

  /** @throws UNKNOWN_TOPIC_OR_PARTITION */
  #open(topic: string): Promise<readonly Partition[]> {
    let opening = this.#opening.get(topic);
    if (opening === undefined) {
      opening = this.#directory.find(topic).then((metadata) => this.#adopt(metadata));
      const forget = (): boolean => this.#opening.delete(topic);
      opening.then(forget, forget);
      this.#opening.set(topic, opening);
    }
    return opening;
  }

  /** Takes over what the cluster says of a topic: new leaders, more partitions, or another topic of the same name. */
  #adopt({ name: topic, id, leaders }: TopicMetadata): readonly Partition[] {
    const known = this.#topics.get(topic);
    const before = new Map(known?.partitions.map((partition) => [partition.id, partition]));
    const partitions = [...leaders]
      .sort(([a], [b]) => a - b)
      .map(([number, leader]): Partition => {
        const partition = before.get(number);
        before.delete(number);
        if (partition === undefined)
          return {
            ...{ topic, id: number, queue: [], identity: undefined, sequence: 0 },
            ...{ leader, problem: 0, isUnderWay: false },
          };
        partition.leader = leader;
        partition.problem = 0;
        return partition;
      });
    if (partitions.length === 0) throw createErrorFromCode(UNKNOWN_TOPIC_CODE);
    this.#topics.set(topic, { id: id ?? known?.id, partitions });
    if (known?.id !== undefined && id !== undefined && known.id !== id) {
      // Numbers continue: a broker without any of a producer takes every number. A batch that waits for its answer may be in the new topic already.
      this.#log.warn({ topic, before: known.id, now: id }, 'kafka.topic_recreated');
    }
    for (const partition of before.values()) this.#gone.add(partition);
    this.#moveFromGone();
    return partitions;
  }

  /** Sends what waits for partitions that do not exist any more to the ones that do. */
  #moveFromGone(): void {
    for (const partition of this.#gone) {
      // What is under way is for its request to answer.
      if (partition.isUnderWay) continue;
      this.#gone.delete(partition);
      const partitions = this.#topics.get(partition.topic)?.partitions ?? [];
      for (const pending of partition.queue.splice(0)) {
        const moved = new Set<Pending>();
        for (const [index, record] of pending.records.entries()) {
          const target = partitionOf(record, partitions) ?? (partitions[index % partitions.length] as Partition);
          moved.add(this.#add(target, record, this.#clock.now(), pending.deadlineMs));
        }
        settleWith(pending, [...moved]);
      }
    }
    this.#schedule();
  }

  /** Looks all topics up again. One that does not exist now keeps its partitions until their records are too late. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#lookUp().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  #lose({ name, errorCode }: TopicMetadata): void {
    for (const partition of this.#topics.get(name)?.partitions ?? []) {
      partition.leader = undefined;
      partition.problem = errorCode;
    }
  }

  async #lookUp(): Promise<void> {
    this.#lookedUpMs = performance.now();
    try {
      const found = await this.#directory.lookUp([...this.#topics.keys()]);
      for (const metadata of found.values()) {
        if (metadata.errorCode === 0 && metadata.leaders.size > 0) this.#adopt(metadata);
        else this.#lose(metadata);
      }
    } catch (error) {
      this.#log.warn({ error }, 'kafka.metadata_not_refreshed');
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  /** One request to each leader that is free and has something to take. */
  #flush(): void {
    const byLeader = new Map<string, Partition[]>();
    for (const { partitions } of this.#topics.values()) {
      for (const partition of partitions) {
        if (partition.queue.length === 0 || partition.isUnderWay) continue;
        const { leader = NO_LEADER } = partition;
        const group = byLeader.get(leader);
        if (group === undefined) byLeader.set(leader, [partition]);
        else group.push(partition);
      }
    }
    for (const [leader, partitions] of byLeader) {
      if (this.#busy.has(leader)) continue;
      this.#busy.add(leader);
      void this.#request(leader, this.#take(partitions)).finally(() => {
        this.#busy.delete(leader);
        // Also for partitions that had nothing to send when this request went out.
        this.#schedule();
      });
    }
  }

  /** The first batches of partitions, as many as fit into a request. */
  #take(partitions: readonly Partition[]): readonly Taken[] {
    const taken: Taken[] = [];
    let bytes = 0;
    for (const partition of partitions) {
      const pending = partition.queue[0];
      if (pending === undefined || (bytes > 0 && bytes + pending.builder.bytes > REQUEST_BYTES)) continue;
      bytes += pending.builder.bytes;
      partition.isUnderWay = true;
      taken.push({ partition, pending });
    }
    return taken;
  }

  async #request(leader: string, taken: readonly Taken[]): Promise<void> {
    let failure: unknown;
    try {
      const identity = await this.#identify();
      const batches = taken.map(({ partition, pending }): PartitionBatch => {
        pending.origin ??= nextOrigin(partition, identity);
        pending.isSealed = true;
        const { topic, id } = partition;
        return { topic, partition: id, bytes: pending.builder.finish(pending.origin, this.#compression) };
      });
      const answers = await this.#connection.use('produce', async (cluster) => {
        if (leader === NO_LEADER) throw createErrorFromCode(LEADER_NOT_AVAILABLE_CODE);
        return produce(await connectNode(cluster, leader), batches, this.#settings.requestTimeoutMs);
      });
      for (const { partition, pending } of taken) {
        const code = answers.get(`${partition.topic}/${partition.id}`) ?? UNKNOWN_CODE;
        if (code === 0 || code === DUPLICATE_SEQUENCE) this.#acknowledge(partition, pending);
        else failure = this.#refuse(partition, pending, createErrorFromCode(code)) ?? failure;
      }
    } catch (error) {
      failure = error;
      for (const { partition, pending } of taken) {
        const isLost = leader === NO_LEADER && partition.problem !== 0;
        this.#giveUpIfLate(partition, pending, isLost ? createErrorFromCode(partition.problem) : error);
      }
    }
    if (failure === undefined) this.#failures = 0;
    else await this.#recover(failure, taken);
    for (const { partition } of taken) partition.isUnderWay = false;
    this.#moveFromGone();
  }

  #identify(): Identity | Promise<Identity> {
    if (this.#identity !== undefined) return this.#identity;
    this.#identifying ??= this.#connection
      .use('get a producer id', async (cluster) => {
        const broker = await anyBroker(cluster);
        return broker.initProducerId({ transactionalId: undefined, transactionTimeout: 60_000 });
      })
      .then(({ producerId, producerEpoch }) => {
        this.#identity = { producerId: BigInt(producerId), producerEpoch };
        return this.#identity;
      })
      .finally(() => {
        this.#identifying = undefined;
      });
    return this.#identifying;
  }

  #acknowledge(partition: Partition, pending: Pending): void {
    partition.queue.shift();
    const { baseSequence } = pending.origin as BatchOrigin;
    partition.sequence = (baseSequence + pending.builder.count) % LARGEST_SEQUENCE;
    pending.resolve();
  }

  /** @returns the error when the batch is to be sent again */
  #refuse(
    partition: Partition,
    pending: Pending,
    error: Error & { readonly type: string; readonly retriable: boolean },
  ): Error | undefined {
    if (LOST_TRACK.has(error.type) || FENCED.has(error.type)) {
      if (FENCED.has(error.type)) this.#identity = undefined;
      this.#startAfresh(partition, error.type);
      this.#giveUpIfLate(partition, pending, error);
      return error;
    }
    if (error.retriable) {
      this.#giveUpIfLate(partition, pending, error);
      return error;
    }
    if (TOO_LARGE.has(error.type)) this.#split(partition, pending);
    else this.#giveUp(partition, pending, error);
    return undefined;
  }

  /** A batch that the topic refuses as too large goes as two; a record that it refuses alone is refused. The broker has numbered none of them. */
  #split({ topic, queue }: Partition, pending: Pending): void {
    queue.shift();
    const { records, deadlineMs } = pending;
    if (records.length === 1) {
      const record = records[0] as OutgoingRecord;
      const sizeBytes = pending.builder.bytes;
      pending.refused.set(
        record,
        new RecordTooLargeError('Kafka', topic, record.key, { sizeBytes, maxBytes: undefined }),
      );
      pending.resolve();
      return;
    }
    const middle = records.length >> 1;
    const nowMs = this.#clock.now();
    const halves = [records.slice(0, middle), records.slice(middle)].map((half) => {
      const part = new Pending(deadlineMs);
      // Its records are its parent's, to which none are added any more.
      part.isSealed = true;
      for (const record of half) {
        part.builder.add(record, nowMs);
        part.records.push(record);
      }
      return part;
    });
    queue.unshift(...halves);
    settleWith(pending, halves);
  }

  #giveUpIfLate(partition: Partition, pending: Pending, error: unknown): void {
    if (this.#isClosed || performance.now() >= pending.deadlineMs) this.#giveUp(partition, pending, error);
  }

  /** The broker may have it or not: what follows must not be taken for a gap, so that numbering starts afresh. */
  #giveUp(partition: Partition, pending: Pending, error: unknown): void {
    partition.queue.shift();
    pending.reject(error);
    this.#startAfresh(partition, 'a batch was given up');
    // A topic that is gone is looked for anew by the next send, which fails at once.
    if (partition.problem !== UNKNOWN_TOPIC_CODE) return;
    const known = this.#topics.get(partition.topic)?.partitions ?? [];
    if (known.every(({ queue }) => queue.length === 0)) this.#topics.delete(partition.topic);
  }

  /**
   * Numbers what follows in a partition from 0 under the producer's next epoch. Other partitions take it over when nothing of theirs is
   * unanswered: what was sent keeps its origin.
   */
  #startAfresh(partition: Partition, reason: string): void {
    const { topic, id, identity: before, queue } = partition;
    this.#log.warn({ topic, partition: id, reason }, 'kafka.producer_epoch_raised');
    for (const pending of queue) pending.origin = undefined;
    // Another partition may have raised it since this one's numbers were counted.
    if (this.#identity !== undefined && isSame(before, this.#identity)) {
      const { producerId, producerEpoch } = this.#identity;
      this.#identity = producerEpoch === LARGEST_EPOCH ? undefined : { producerId, producerEpoch: producerEpoch + 1 };
    }
    partition.identity = undefined;
    partition.sequence = 0;
  }

  async #recover(error: unknown, taken: readonly Taken[]): Promise<void> {
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LONGEST_RETRY_MS) * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#log.warn({ error, delayMs: Math.round(delayMs) }, 'kafka.send_retrying');
    await this.#pause(delayMs);
    await this.#refresh();
    const own = new Set(taken.map(({ partition }) => partition));
    for (const { partitions } of this.#topics.values()) {
      for (const partition of partitions) {
        // What another request has taken is for that one to answer.
        if (partition.isUnderWay && !own.has(partition)) continue;
        // Those behind a batch that cannot be delivered are late as well.
        while (partition.queue[0] !== undefined && performance.now() >= partition.queue[0].deadlineMs) {
          this.#giveUp(partition, partition.queue[0], error);
        }
      }
    }
  }

  /** Call when all that was sent has been answered. */
  async disconnect(): Promise<void> {
    this.#isClosed = true;
    await this.#connection.close();
  }
}

const isSame = (one: Identity | undefined, other: Identity): boolean =>
  one?.producerId === other.producerId && one.producerEpoch === other.producerEpoch;

/** Of a batch that was never sent, when nothing before it is unanswered. */
function nextOrigin(partition: Partition, identity: Identity): BatchOrigin {
  if (!isSame(partition.identity, identity)) {
    partition.identity = identity;
    partition.sequence = 0;
  }
  return { ...identity, baseSequence: partition.sequence };
}

/** Ends a batch when the ones that its records went to have ended. */
function settleWith(pending: Pending, others: readonly Pending[]): void {
  Promise.all(others.map(({ done }) => done)).then(() => {
    for (const { refused } of others) for (const [record, error] of refused) pending.refused.set(record, error);
    pending.resolve();
  }, pending.reject);
}

/** By its key, as Kafka's Java client does; undefined without one. */
function partitionOf(record: OutgoingRecord, partitions: readonly Partition[]): Partition | undefined {
  const hash = hashOfKey(record);
  return hash === undefined ? undefined : partitions[(hash & 0x7fffffff) % partitions.length];
}

/** Keys are encoded here to be hashed, and once more where they are sent: two copies are less work than a buffer for each. */
const keyScratch = Buffer.alloc(1_024);
const LONGEST_SCRATCH_KEY = Math.floor(keyScratch.length / 3);

function hashOfKey(record: OutgoingRecord): number | undefined {
  const { key, keyBytes } = record;
  if (keyBytes === undefined && key !== undefined && key.length <= LONGEST_SCRATCH_KEY) {
    return murmur2(keyScratch, keyScratch.write(key, 'utf8'));
  }
  const bytes = keyBytesOf(record);
  return bytes === undefined ? undefined : murmur2(bytes);
}

const NO_LEADER = '';
const UNKNOWN_CODE = -1;
const UNKNOWN_TOPIC_CODE = 3;
const LEADER_NOT_AVAILABLE_CODE = 5;
