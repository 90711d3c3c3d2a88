import { PubSub, type Topic } from '@google-cloud/pubsub';
import type {
  Broker,
  OutgoingRecord,
  Position,
  Producer,
  ReadFrom,
  SourcePartition,
  TopicSpec,
} from '#connectors/connector';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import { ConnectionError, RecordRefusedError, refusalOf, TargetError, UnknownTopicError } from '../errors.ts';
import { grpcFailure, isRefusal } from '../failure_class.ts';
import { checkedRecords } from '../records/record_check.ts';
import type { PubSubConfig } from './config.ts';
import { type PublishedMessage, toMessage } from './messages.ts';
import { parsePosition, SubscriptionReader } from './subscription_reader.ts';

const BATCH = { maxMessages: 1_000, maxMilliseconds: 5 };
const SHORTEST_RETENTION_SECONDS = 600;
const LONGEST_RETENTION_SECONDS = 7 * 86_400;
const NOT_FOUND = 5;
const ALREADY_EXISTS = 6;

/**
 * Pub/Sub: each topic is read through one subscription, made with it, whose readers share its records. Records are acknowledged
 * when {@link commit} says that a snapshot holds them; see {@link SubscriptionReader} for what a position is.
 */
export class PubSubBroker implements Broker {
  readonly kind = 'pubsub';
  readonly hasHeaders = true;
  readonly name = 'Pub/Sub';
  readonly addsPartitions = false;
  readonly producer: Producer;
  readonly #config: PubSubConfig;
  readonly #log: Logger;
  readonly #client: PubSub;
  readonly #topics = new Map<string, Topic>();
  readonly #readers = new Map<SubscriptionReader, { readonly topic: string; readonly partition: string }>();

