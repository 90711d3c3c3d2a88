import { CompressionTypes, type Kafka, type Producer as KafkaProducer } from 'kafkajs';
import { headersOf, keyBytesOf, type OutgoingRecord, type Producer } from '#connectors/connector';
import { checkedRecords } from '../records/record_check.ts';

const ALL_REPLICAS = -1;

/**
 * Each `send` is a transaction of its own: readers that are `read_committed` see all of its records or none. One at a time; another process
 * with the same id takes over and ends what this one has left open. It is kafkajs' own producer, five times slower than the platform's.
 * After a failure it begins anew with another epoch: kafkajs 2.2.4 would lose track of its sequence numbers, and records with them.
 */
export class TransactionalProducer implements Producer {
  readonly #create: () => KafkaProducer;
  readonly #understand: (error: unknown, topic?: string) => unknown;
  #producer: Promise<KafkaProducer> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(kafka: Kafka, transactionalId: string, understand: (error: unknown, topic?: string) => unknown) {
    this.#create = () =>
      kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false });
    this.#understand = understand;
  }

  send(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    try {
      checkedRecords('Kafka', topic, records);
    } catch (error) {
      return Promise.reject(error);
    }
    const sending = this.#last.then(() => this.#transact(topic, records));
    this.#last = sending.catch(() => {});
    return sending;
  }

  async #transact(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
    try {
      this.#producer ??= this.#connect();
      const transaction = await (await this.#producer).transaction();
      try {
        const messages = records.map((record) => ({
          key: keyBytesOf(record) ?? null,
          value: record.value,
          headers: groupedHeaders(record),
          ...(record.timestampMs === undefined ? {} : { timestamp: String(Math.floor(record.timestampMs)) }),
        }));
        await transaction.send({ topic, acks: ALL_REPLICAS, compression: CompressionTypes.None, messages });
        await transaction.commit();
      } catch (error) {
        await transaction.abort().catch(() => {});
        throw error;
      }
    } catch (error) {
      await this.#disconnect();
      throw this.#understand(error, topic);
    }
  }

  async #connect(): Promise<KafkaProducer> {
    const producer = this.#create();
    await producer.connect();
    return producer;
  }

  async #disconnect(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.then((one) => one.disconnect()).catch(() => {});
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#disconnect();
  }
}

/** kafkajs takes a name once, with all of its values. */
function groupedHeaders(record: OutgoingRecord): Record<string, Buffer[]> {
  const grouped = new Map<string, Buffer[]>();
  for (const [name, value] of headersOf(record)) {
    grouped.set(name, [...(grouped.get(name) ?? []), value ?? Buffer.alloc(0)]);
  }
  return Object.fromEntries(grouped);
}
