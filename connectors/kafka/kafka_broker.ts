import { type Admin, Kafka, logLevel } from 'kafkajs';
import type {
  Broker,
  LogRecord,
  OutgoingRecord,
  Position,
  Producer,
  ReadFrom,
  SourcePartition,
  StartAt,
  TopicSpec,
} from '#connectors/connector';
import { withinDeadline } from '#kernel/deadline';
import { messageOf, PlatformError } from '#kernel/errors';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import {
  ConnectionError,
  OffsetOutOfRangeError,
  RecordRefusedError,
  TargetError,
  UnknownTopicError,
} from '../errors.ts';
import { kafkaFailure } from '../failure_class.ts';
import type { KafkaConfig } from './config.ts';
import { IdempotentProducer } from './idempotent_producer.ts';
import { type Fetched, OffsetCommitter, PartitionFetcher } from './partition_fetcher.ts';
import { saslOptions, tlsOptions } from './security.ts';
import { TransactionalProducer } from './transactional_producer.ts';

/** A cold broker needs a while until its coordinators are loaded. */
const RETRY = { retries: 8, initialRetryTime: 100, maxRetryTime: 5_000 };

/** Kafka: idempotent producer with all acknowledgements; readers that own their offsets (no consumer group decides). */
export class KafkaBroker implements Broker {
  readonly kind = 'kafka';
  readonly hasHeaders = true;
  readonly addsPartitions = true;
  readonly name = 'Kafka';
  readonly producer: Producer;
  readonly #config: KafkaConfig;
  readonly #log: Logger;
  readonly #kafka: Kafka;
  readonly #admin: Admin;
  readonly #idempotent: IdempotentProducer;
  readonly #committer: OffsetCommitter;
  readonly #readers = new Set<PartitionReader>();
  readonly #transactional = new Set<TransactionalProducer>();

