import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError } from '../errors.ts';
import type { ClusterConnection } from './cluster_connection.ts';
import { understood } from './errors.ts';
import type { Cluster } from './kafkajs_cluster.ts';

/** Outside a generation of the group: how readers that assign themselves commit. */
const NO_GENERATION = -1;
/** Together about 15 s: a cold broker loads its coordinators for some seconds, and answers NOT_COORDINATOR before. */
const ATTEMPTS = 12;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2_000;
const TOPIC_ID = 'topic-id=';

export interface CommittedOffset {
  /** The next offset to read. */
  readonly offset: bigint;
  readonly topicId: string | undefined;
}

/** What is kept beside an offset in the group: of which topic it is. */
const metadataOf = (topicId: string | undefined): string => (topicId === undefined ? '' : `${TOPIC_ID}${topicId}`);

function topicIdOf(metadata: string | null): string | undefined {
  return metadata?.startsWith(TOPIC_ID) ? metadata.slice(TOPIC_ID.length) : undefined;
}

/**
 * Commits and reads offsets of a group that no member joins. kafkajs' admin client would join it for each commit, for seconds, and reads
 * without a second attempt.
 */
export class GroupOffsets {
  readonly #connection: Pick<ClusterConnection, 'use'>;

  constructor(connection: Pick<ClusterConnection, 'use'>) {
    this.#connection = connection;
  }

  /** Tries again while the coordinator moves or loads. @throws kafkajs errors */
  async commit(groupId: string, topic: string, offsets: ReadonlyMap<number, CommittedOffset>): Promise<void> {
    const partitions = [...offsets].map(([partition, { offset, topicId }]) => ({
      partition,
      offset: String(offset),
      metadata: metadataOf(topicId),
    }));
    await this.#untilCoordinated(topic, `commit offsets of ${groupId}`, async (cluster) => {
      const coordinator = await cluster.findGroupCoordinator({ groupId });
      await coordinator.offsetCommit({
        groupId,
        groupGenerationId: NO_GENERATION,
        memberId: '',
        topics: [{ topic, partitions }],
      });
    });
  }

  /** Reads what `partitions` have committed; those without an offset are left out. Tries again as `commit` does. @throws kafkajs errors */
  async committed(
    groupId: string,
    topic: string,
    partitions: readonly number[],
  ): Promise<ReadonlyMap<number, CommittedOffset>> {
    const topics = [{ topic, partitions: partitions.map((partition) => ({ partition })) }];
    const { responses } = await this.#untilCoordinated(topic, `read offsets of ${groupId}`, async (cluster) => {
      const coordinator = await cluster.findGroupCoordinator({ groupId });
      return coordinator.offsetFetch({ groupId, topics });
    });
    const found = responses.flatMap((response) => response.partitions);
    return new Map(
      found
        .map(({ partition, offset, metadata }) => {
          return [partition, { offset: BigInt(offset), topicId: topicIdOf(metadata) }] as const;
        })
        .filter(([, { offset }]) => offset >= 0n),
    );
  }

  async #untilCoordinated<Answer>(
    topic: string,
    what: string,
    request: (cluster: Cluster) => Promise<Answer>,
  ): Promise<Answer> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#connection.use(what, request);
      } catch (error) {
        const mayPass = understood(error, { where: 'Kafka', topic }) instanceof ConnectionError;
        if (!mayPass || attempt === ATTEMPTS) throw error;
        await sleep(Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), LONGEST_DELAY_MS));
      }
    }
  }
}
