import type { Kafka } from 'kafkajs';
import { withinDeadline } from '#kernel/deadline';
import { DeadlineExceededError } from '#kernel/errors';
import type { KafkaConfig } from './config.ts';
import { type Cluster, createCluster, NOT_CONNECTED } from './kafkajs_cluster.ts';

export type Timeouts = Pick<KafkaConfig, 'connectionTimeoutMs' | 'requestTimeoutMs'>;

/**
 * A connection to a cluster that is made when it is first used, and made anew when a request is not answered: kafkajs would continue with the
 * connection it has.
 */
export class ClusterConnection {
  readonly #kafka: Kafka;
  /** Longest time that one use may take. */
  readonly #deadlineMs: number;
  #cluster: Cluster;
  #connected = false;

  constructor(kafka: Kafka, timeouts: Timeouts) {
    this.#kafka = kafka;
    // A reconnect and a repeated request are within it.
    this.#deadlineMs = 3 * timeouts.connectionTimeoutMs + 2 * timeouts.requestTimeoutMs;
    this.#cluster = createCluster(kafka);
  }

  /** @throws {@link DeadlineExceededError}; what `work` and kafkajs throw */
  async use<T>(operation: string, work: (cluster: Cluster) => Promise<T>, extraMs = 0): Promise<T> {
    const cluster = this.#cluster;
    const connected = async (): Promise<T> => {
      if (!this.#connected) {
        await cluster.connect();
        if (cluster === this.#cluster) this.#connected = true;
      }
      return work(cluster);
    };
    try {
      return await withinDeadline(operation, this.#deadlineMs + extraMs, connected());
    } catch (error) {
      if (isHung(error) && cluster === this.#cluster) this.giveUp();
      throw error;
    }
  }

  /** The next use makes a new connection. This one is not waited for: it may have requests that are never answered, and would wait for them. */
  giveUp(): void {
    const hung = this.#cluster;
    this.#cluster = createCluster(this.#kafka);
    this.#connected = false;
    hung.disconnect().catch(() => {});
  }

  async close(): Promise<void> {
    this.#connected = false;
    await withinDeadline('disconnect', this.#deadlineMs, this.#cluster.disconnect()).catch(() => {});
  }
}

/**
 * After a request that was not answered its connection is worth nothing: what was sent may have been cut in the middle, and all that follows is lost. Kafkajs takes a
 * broker whose first request failed on a connection that is still open for connected, and refuses every request on it ("Broker not connected") for as long as it is open.
 */
const isHung = (error: unknown): boolean =>
  error instanceof DeadlineExceededError ||
  (error as Error).name === 'KafkaJSRequestTimeoutError' ||
  (error as Error).message === NOT_CONNECTED;