  constructor(deps: { readonly log: Logger; readonly clock: Clock }, config: KafkaConfig) {
    this.#config = config;
    this.#log = deps.log.child({ component: 'connectors.kafka' });
    this.#kafka = new Kafka({
      clientId: config.clientId,
      brokers: [...config.brokers],
      ssl: tlsOptions(config.tls),
      ...(config.sasl === undefined ? {} : { sasl: saslOptions(config.sasl) }),
      connectionTimeout: config.connectionTimeoutMs,
      requestTimeout: config.requestTimeoutMs,
      retry: RETRY,
      logLevel: logLevel.WARN,
      logCreator: () => (entry) => {
        const { message, timestamp: _, logger: __, ...fields } = entry.log;
        this.#log.warn({ ...fields, client: entry.namespace, message }, 'kafka.client');
      },
    });
    this.#admin = this.#kafka.admin();
    this.#idempotent = new IdempotentProducer(this.#kafka, { clock: deps.clock, log: this.#log }, config);
    this.#committer = new OffsetCommitter(this.#kafka, config);
    this.producer = { send: (topic, records) => this.#send(topic, records) };
  }

  async start(): Promise<void> {
    try {
      await this.#admin.connect();
      await this.#idempotent.connect();
    } catch (error) {
      throw this.#understood(error);
    }
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    try {
      const existing = new Set(await this.#admin.listTopics());
      const missing = topics.filter(({ name }) => !existing.has(name));
      if (missing.length === 0) return;
      await this.#admin.createTopics({
        waitForLeaders: true,
        topics: missing.map(({ name, partitions, retentionMs }) => ({
          topic: name,
          numPartitions: partitions,
          replicationFactor: this.#config.replicationFactor,
          configEntries: [{ name: 'retention.ms', value: String(retentionMs ?? -1) }],
        })),
      });
    } catch (error) {
      throw this.#understood(error);
    }
  }

  async #send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    try {
      await this.#idempotent.send(topic, records);
    } catch (error) {
      throw this.#understood(error, topic);
    }
  }

  /** A producer whose every send is a transaction; closed with the broker. */
  transactional(transactionalId: string): Producer {
    const producer = new TransactionalProducer(this.#kafka, transactionalId, (error, topic) =>
      this.#understood(error, topic),
    );
    this.#transactional.add(producer);
    return producer;
  }

  async listTopics(): Promise<readonly string[]> {
    try {
      return await this.#admin.listTopics();
    } catch (error) {
      throw this.#understood(error);
    }
  }

  async listPartitions(topic: string): Promise<readonly string[]> {
    try {
      const { topics } = await this.#admin.fetchTopicMetadata({ topics: [topic] });
      return (topics[0]?.partitions ?? []).map(({ partitionId }) => String(partitionId)).sort();
    } catch (error) {
      throw this.#understood(error, topic);
    }
  }

  async openPartition(topic: string, partition: string, from: ReadFrom): Promise<SourcePartition> {
    const offsets = await this.#admin.fetchTopicOffsets(topic).catch((error: unknown) => {
      throw this.#understood(error, topic);
    });
    const known = offsets.find((entry) => entry.partition === Number(partition));
    if (known === undefined) throw new UnknownTopicError('Kafka', topic, partition);
    let next: bigint;
    if ('resumeAfter' in from) next = BigInt(from.resumeAfter) + 1n;
    else next = await this.#startOffset(topic, known, from.startAt);
    if (next < BigInt(known.low) || next > BigInt(known.high)) throw new OffsetOutOfRangeError(topic, partition, next);
    const fetcher = new PartitionFetcher(this.#kafka, topic, Number(partition), this.#config);
    const reader = new PartitionReader({
      fetcher,
      next,
      end: BigInt(known.high),
      maxBytes: this.#config.fetchBytes,
      understand: (error) => this.#understood(error, topic),
      onClose: () => this.#readers.delete(reader),
    });
    this.#readers.add(reader);
    return reader;
  }

  async #startOffset(
    topic: string,
    { partition, low, high }: { readonly partition: number; readonly low: string; readonly high: string },
    startAt: StartAt,
  ): Promise<bigint> {
    if (startAt === 'earliest') return BigInt(low);
    if (startAt === 'latest') return BigInt(high);
    try {
      const offsets = await this.#admin.fetchTopicOffsetsByTimestamp(topic, startAt.timestampMs);
      const found = BigInt(offsets.find((entry) => entry.partition === partition)?.offset ?? high);
      return found < 0n ? BigInt(high) : found;
    } catch (error) {
      throw this.#understood(error, topic);
    }
  }

  async commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void> {
    try {
      const offsets = [...positions].map(
        ([partition, position]) => [Number(partition), BigInt(position) + 1n] as const,
      );
      await this.#committer.commit(group, topic, new Map(offsets));
    } catch (error) {
      throw this.#understood(error, topic);
    }
  }

  async committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>> {
    try {
      const [found] = await this.#admin.fetchOffsets({ groupId: group, topics: [topic] });
      const known = (found?.partitions ?? []).filter(({ offset }) => BigInt(offset) >= 0n);
      return new Map(known.map(({ partition, offset }) => [String(partition), String(BigInt(offset) - 1n)]));
    } catch (error) {
      throw this.#understood(error, topic);
    }
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    for (const reader of this.#readers) await reader.close();
    await this.#committer.close();
    for (const producer of this.#transactional) await producer.close();
    await this.#idempotent.disconnect();
    await withinDeadline('disconnect', this.#config.requestTimeoutMs, this.#admin.disconnect()).catch(() => {});
  }

  #understood(error: unknown, topic?: string): unknown {
    if (error instanceof PlatformError) return error;
    const type = (error as { readonly type?: string }).type;
    if (topic !== undefined && type === 'UNKNOWN_TOPIC_OR_PARTITION') return new UnknownTopicError('Kafka', topic);
    const failure = kafkaFailure(type);
    if (topic !== undefined && failure === 'record') {
      return new RecordRefusedError('Kafka', topic, undefined, messageOf(error));
    }
    if (topic !== undefined && failure === 'target') return new TargetError(`Kafka topic ${topic}`, error);
    if (error instanceof Error) {
      return new ConnectionError(`Kafka at ${this.#config.brokers.join(', ')}`, error);
    }
    return error;
  }
}

interface ReaderParts {
  readonly fetcher: PartitionFetcher;
  readonly next: bigint;
  readonly end: bigint;
  readonly maxBytes: number;
  readonly understand: (error: unknown) => unknown;
  readonly onClose: () => void;
}

/** What a fetch takes beside waiting for records. */
const FETCH_TIME_MS = 50;

/** Undefined when it takes longer. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

class PartitionReader implements SourcePartition {
  readonly #parts: ReaderParts;
  /** Fetched and not yet polled. */
  #buffer: readonly LogRecord[] = [];
  #bufferAt = 0;
  #fetchFrom: bigint;
  #position: bigint;
  #end: bigint;
  #ahead: Promise<Fetched> | undefined;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
    this.#fetchFrom = parts.next;
    this.#position = parts.next - 1n;
    this.#end = parts.end;
  }

  async poll(options: { maxRecords: number; maxWaitMs: number; signal: AbortSignal }): Promise<readonly LogRecord[]> {
    if (this.#bufferAt >= this.#buffer.length && !options.signal.aborted) await this.#refill(options.maxWaitMs);
    const records = this.#buffer.slice(this.#bufferAt, this.#bufferAt + options.maxRecords);
    this.#bufferAt += records.length;
    if (this.#bufferAt >= this.#buffer.length) this.#position = this.#fetchFrom - 1n;
    else this.#position = (records[records.length - 1] as LogRecord).offset;
    return records;
  }

  /** Takes what was fetched ahead, when it is there in time; and while there are records, fetches ahead again. */
  async #refill(maxWaitMs: number): Promise<void> {
    const ahead = this.#ahead ?? this.#fetch(maxWaitMs);
    this.#ahead = ahead;
    const fetched = await within(ahead, maxWaitMs + FETCH_TIME_MS).catch((error: unknown) => {
      this.#ahead = undefined;
      throw this.#parts.understand(error);
    });
    if (fetched === undefined) return;
    this.#buffer = fetched.records;
    this.#bufferAt = 0;
    this.#fetchFrom = fetched.nextOffset;
    this.#end = fetched.endOffset;
    this.#ahead = fetched.records.length === 0 ? undefined : this.#fetch(maxWaitMs);
    // A failure is the next poll's.
    this.#ahead?.catch(() => {});
  }

  #fetch(maxWaitMs: number): Promise<Fetched> {
    const { fetcher, maxBytes } = this.#parts;
    return fetcher.fetch(this.#fetchFrom, { maxWaitMs, maxBytes });
  }

  position(): Position {
    return String(this.#position);
  }

  lagRecords(): bigint {
    const lag = this.#end - this.#position - 1n;
    return lag > 0n ? lag : 0n;
  }

  async close(): Promise<void> {
    await this.#parts.fetcher.close();
    this.#parts.onClose();
  }
}
