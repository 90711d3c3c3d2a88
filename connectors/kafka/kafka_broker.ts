import { setTimeout as sleep } from 'node:timers/promises';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import type {
  Broker,
  OutgoingRecord,
  Position,
  Producer,
  ReadFrom,
  SourcePartition,
  StartAt,
  TopicSpec,
} from '#connectors/connector';
import { withinDeadline } from '#kernel/deadline';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { OffsetOutOfRangeError, UnknownTopicError } from '../errors.ts';
import { checkedRecords } from '../records/record_check.ts';
import { openBrokerSocket } from './broker_socket.ts';
import { ClusterConnection } from './cluster_connection.ts';
import type { KafkaConfig } from './config.ts';
import { type ErrorContext, understood } from './errors.ts';
import { Fetcher } from './fetcher.ts';
import { GroupOffsets } from './group_offsets.ts';
import { IdempotentProducer } from './idempotent_producer.ts';
import { createErrorFromCode } from './kafkajs_cluster.ts';
import { formatPosition, PartitionReader, parsePosition } from './partition_reader.ts';
import type { TopicMetadata } from './protocol/metadata_request.ts';
import { saslOptions, tlsOptions } from './security.ts';
import { type OffsetRange, TopicDirectory } from './topic_directory.ts';
import { TransactionalProducer } from './transactional_producer.ts';

