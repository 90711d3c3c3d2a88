import type { Kafka } from 'kafkajs';
import type { LogRecord } from '#connectors/connector';
import { fetchPartition } from './fetch_request.ts';
import { type Cluster, createCluster } from './kafkajs_cluster.ts';
import { readRecords } from './record_reader.ts';

// kafkajs has no consumer that is told its partitions and offsets: a consumer always joins a group, and a group's rebalances and
// commits would compete with the positions a pipeline snapshot owns.

export interface Fetched {
  readonly records: readonly LogRecord[];
  /** Offset to fetch from next: past what was returned and what was filtered out. */
  readonly nextOffset: bigint;
  /** Offset the partition's next record gets. */
  readonly endOffset: bigint;
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
      const request = { topic: this.#topic, partition: this.#partition, offset, ...options };
      const { records: bytes, endOffset, aborted } = await fetchPartition(broker, request);
      const { records, nextOffset = offset } = await readRecords(bytes, String(this.#partition), offset, aborted);
      return { records, nextOffset: nextOffset > offset ? nextOffset : offset, endOffset };
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
