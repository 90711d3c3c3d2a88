import type { Broker, Position } from '#connectors/connector';
import type { Logger } from '#monitoring/log';

interface Deps {
  readonly broker: Broker;
  readonly log: Logger;
  readonly onFailure: (topic: string) => void;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** When the source ends, for what is not committed yet. */
const LAST_TRIES = 3;

/**
 * Publishes positions that have become durable to the broker's own tools; those of one snapshot go out together. A commit that fails is
 * tried again with the newest positions: nothing depends on it but what the tools show and, where records are acknowledged, that they are.
 */
export class ProgressCommitter {
  readonly #deps: Deps;
  readonly #group: string;
  #waiting = new Map<string, Map<string, Position>>();
  #committing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(deps: Deps, group: string) {
    this.#deps = deps;
    this.#group = group;
  }

  /** Resolves when it was tried; never rejects. */
  commit(topic: string, partition: string, position: Position): Promise<void> {
    this.#keep(topic, partition, position);
    return this.#flush();
  }

  #keep(topic: string, partition: string, position: Position): void {
    let ofTopic = this.#waiting.get(topic);
    if (ofTopic === undefined) {
      ofTopic = new Map();
      this.#waiting.set(topic, ofTopic);
    }
    ofTopic.set(partition, position);
  }

  #flush(): Promise<void> {
    this.#committing ??= Promise.resolve().then(async () => {
      const positions = this.#waiting;
      this.#waiting = new Map();
      this.#committing = undefined;
      for (const [topic, ofTopic] of positions) await this.#commitTopic(topic, ofTopic);
    });
    return this.#committing;
  }

  async #commitTopic(topic: string, positions: ReadonlyMap<string, Position>): Promise<void> {
    const { broker, log, onFailure } = this.#deps;
    try {
      await broker.commit(this.#group, topic, positions);
      this.#failures = 0;
    } catch (error) {
      onFailure(topic);
      const delayMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LONGEST_RETRY_MS);
      this.#failures += 1;
      log.warn({ error, topic, group: this.#group, delayMs }, 'progress.not_committed');
      for (const [partition, position] of positions) {
        // A newer one that came meanwhile stays.
        if (this.#waiting.get(topic)?.has(partition) !== true) this.#keep(topic, partition, position);
      }
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined;
        void this.#flush();
      }, delayMs).unref();
    }
  }

  /** Tries what is left, a few times. */
  async stop(): Promise<void> {
    await this.#committing;
    for (let attempt = 0; this.#waiting.size > 0 && attempt < LAST_TRIES; attempt += 1) await this.#flush();
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }
}