const UNKNOWN_TOPIC = 3;
const LEADER_NOT_AVAILABLE = 5;
const LEADER_DELAY_MS = 50;
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
  /** For short questions; {@link #fetching} has requests that wait. */
  readonly #asking: ClusterConnection;
  readonly #fetching: ClusterConnection;
  readonly #directory: TopicDirectory;
  readonly #fetcher: Fetcher;
  readonly #offsets: GroupOffsets;
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
      socketFactory: openBrokerSocket,
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
    this.#asking = new ClusterConnection(this.#kafka, config);
    this.#fetching = new ClusterConnection(this.#kafka, config);
    this.#directory = new TopicDirectory(this.#asking);
    const fetching = { connection: this.#fetching, directory: this.#directory, log: this.#log };
    this.#fetcher = new Fetcher(fetching, config.fetchBytes);
    this.#offsets = new GroupOffsets(this.#asking);
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
        waitForLeaders: false,
        topics: missing.map(({ name, partitions, retentionMs }) => ({
          topic: name,
          numPartitions: partitions,
          replicationFactor: this.#config.replicationFactor,
          configEntries: [{ name: 'retention.ms', value: String(retentionMs ?? -1) }],
        })),
      });
      await this.#leadersOf(missing.map(({ name }) => name));
    } catch (error) {
      throw this.#understood(error);
    }
  }

  /** Waits until every partition of topics that were just made has a leader: a loaded cluster may not know them for seconds. */
  async #leadersOf(topics: readonly string[]): Promise<void> {
    const giveUpAtMs = performance.now() + this.#config.requestTimeoutMs;
    for (;;) {
      const found = await this.#directory.lookUp(topics);
      const waiting = topics.filter((name) => {
        const { errorCode = UNKNOWN_TOPIC, leaders } = found.get(name) ?? {};
        return errorCode !== 0 || [...(leaders?.values() ?? [])].includes(undefined);
      });
      if (waiting.length === 0) return;
      if (performance.now() > giveUpAtMs) throw createErrorFromCode(LEADER_NOT_AVAILABLE);
      await sleep(LEADER_DELAY_MS);
    }
  }

  async #send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    const checked = checkedRecords('Kafka', topic, records);
    try {
      await this.#idempotent.send(topic, checked);
    } catch (error) {
      throw this.#understood(error, { topic });
    }
  }

  /** A producer whose every send is a transaction; closed with the broker. */
  transactional(transactionalId: string): Producer {
    const producer = new TransactionalProducer(this.#kafka, transactionalId, (error, topic) =>
      this.#understood(error, { topic }),
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
    const { leaders } = await this.#find(topic);
    return [...leaders.keys()].sort((a, b) => a - b).map(String);
  }

  async #find(topic: string): Promise<TopicMetadata> {
    try {
      return await this.#directory.find(topic);
    } catch (error) {
      throw this.#understood(error, { topic });
    }
  }

  async openPartition(topic: string, partition: string, from: ReadFrom): Promise<SourcePartition> {
    const metadata = await this.#find(topic);
    const number = Number(partition);
    if (!metadata.leaders.has(number)) throw new UnknownTopicError('Kafka', topic, partition);
    const { offset, held, isRecreated } = await this.#beginning(metadata, partition, from);
    if (offset < held.earliest || offset > held.latest) throw new OffsetOutOfRangeError(topic, partition, offset, held);
    const target = { topic, topicId: metadata.id, partition: number, offset, endOffset: held.latest };
    const reader = new PartitionReader({
      fetcher: this.#fetcher,
      partition: this.#fetcher.open(target),
      recreations: isRecreated ? 1 : 0,
      understand: (error) => this.#understood(error, { topic, partition, offset: reader.nextOffset() }),
      onClose: () => this.#readers.delete(reader),
    });
    this.#readers.add(reader);
    return reader;
  }

  /** Where reading begins. A position in a topic that was created again since is its beginning. */
  async #beginning(
    metadata: TopicMetadata,
    partition: string,
    from: ReadFrom,
  ): Promise<{ readonly offset: bigint; readonly held: OffsetRange; readonly isRecreated: boolean }> {
    const { name: topic, id } = metadata;
    try {
      const held = await this.#directory.rangeOf(metadata, Number(partition));
      if ('startAt' in from) {
        return { offset: await this.#startOffset(metadata, partition, held, from.startAt), held, isRecreated: false };
      }
      const { offset, topicId } = parsePosition(from.resumeAfter);
      if (topicId === undefined || id === undefined || topicId === id) {
        return { offset: offset + 1n, held, isRecreated: false };
      }
      const lost = { topic, partition, before: topicId, now: id, offset: String(offset) };
      this.#log.warn(lost, 'kafka.topic_recreated');
      return { offset: held.earliest, held, isRecreated: true };
    } catch (error) {
      throw this.#understood(error, { topic, partition });
    }
  }

  async #startOffset(
    metadata: TopicMetadata,
    partition: string,
    { earliest, latest }: OffsetRange,
    startAt: StartAt,
  ): Promise<bigint> {
    if (startAt === 'earliest') return earliest;
    if (startAt === 'latest') return latest;
    const time = BigInt(Math.max(0, Math.floor(startAt.timestampMs)));
    const found = await this.#directory.offsetOf(metadata, Number(partition), time);
    return found < 0n ? latest : found;
  }

  async commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void> {
    const offsets = [...positions].map(([partition, position]) => {
      const { offset, topicId } = parsePosition(position);
      return [Number(partition), { offset: offset + 1n, topicId }] as const;
    });
    try {
      await this.#offsets.commit(group, topic, new Map(offsets));
    } catch (error) {
      throw this.#understood(error, { topic });
    }
  }

  async committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>> {
    try {
      const partitions = (await this.listPartitions(topic)).map(Number);
      const found = await this.#offsets.committed(group, topic, partitions);
      return new Map(
        [...found].map(([partition, { offset, topicId }]) => [String(partition), formatPosition(offset - 1n, topicId)]),
      );
    } catch (error) {
      throw this.#understood(error, { topic });
    }
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    for (const reader of this.#readers) await reader.close();
    for (const producer of this.#transactional) await producer.close();
    await Promise.all([this.#idempotent.disconnect(), this.#fetching.close(), this.#asking.close()]);
    await withinDeadline('disconnect', this.#config.requestTimeoutMs, this.#admin.disconnect()).catch(() => {});
  }

  #understood(error: unknown, about: Partial<ErrorContext> = {}): unknown {
    return understood(error, { where: `Kafka at ${this.#config.brokers.join(', ')}`, ...about });
  }
}
