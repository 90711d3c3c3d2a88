import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError } from '../errors.ts';
import type { ClusterConnection } from './cluster_connection.ts';
import { understood } from './errors.ts';

/** Outside a generation of the group: how readers that assign themselves commit. */
const NO_GENERATION = -1;
const ATTEMPTS = 6;
const FIRST_DELAY_MS = 100;
const TOPIC_ID = 'topic-id=';

export interface CommittedOffset {
  /** The next offset to read. */
  readonly offset: bigint;
  readonly topicId: string | undefined;
}

/** What is kept beside an offset in the group: of which topic it is. */
const metadataOf = (topicId: string | undefined): string => (topicId === undefined ? '' : `${TOPIC_ID}${topicId}`);

export function topicIdOf(metadata: string | null): string | undefined {
  return metadata?.startsWith(TOPIC_ID) ? metadata.slice(TOPIC_ID.length) : undefined;
}

/** Commits offsets of a group that no member joins. kafkajs' admin client would join it each time, for seconds. */
export class OffsetCommitter {
  readonly #connection: ClusterConnection;

  constructor(connection: ClusterConnection) {
    this.#connection = connection;
  }

  /** Tries again while the coordinator moves or loads. @throws kafkajs errors */
  async commit(groupId: string, topic: string, offsets: ReadonlyMap<number, CommittedOffset>): Promise<void> {
    const partitions = [...offsets].map(([partition, { offset, topicId }]) => ({
      partition,
      offset: String(offset),
      metadata: metadataOf(topicId),
    }));
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#connection.use(`commit offsets of ${groupId}`, async (cluster) => {
          const coordinator = await cluster.findGroupCoordinator({ groupId });
          await coordinator.offsetCommit({
            groupId,
            groupGenerationId: NO_GENERATION,
            memberId: '',
            topics: [{ topic, partitions }],
          });
        });
        return;
      } catch (error) {
        const mayPass = understood(error, { where: 'Kafka', topic }) instanceof ConnectionError;
        if (!mayPass || attempt === ATTEMPTS) throw error;
        await sleep(FIRST_DELAY_MS * 2 ** (attempt - 1));
      }
    }
  }
}