  constructor(deps: { readonly log: Logger }, config: PubSubConfig) {
    this.#config = config;
    this.#log = deps.log.child({ component: 'connectors.pubsub' });
    const { projectId, emulator } = config;
    this.#client = new PubSub({
      projectId,
      ...(emulator === undefined ? {} : { apiEndpoint: emulator, emulatorMode: true }),
    });
    this.producer = { send: (topic, records) => this.#send(topic, records) };
  }

  async start(): Promise<void> {
    await this.#understood(undefined, () => this.#client.getTopics({ pageSize: 1, autoPaginate: false }));
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    for (const spec of topics) {
      await this.#understood(spec.name, async () => {
        await this.#client.createTopic(spec.name).catch(unlessExists);
        await this.#client
          .createSubscription(spec.name, this.#subscriptionOf(spec.name), this.#options(spec))
          .catch(unlessExists);
      });
    }
  }

  #options({ retentionMs }: TopicSpec) {
    const { ordering, exactlyOnce, ackDeadlineSeconds, deadLetter, projectId } = this.#config;
    const seconds = retentionMs === undefined ? LONGEST_RETENTION_SECONDS : Math.ceil(retentionMs / 1_000);
    return {
      ackDeadlineSeconds,
      enableMessageOrdering: ordering,
      enableExactlyOnceDelivery: exactlyOnce,
      // Never deleted for not being used.
      expirationPolicy: {},
      messageRetentionDuration: {
        seconds: Math.min(Math.max(seconds, SHORTEST_RETENTION_SECONDS), LONGEST_RETENTION_SECONDS),
      },
      ...(deadLetter === undefined
        ? {}
        : {
            deadLetterPolicy: {
              deadLetterTopic: `projects/${projectId}/topics/${deadLetter.topic}`,
              maxDeliveryAttempts: deadLetter.mostDeliveries,
            },
          }),
    };
  }

  #subscriptionOf(topic: string): string {
    return `${topic}-${this.#config.subscription}`;
  }

  async #send(topicName: string, records: readonly OutgoingRecord[]): Promise<void> {
    const { ordering } = this.#config;
    checkedRecords('Pub/Sub', topicName, records);
    const refused = new Map<number, Error>();
    const messages: { readonly index: number; readonly message: PublishedMessage }[] = [];
    for (const [index, record] of records.entries()) {
      try {
        messages.push({ index, message: toMessage(topicName, record, ordering) });
      } catch (error) {
        if (!isRefusal(error)) throw error;
        refused.set(index, error as Error);
      }
    }
    let topic = this.#topics.get(topicName);
    if (topic === undefined) {
      topic = this.#client.topic(topicName, { batching: BATCH, messageOrdering: ordering });
      this.#topics.set(topicName, topic);
    }
    const outcomes = await Promise.allSettled(messages.map(({ message }) => topic.publishMessage(message)));
    const failed = outcomes.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (failed !== undefined) {
      // The client holds a key back after a failure, until resumePublishing is called: the caller sends all again, in order.
      for (const { message } of messages) {
        if (message.orderingKey !== undefined) topic.resumePublishing(message.orderingKey);
      }
      throw this.#asKnown(topicName, failed.reason);
    }
    if (refused.size > 0) throw refusalOf(topicName, records.length, refused);
  }

  listTopics(): Promise<readonly string[]> {
    return this.#understood(undefined, async () => {
      const [topics] = await this.#client.getTopics();
      return topics.map(({ name }) => name.slice(name.lastIndexOf('/') + 1));
    });
  }

  async listPartitions(topic: string): Promise<readonly string[]> {
    await this.#understood(topic, () => this.#client.subscription(this.#subscriptionOf(topic)).getMetadata());
    return Array.from({ length: this.#config.readers }, (_, index) => String(index));
  }

  async openPartition(topic: string, partition: string, from: ReadFrom): Promise<SourcePartition> {
    if (!(Number(partition) < this.#config.readers)) throw new UnknownTopicError('Pub/Sub', topic, partition);
    const { mostOutstanding, mostOutstandingBytes, mostStreams, idAttribute, duplicateMemory } = this.#config;
    // All streams together hold no more than one would.
    const messagesOfStream = Math.max(1, Math.floor(mostOutstanding / mostStreams));
    const openStream = () =>
      this.#client.subscription(this.#subscriptionOf(topic), {
        flowControl: {
          maxMessages: messagesOfStream,
          maxBytes: Math.max(1, Math.floor(mostOutstandingBytes / mostStreams)),
          allowExcessMessages: false,
        },
        streamingOptions: { maxStreams: 1 },
      });
    const subscription = this.#client.subscription(this.#subscriptionOf(topic));
    await this.#understood(topic, async () => {
      await subscription.getMetadata();
      if ('startAt' in from && from.startAt !== 'earliest') {
        const at = from.startAt === 'latest' ? Date.now() : from.startAt.timestampMs;
        await this.#seek(subscription.name, at);
      }
    });
    const reader = new SubscriptionReader({
      openStream,
      mostStreams,
      messagesOfStream,
      partition,
      done: 'resumeAfter' in from ? parsePosition(from.resumeAfter).ids : new Set(),
      idAttribute,
      duplicateMemory,
      log: this.#log,
      understand: (error) => this.#asKnown(topic, error),
      onClose: () => this.#readers.delete(reader),
    });
    this.#readers.set(reader, { topic, partition });
    return reader;
  }

  /** Subscription.seek of client 5.3.1 takes milliseconds for microseconds, and so goes back to the second's beginning. */
  async #seek(subscription: string, timestampMs: number): Promise<void> {
    const time = { seconds: Math.floor(timestampMs / 1_000), nanos: Math.floor(timestampMs % 1_000) * 1_000_000 };
    const request = { client: 'SubscriberClient' as const, method: 'seek', reqOpts: { subscription, time } };
    await new Promise<void>((resolve, reject) => {
      this.#client.request(request, (error) => (error == null ? resolve() : reject(error)));
    });
  }

  async commit(_group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void> {
    const commits = [...this.#readers].map(([reader, of]) => {
      const position = of.topic === topic ? positions.get(of.partition) : undefined;
      return position === undefined ? undefined : reader.commit(position);
    });
    await Promise.all(commits);
  }

  async committed(): Promise<ReadonlyMap<string, Position>> {
    return new Map();
  }

  async drain(): Promise<void> {
    for (const topic of this.#topics.values()) await topic.flush();
  }

  async stop(): Promise<void> {
    for (const reader of this.#readers.keys()) await reader.close();
    await this.#client.close();
  }

  async #understood<T>(topic: string | undefined, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      throw this.#asKnown(topic, error);
    }
  }

  #asKnown(topic: string | undefined, error: unknown): unknown {
    if (!(error instanceof Error) || !('code' in error)) return error;
    if (topic !== undefined && error.code === NOT_FOUND) return new UnknownTopicError('Pub/Sub', topic);
    const { emulator, projectId } = this.#config;
    const where = emulator === undefined ? `project ${projectId}` : `${projectId} at ${emulator}`;
    const failure = grpcFailure(error.code as number);
    if (topic !== undefined && failure === 'record') {
      return new RecordRefusedError('Pub/Sub', topic, undefined, messageOf(error));
    }
    if (failure === 'target') return new TargetError(`Pub/Sub, ${where},`, error);
    return new ConnectionError(`Pub/Sub, ${where},`, new Error(messageOf(error), { cause: error }));
  }
}

function unlessExists(error: unknown): void {
  if ((error as { readonly code?: number }).code !== ALREADY_EXISTS) throw error;
}
