import type { Kafka } from 'kafkajs';
import type { LogRecord } from '#connectors/connector';
import { ClusterConnection, type Timeouts } from './cluster_connection.ts';
import { fetchPartition } from './fetch_request.ts';
import type { Cluster } from './kafkajs_cluster.ts';
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
  readonly #connection: ClusterConnection;

  constructor(kafka: Kafka, timeouts: Timeouts) {
    this.#connection = new ClusterConnection(kafka, timeouts);
  }

  /** @param offsets - by partition: the next offset to read */
  async commit(groupId: string, topic: string, offsets: ReadonlyMap<number, bigint>): Promise<void> {
    const partitions = [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset), metadata: '' }));
    await this.#connection.use(`commit offsets of ${groupId}`, async (cluster) => {
      const coordinator = await cluster.findGroupCoordinator({ groupId });
      await coordinator.offsetCommit({
        groupId,
        groupGenerationId: NO_GENERATION,
        memberId: '',
        topics: [{ topic, partitions }],
      });
    });
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/** Fetches one partition from wherever its leader is. Not safe for concurrent calls. */
export class PartitionFetcher {
  readonly #connection: ClusterConnection;
  readonly #topic: string;
  readonly #partition: number;

  constructor(kafka: Kafka, topic: string, partition: number, timeouts: Timeouts) {
    this.#connection = new ClusterConnection(kafka, timeouts, (cluster) => cluster.addTargetTopic(topic));
    this.#topic = topic;
    this.#partition = partition;
  }

  /** @throws kafkajs errors, with metadata refreshed so that the next call finds a moved leader */
  async fetch(offset: bigint, options: { maxWaitMs: number; maxBytes: number }): Promise<Fetched> {
    const what = `fetch ${this.#topic}[${this.#partition}]`;
    try {
      return await this.#connection.use(
        what,
        (cluster) => this.#fetchFrom(cluster, offset, options),
        options.maxWaitMs,
      );
    } catch (error) {
      const refresh = (cluster: Cluster): Promise<void> => cluster.refreshMetadata();
      await this.#connection.use('refresh metadata', refresh).catch(() => this.#connection.giveUp());
      throw error;
    }
  }

  async #fetchFrom(
    cluster: Cluster,
    offset: bigint,
    options: { maxWaitMs: number; maxBytes: number },
  ): Promise<Fetched> {
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(this.#topic, [this.#partition]));
    if (nodeId === undefined) throw new Error(`partition ${this.#partition} of ${this.#topic} has no leader`);
    const broker = await cluster.findBroker({ nodeId });
    const request = { topic: this.#topic, partition: this.#partition, offset, ...options };
    const { records: bytes, endOffset, aborted } = await fetchPartition(broker, request);
    const { records, nextOffset = offset } = await readRecords(bytes, String(this.#partition), offset, aborted);
    return { records, nextOffset: nextOffset > offset ? nextOffset : offset, endOffset };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
