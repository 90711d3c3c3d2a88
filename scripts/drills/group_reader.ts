import { setTimeout as sleep } from 'node:timers/promises';
import { type Consumer, Kafka, logLevel } from 'kafkajs';

const GROUP = 'downstream';
const TOPIC = 'raw-events';
const QUIET_MS = 5_000;

/** A consumer group of another system, which commits what it has read each second. */
export class GroupReader {
  readonly #consumer: Consumer;
  readonly #ids: string[] = [];
  #lastMs = Date.now();

  private constructor(brokers: string) {
    const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING });
    this.#consumer = kafka.consumer({ groupId: GROUP, sessionTimeout: 10_000 });
  }

  static async start(brokers: string): Promise<GroupReader> {
    const reader = new GroupReader(brokers);
    await reader.#consumer.connect();
    await reader.#consumer.subscribe({ topic: TOPIC, fromBeginning: true });
    await reader.#consumer.run({
      autoCommitInterval: 1_000,
      eachMessage: async ({ message }) => {
        const { event_id: id } = JSON.parse(String(message.value)) as { readonly event_id: string };
        reader.#ids.push(id);
        reader.#lastMs = Date.now();
      },
    });
    return reader;
  }

  /** @returns ids of the events it has read */
  async stop(): Promise<readonly string[]> {
    // The broker may be gone.
    await Promise.race([this.#consumer.disconnect().catch(() => {}), sleep(QUIET_MS)]);
    return this.#ids;
  }

  /** Waits until nothing has come for some seconds, and stops. */
  async untilQuiet(): Promise<readonly string[]> {
    while (Date.now() - this.#lastMs < QUIET_MS) await sleep(500);
    return this.stop();
  }
}
