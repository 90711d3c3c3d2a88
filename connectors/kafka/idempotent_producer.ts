import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import type { OutgoingRecord } from '#connectors/connector';
import { RecordTooLargeError, refusalOf } from '#connectors/errors';
import { mostRecordBytes, recordBytes } from '#connectors/record_size';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { ClusterConnection, type Timeouts } from './cluster_connection.ts';
import { type Cluster, createErrorFromCode } from './kafkajs_cluster.ts';
import { DUPLICATE_SEQUENCE, type PartitionBatch, produce } from './produce_request.ts';
import { murmur2, RecordBatchBuilder } from './record_batch.ts';

export interface ProducerSettings extends Timeouts {
  /** Largest batch of a partition; what the topic's `max.message.bytes` allows. */
  readonly batchBytes: number;
  /** Largest record, with key, headers and what the batch adds; a larger one is refused before it is sent. */
  readonly maxRecordBytes: number;
  /** A record that could not be delivered for so long is given up, ms. */
  readonly deliveryTimeoutMs: number;
}

interface Identity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** Records of one partition that go together; a batch keeps its number while it is sent again. */
class Pending {
  readonly builder = new RecordBatchBuilder();
  readonly records: OutgoingRecord[] = [];
  /** Records that the broker refused alone. */
  readonly refused = new Map<OutgoingRecord, Error>();
  /** It is on its way, or was: nothing may be added. */
  isSealed = false;
  readonly deadlineMs: number;
  readonly done: Promise<void>;
  baseSequence: number | undefined;
  resolve: () => void = () => {};
  reject: (error: unknown) => void = () => {};

  constructor(deadlineMs: number) {
    this.deadlineMs = deadlineMs;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Whoever sent waits for it too.
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
  /** Number of the next record, in the eyes of the broker. */
  sequence: number;
  /** As far as is known. */
  leader: string | undefined;
  /** Its first batch is in a request; its leader may have changed since. */
  isUnderWay: boolean;
}

interface Taken {
  readonly partition: Partition;
  readonly pending: Pending;
}

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
/** The broker cannot tell any more what it has of us: numbering starts afresh. */
const LOST_TRACK = new Set(['UNKNOWN_PRODUCER_ID', 'OUT_OF_ORDER_SEQUENCE_NUMBER', 'INVALID_PRODUCER_EPOCH']);
const LARGEST_SEQUENCE = 2 ** 31;
/** Partitions in one request add up to no more. */
const REQUEST_BYTES = 8 * 1024 * 1024;

/**
 * An idempotent producer with acks=all. Records are encoded into their partition's batch as they are sent; each leader has one request
 * under way, and what is sent meanwhile makes up the next one, so that batches grow with the load and nothing waits for a timer. Records
 * of a key keep their order. A batch is sent again with its number until it is acknowledged: the broker drops what it has.
 */
export class IdempotentProducer {
  readonly #connection: ClusterConnection;
  readonly #settings: ProducerSettings;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #topics = new Map<string, Promise<readonly Partition[]>>();
  readonly #ready = new Map<string, readonly Partition[]>();
  /** Leaders with a request under way. */
  readonly #busy = new Set<string>();
  #identity: Promise<Identity> | undefined;
  #isScheduled = false;
  #roundRobin = 0;
  #failures = 0;
  #isClosed = false;

  constructor(kafka: Kafka, deps: { readonly clock: Clock; readonly log: Logger }, settings: ProducerSettings) {
    this.#connection = new ClusterConnection(kafka, settings, async (cluster) => {
      // One that is gone is told of when something is sent to it.
      for (const topic of this.#topics.keys()) await cluster.addTargetTopic(topic).catch(() => {});
    });
    this.#settings = settings;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  async connect(): Promise<void> {
    await this.#connection.use('connect', async () => {});
  }

