import type { ClusterConnection } from './cluster_connection.ts';
import { anyBroker, connectNode, createErrorFromCode } from './kafkajs_cluster.ts';
import { EARLIEST, LATEST, listOffsets } from './protocol/list_offsets_request.ts';
import { fetchMetadata, type TopicMetadata } from './protocol/metadata_request.ts';

const UNKNOWN_TOPIC_OR_PARTITION = 3;
const LEADER_NOT_AVAILABLE = 5;

/** What a partition holds: the next record gets `latest`; with a transaction open, that begins there. */
export interface OffsetRange {
  readonly earliest: bigint;
  readonly latest: bigint;
}

/** Looks topics up in a cluster: their ids, partitions, leaders and offsets. Keeps nothing. */
export class TopicDirectory {
  readonly #connection: ClusterConnection;

  constructor(connection: ClusterConnection) {
    this.#connection = connection;
  }

  /** A topic that does not exist carries its error. @throws kafkajs errors */
  lookUp(topics: readonly string[]): Promise<ReadonlyMap<string, TopicMetadata>> {
    return this.#connection.use(`look up ${topics.join(', ')}`, async (cluster) =>
      fetchMetadata(await anyBroker(cluster), topics),
    );
  }

  /** @throws the protocol's error for the topic */
  async find(topic: string): Promise<TopicMetadata> {
    const found = (await this.lookUp([topic])).get(topic);
    if (found === undefined) throw createErrorFromCode(UNKNOWN_TOPIC_OR_PARTITION);
    if (found.errorCode !== 0) throw createErrorFromCode(found.errorCode);
    return found;
  }

  /** @throws the protocol's error for the partition */
  async rangeOf(metadata: TopicMetadata, partition: number): Promise<OffsetRange> {
    const [earliest, latest] = await Promise.all([
      this.offsetOf(metadata, partition, EARLIEST),
      this.offsetOf(metadata, partition, LATEST),
    ]);
    return { earliest, latest };
  }

  /** The first offset at or after a time; -1 when no record is that new. */
  offsetOf({ name, leaders }: TopicMetadata, partition: number, timestamp: bigint): Promise<bigint> {
    const leader = leaders.get(partition);
    if (leader === undefined) throw createErrorFromCode(LEADER_NOT_AVAILABLE);
    return this.#connection.use(`list offsets of ${name}`, async (cluster) => {
      const offsets = await listOffsets(await connectNode(cluster, leader), name, [partition], timestamp);
      const found = offsets.get(partition);
      if (found === undefined) throw createErrorFromCode(UNKNOWN_TOPIC_OR_PARTITION);
      if (found.errorCode !== 0) throw createErrorFromCode(found.errorCode);
      return found.offset;
    });
  }
}
