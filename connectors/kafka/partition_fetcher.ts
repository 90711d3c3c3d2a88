import { createRequire } from 'node:module';
import type { Kafka } from 'kafkajs';

/**
 * kafkajs has no consumer that is told its partitions and offsets: a consumer always joins a group, and a group's rebalances and
 * commits would compete with the positions a pipeline snapshot owns. Underneath, it has all that is needed: a cluster that finds
 * leaders, brokers that fetch, and a batch that drops aborted and control records. This file is the only one that reaches
 * in there, for the pinned version 2.2.4; docs/adr/0006 says why.
 */
const require = createRequire(import.meta.url);
const Batch = require('kafkajs/src/consumer/batch') as new (
  topic: string,
  fetchedOffset: string,
  partition: FetchedPartition,
) => FetchedBatch;

/** `read_committed`: records of open and aborted transactions are not seen. */
const READ_COMMITTED = 1;
const CREATE_CLUSTER = 'private:Kafka:createCluster';

export interface FetchedMessage {
  readonly offset: string;
  readonly timestamp: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, Buffer | string | undefined>>;
}

interface FetchedPartition {
  readonly partition: number;
  readonly highWatermark: string;
  readonly messages: readonly FetchedMessage[];
}

interface FetchedBatch {
  readonly messages: readonly FetchedMessage[];
  readonly highWatermark: string;
  readonly rawMessages: readonly FetchedMessage[];
  lastOffset(): string;
}

interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  refreshMetadata(): Promise<void>;
  findGroupCoordinator(group: { groupId: string }): Promise<{ offsetCommit(request: object): Promise<unknown> }>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>;
  findBroker(node: { nodeId: string }): Promise<{
    fetch(request: object): Promise<{
      responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartition[] }[];
    }>;
  }>;
}

export interface Fetched {
  readonly messages: readonly FetchedMessage[];
  /** Offset to fetch from next: past what was returned and what was filtered out. */
  readonly nextOffset: bigint;
  /** Offset the partition's next record gets. */
  readonly endOffset: bigint;
}

function createCluster(kafka: Kafka): Cluster {
  const symbol = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === CREATE_CLUSTER);
  if (symbol === undefined) throw new Error('this kafkajs is not version 2.2.4: it cannot create a cluster');
  const create = (kafka as unknown as Record<symbol, (options: object) => Cluster>)[symbol] as (
    options: object,
  ) => Cluster;
  return create({ isolationLevel: READ_COMMITTED, allowAutoTopicCreation: false, metadataMaxAge: 300_000 });
}

/** Outside a generation of the group: how readers that assign themselves commit. */
const NO_GENERATION = -1;

/** Commits offsets of a group that nobody joins. kafkajs' admin client would join it each time, for seconds. */
export class OffsetCommitter {
  readonly #cluster: Cluster;
  #connected = false;

  constructor(kafka: Kafka) {
    this.#cluster = createCluster(kafka);
  }

  /** @param offsets - by partition: the next offset to read */
  async commit(groupId: string, topic: string, offsets: ReadonlyMap<number, bigint>): Promise<void> {
    if (!this.#connected) {
      await this.#cluster.connect();
      this.#connected = true;
    }
    const coordinator = await this.#cluster.findGroupCoordinator({ groupId });
    await coordinator.offsetCommit({
      groupId,
      groupGenerationId: NO_GENERATION,
      memberId: '',
      topics: [
        {
          topic,
          partitions: [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset), metadata: '' })),
        },
      ],
    });
  }

  async close(): Promise<void> {
    this.#connected = false;
    await this.#cluster.disconnect().catch(() => {});
  }
}

/** Fetches one partition from wherever its leader is. Not safe for concurrent calls. */
export class PartitionFetcher {
  readonly #cluster: Cluster;
  readonly #topic: string;
  readonly #partition: number;
  #connected = false;

  constructor(kafka: Kafka, topic: string, partition: number) {
    this.#cluster = createCluster(kafka);
    this.#topic = topic;
    this.#partition = partition;
  }

  /** @throws kafkajs errors, with metadata refreshed so that the next call finds a moved leader */
  async fetch(offset: bigint, options: { maxWaitMs: number; maxBytes: number }): Promise<Fetched> {
    try {
      if (!this.#connected) {
        await this.#cluster.connect();
        await this.#cluster.addTargetTopic(this.#topic);
        this.#connected = true;
      }
      const [nodeId] = Object.keys(this.#cluster.findLeaderForPartitions(this.#topic, [this.#partition]));
      if (nodeId === undefined) throw new Error(`partition ${this.#partition} of ${this.#topic} has no leader`);
      const broker = await this.#cluster.findBroker({ nodeId });
      const { responses } = await broker.fetch({
        maxWaitTime: options.maxWaitMs,
        minBytes: 1,
        maxBytes: options.maxBytes,
        isolationLevel: READ_COMMITTED,
        topics: [
          {
            topic: this.#topic,
            partitions: [{ partition: this.#partition, fetchOffset: String(offset), maxBytes: options.maxBytes }],
          },
        ],
      });
      const partition = responses[0]?.partitions[0];
      if (partition === undefined) return { messages: [], nextOffset: offset, endOffset: offset };
      const batch = new Batch(this.#topic, String(offset), partition);
      const nextOffset = batch.rawMessages.length === 0 ? offset : BigInt(batch.lastOffset()) + 1n;
      return {
        messages: batch.messages,
        nextOffset: nextOffset > offset ? nextOffset : offset,
        endOffset: BigInt(batch.highWatermark),
      };
    } catch (error) {
      await this.#cluster.refreshMetadata().catch(() => this.close());
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#connected = false;
    await this.#cluster.disconnect().catch(() => {});
  }
}