  /**
   * Resolves when every record is acknowledged by all in-sync replicas.
   *
   * @throws {@link RecordsRefusedError} when some are too large, and all others are acknowledged; kafkajs errors otherwise
   */
  async send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    const partitions = this.#ready.get(topic) ?? (await this.#open(topic));
    const nowMs = this.#clock.now();
    const deadlineMs = performance.now() + this.#settings.deliveryTimeoutMs;
    const keyless = partitions[this.#roundRobin++ % partitions.length] as Partition;
    const touched = new Set<Pending>();
    let refused: Map<number, Error> | undefined;
    for (let index = 0; index < records.length; index += 1) {
      const record = records[index] as OutgoingRecord;
      const { key } = record;
      const tooLarge = this.#tooLarge(topic, record);
      if (tooLarge !== undefined) {
        refused ??= new Map();
        refused.set(index, tooLarge);
        continue;
      }
      const partition =
        key === undefined ? keyless : (partitions[(murmur2(key) & 0x7fffffff) % partitions.length] as Partition);
      touched.add(this.#add(partition, record, nowMs, deadlineMs));
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
    let opening = this.#topics.get(topic);
    if (opening === undefined) {
      const find = async (cluster: Cluster): Promise<readonly number[]> => {
        await cluster.addTargetTopic(topic);
        return cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId);
      };
      opening = this.#connection.use(`find topic ${topic}`, find).then((known) => {
        if (known.length === 0) throw createErrorFromCode(UNKNOWN_TOPIC_CODE);
        const partitions = [...known]
          .sort((a, b) => a - b)
          .map((id): Partition => ({ topic, id, queue: [], sequence: 0, leader: undefined, isUnderWay: false }));
        this.#ready.set(topic, partitions);
        return partitions;
      });
      opening.catch(() => this.#topics.delete(topic));
      this.#topics.set(topic, opening);
    }
    return opening;
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
    for (const partitions of this.#ready.values()) {
      for (const partition of partitions) {
        if (partition.queue.length === 0 || partition.isUnderWay) continue;
        const leader = this.#leaderOf(partition);
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

  #leaderOf(partition: Partition): string {
    const { topic, id } = partition;
    partition.leader ??= Object.keys(this.#connection.known?.findLeaderForPartitions(topic, [id]) ?? {})[0];
    return partition.leader ?? NO_LEADER;
  }

  async #request(leader: string, taken: readonly Taken[]): Promise<void> {
    let failure: unknown;
    try {
      const identity = await this.#identify();
      const batches = taken.map(({ partition, pending }): PartitionBatch => {
        pending.baseSequence ??= partition.sequence;
        pending.isSealed = true;
        const { topic, id } = partition;
        return {
          topic,
          partition: id,
          bytes: pending.builder.finish({ ...identity, baseSequence: pending.baseSequence }),
        };
      });
      const answers = await this.#connection.use('produce', async (cluster) => {
        if (leader === NO_LEADER) throw createErrorFromCode(LEADER_NOT_AVAILABLE_CODE);
        return produce(await cluster.findBroker({ nodeId: leader }), batches, this.#settings.requestTimeoutMs);
      });
      for (const { partition, pending } of taken) {
        const code = answers.get(`${partition.topic}/${partition.id}`) ?? UNKNOWN_CODE;
        if (code === 0 || code === DUPLICATE_SEQUENCE) this.#acknowledge(partition, pending);
        else failure = this.#refuse(partition, pending, createErrorFromCode(code)) ?? failure;
      }
    } catch (error) {
      failure = error;
      for (const { partition, pending } of taken) this.#giveUpIfLate(partition, pending, error);
    }
    if (failure === undefined) this.#failures = 0;
    else await this.#recover(failure, taken);
    for (const { partition } of taken) partition.isUnderWay = false;
  }

  #identify(): Promise<Identity> {
    this.#identity ??= this.#connection
      .use('get a producer id', async (cluster) => {
        const broker = await cluster.findControllerBroker();
        return broker.initProducerId({ transactionalId: undefined, transactionTimeout: 60_000 });
      })
      .then(({ producerId, producerEpoch }) => ({ producerId: BigInt(producerId), producerEpoch }));
    this.#identity.catch(() => {
      this.#identity = undefined;
    });
    return this.#identity;
  }

  #acknowledge(partition: Partition, pending: Pending): void {
    partition.queue.shift();
    // Numbering may have started afresh while it was under way.
    const { baseSequence } = pending;
    if (baseSequence !== undefined) partition.sequence = (baseSequence + pending.builder.count) % LARGEST_SEQUENCE;
    pending.resolve();
  }

  /** @returns the error when the batch is to be sent again */
  #refuse(
    partition: Partition,
    pending: Pending,
    error: Error & { readonly type: string; readonly retriable: boolean },
  ): Error | undefined {
    if (LOST_TRACK.has(error.type)) {
      this.#startAfresh(error.type);
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
    Promise.all(halves.map(({ done }) => done)).then(() => {
      for (const { refused } of halves) for (const [record, error] of refused) pending.refused.set(record, error);
      pending.resolve();
    }, pending.reject);
  }

  #giveUpIfLate(partition: Partition, pending: Pending, error: unknown): void {
    if (this.#isClosed || performance.now() >= pending.deadlineMs) this.#giveUp(partition, pending, error);
  }

  /** The broker may have it or not: what follows must not be taken for a gap, so that numbering starts afresh. */
  #giveUp(partition: Partition, pending: Pending, error: unknown): void {
    partition.queue.shift();
    pending.reject(error);
    this.#startAfresh('a batch was given up');
  }

  #startAfresh(reason: string): void {
    this.#log.warn({ reason }, 'kafka.producer_id_renewed');
    this.#identity = undefined;
    for (const partitions of this.#ready.values()) {
      for (const partition of partitions) {
        partition.sequence = 0;
        for (const pending of partition.queue) pending.baseSequence = undefined;
      }
    }
  }

  async #recover(error: unknown, taken: readonly Taken[]): Promise<void> {
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LONGEST_RETRY_MS) * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#log.warn({ error, delayMs: Math.round(delayMs) }, 'kafka.send_retrying');
    await sleep(delayMs);
    await this.#connection.use('refresh metadata', (cluster) => cluster.refreshMetadata()).catch(() => {});
    const own = new Set(taken.map(({ partition }) => partition));
    for (const partitions of this.#ready.values()) {
      for (const partition of partitions) {
        partition.leader = undefined;
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

const NO_LEADER = '';
const UNKNOWN_CODE = -1;
const UNKNOWN_TOPIC_CODE = 3;
const LEADER_NOT_AVAILABLE_CODE = 5;
