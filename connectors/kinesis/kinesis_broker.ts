import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateStreamCommand,
  DescribeStreamConsumerCommand,
  DescribeStreamSummaryCommand,
  IncreaseStreamRetentionPeriodCommand,
  KinesisClient,
  ListShardsCommand,
  type ListShardsCommandInput,
  ListStreamsCommand,
  RegisterStreamConsumerCommand,
  type Shard,
} from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { Broker, Position, Producer, ReadFrom, SourcePartition, StartAt, TopicSpec } from '#connectors/connector';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { ConnectionError, RecordRefusedError, TargetError, UnknownTopicError } from '../errors.ts';
import { awsFailure } from '../failure_class.ts';
import { checkedRecords } from '../records/record_check.ts';
import type { KinesisConfig } from './config.ts';
import { putRecords } from './put_records.ts';
import { FanOutFetcher, PollingFetcher, type ShardFetcher, type ShardStart } from './shard_fetcher.ts';
import { formatShardPart, parseShardPart, type ShardPart } from './shard_part.ts';
import { parsePosition, ShardReader } from './shard_reader.ts';
import { TagProgress } from './tag_progress.ts';

const STATUS_EVERY_MS = 200;
const STREAM_READY_WITHIN_MS = 120_000;
const HOUR_MS = 3_600_000;
const DEFAULT_RETENTION_HOURS = 24;
const LONGEST_RETENTION_HOURS = 8_760;

/**
 * Kinesis: a stream is a topic, a shard a partition. Kinesis itself keeps no positions: {@link commit} publishes them as tags of the stream.
 * Headers travel in the data; there are no tombstones, and sending one is refused.
 */
export class KinesisBroker implements Broker {
  readonly kind = 'kinesis';
  readonly hasHeaders = true;
  readonly name = 'Kinesis';
  /** A shard's children are found where it ends. */
  readonly addsPartitions = false;
  readonly producer: Producer;
  readonly #config: KinesisConfig;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #client: KinesisClient;
  readonly #progress: TagProgress;
  readonly #consumers = new Map<string, Promise<string>>();
  readonly #readers = new Set<SourcePartition>();

  constructor(deps: { readonly log: Logger; readonly clock: Clock }, config: KinesisConfig) {
    this.#config = config;
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: 'connectors.kinesis' });
    const { region, endpoint, credentials, requestTimeoutMs } = config;
    this.#client = new KinesisClient({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined ? {} : { credentials: { ...credentials } }),
      // Plain HTTP (a local fake) knows no HTTP/2.
      ...(endpoint?.startsWith('http:')
        ? { requestHandler: new NodeHttpHandler({ requestTimeout: requestTimeoutMs }) }
        : {}),
    });
    this.#progress = new TagProgress(this.#client, this.#log);
    this.producer = {
      send: async (topic, records) => {
        checkedRecords('Kinesis', topic, records);
        await this.#understood(topic, () => putRecords(this.#client, topic, records, this.#log));
      },
    };
  }

  async start(): Promise<void> {
    await this.#understood(undefined, () => this.#client.send(new ListStreamsCommand({ Limit: 1 })));
  }

  async ensureTopics(topics: readonly TopicSpec[]): Promise<void> {
    const existing = new Set(await this.listTopics());
    for (const { name, partitions, retentionMs } of topics) {
      if (existing.has(name)) continue;
      await this.#understood(name, async () => {
        await this.#client.send(new CreateStreamCommand({ StreamName: name, ShardCount: partitions }));
        await this.#untilActive(name);
        const hours = retentionMs === undefined ? LONGEST_RETENTION_HOURS : Math.ceil(retentionMs / HOUR_MS);
        const wanted = Math.min(Math.max(hours, DEFAULT_RETENTION_HOURS), LONGEST_RETENTION_HOURS);
        if (wanted === DEFAULT_RETENTION_HOURS) return;
        const retention = { StreamName: name, RetentionPeriodHours: wanted };
        await this.#client.send(new IncreaseStreamRetentionPeriodCommand(retention));
        await this.#untilActive(name);
      });
    }
  }

  async #untilActive(name: string): Promise<void> {
    const giveUpAt = Date.now() + STREAM_READY_WITHIN_MS;
    for (;;) {
      const { StreamDescriptionSummary: summary } = await this.#client.send(
        new DescribeStreamSummaryCommand({ StreamName: name }),
      );
      if (summary?.StreamStatus === 'ACTIVE') return;
      if (Date.now() > giveUpAt) throw new Error(`stream ${name} is still ${summary?.StreamStatus}`);
      await sleep(STATUS_EVERY_MS);
    }
  }

  listTopics(): Promise<readonly string[]> {
    return this.#understood(undefined, async () => {
      const names: string[] = [];
      let next: string | undefined;
      do {
        const answer = await this.#client.send(new ListStreamsCommand(next === undefined ? {} : { NextToken: next }));
        names.push(...(answer.StreamNames ?? []));
        next = answer.HasMoreStreams === true ? answer.NextToken : undefined;
      } while (next !== undefined);
      return names;
    });
  }

  async listPartitions(topic: string, startAt: StartAt = 'earliest'): Promise<readonly string[]> {
    const shards = await this.#understood(topic, () => this.#listShards(topic, startAt));
    const ids = new Set(shards.map(({ ShardId }) => ShardId));
    // Others are reached through their parents.
    const first = shards.filter(
      ({ ParentShardId, AdjacentParentShardId }) =>
        startAt === 'latest' || !(ids.has(ParentShardId) || ids.has(AdjacentParentShardId)),
    );
    return first.map(({ ShardId }) => formatShardPart({ shardId: ShardId as string, part: undefined }));
  }

  async #listShards(topic: string, startAt: StartAt): Promise<Shard[]> {
    const shards: Shard[] = [];
    let request: ListShardsCommandInput = { StreamName: topic, ShardFilter: filterOf(startAt) };
    for (;;) {
      const { Shards = [], NextToken } = await this.#client.send(new ListShardsCommand(request));
      shards.push(...Shards);
      if (NextToken === undefined) return shards;
      request = { NextToken };
    }
  }

  async openPartition(topic: string, partition: string, from: ReadFrom): Promise<SourcePartition> {
    const part = parseShardPart(partition);
    const start = 'resumeAfter' in from ? parsePosition(from.resumeAfter) : { from: startOf(from.startAt), skip: 0 };
    const shards = await this.#understood(topic, () => this.#listShards(topic, 'earliest'));
    const shard = shards.find(({ ShardId }) => ShardId === part.shardId);
    if (shard === undefined) throw new UnknownTopicError('Kinesis', topic, part.shardId);
    const reader = new ShardReader({
      part,
      partition,
      range: part.part?.own ?? {
        from: BigInt(shard.HashKeyRange?.StartingHashKey ?? 0),
        to: BigInt(shard.HashKeyRange?.EndingHashKey ?? 0),
      },
      start: start.from,
      skip: start.skip,
      openedMs: this.#clock.now(),
      fetcher: await this.#fetcher(topic, part, start.from),
      understand: (task) => this.#understood(topic, task),
      onClose: () => this.#readers.delete(reader),
    });
    this.#readers.add(reader);
    return reader;
  }

  async #fetcher(topic: string, { shardId }: ShardPart, from: ShardStart): Promise<ShardFetcher> {
    const { enhancedFanOut, readIntervalMs } = this.#config;
    if (enhancedFanOut === undefined) {
      return new PollingFetcher(this.#client, { StreamName: topic, ShardId: shardId }, from, readIntervalMs);
    }
    let consumer = this.#consumers.get(topic);
    if (consumer === undefined) {
      consumer = this.#understood(topic, () => this.#registerConsumer(topic, enhancedFanOut));
      this.#consumers.set(topic, consumer);
      consumer.catch(() => this.#consumers.delete(topic));
    }
    return new FanOutFetcher(this.#client, { ConsumerARN: await consumer, ShardId: shardId }, from);
  }

  /** @returns its ARN; a consumer that is there already is used again */
  async #registerConsumer(topic: string, name: string): Promise<string> {
    const { StreamDescriptionSummary: stream } = await this.#client.send(
      new DescribeStreamSummaryCommand({ StreamName: topic }),
    );
    const consumer = { StreamARN: stream?.StreamARN as string, ConsumerName: name };
    await this.#client.send(new RegisterStreamConsumerCommand(consumer)).catch((error: Error) => {
      if (error.name !== 'ResourceInUseException') throw error;
    });
    const giveUpAt = Date.now() + STREAM_READY_WITHIN_MS;
    for (;;) {
      const { ConsumerDescription: found } = await this.#client.send(new DescribeStreamConsumerCommand(consumer));
      if (found?.ConsumerStatus === 'ACTIVE') return found.ConsumerARN as string;
      if (Date.now() > giveUpAt) throw new Error(`consumer ${name} of ${topic} is still ${found?.ConsumerStatus}`);
      await sleep(STATUS_EVERY_MS);
    }
  }

  async commit(group: string, topic: string, positions: ReadonlyMap<string, Position>): Promise<void> {
    this.#progress.commit(group, topic, positions);
  }

  committed(group: string, topic: string): Promise<ReadonlyMap<string, Position>> {
    return this.#understood(topic, () => this.#progress.committed(group, topic));
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    for (const reader of this.#readers) await reader.close();
    await this.#progress.stop();
    this.#client.destroy();
  }

  async #understood<T>(topic: string | undefined, task: () => Promise<T>): Promise<T> {
    try {
      return await task();
    } catch (error) {
      if (topic !== undefined && (error as Error).name === 'ResourceNotFoundException') {
        throw new UnknownTopicError('Kinesis', topic);
      }
      if (error instanceof Error && '$metadata' in error) {
        const failure = awsFailure(error.name);
        if (topic !== undefined && failure === 'record') {
          throw new RecordRefusedError('Kinesis', topic, undefined, error.message);
        }
        if (failure === 'target') throw new TargetError(`Kinesis in ${this.#config.region}`, error);
        throw new ConnectionError(`Kinesis in ${this.#config.region}`, error);
      }
      if (isNetworkError(error))
        throw new ConnectionError(`Kinesis at ${this.#config.endpoint ?? this.#config.region}`, error);
      throw error;
    }
  }
}

const isNetworkError = (error: unknown): boolean =>
  error instanceof Error && ('code' in error || error.name === 'TimeoutError') && !('fault' in error);

const startOf = (startAt: StartAt): ShardStart =>
  typeof startAt === 'string' ? { kind: startAt } : { kind: 'time', timestampMs: startAt.timestampMs };

function filterOf(startAt: StartAt): ListShardsCommandInput['ShardFilter'] {
  if (startAt === 'latest') return { Type: 'AT_LATEST' };
  if (startAt === 'earliest') return { Type: 'AT_TRIM_HORIZON' };
  return { Type: 'FROM_TIMESTAMP', Timestamp: new Date(startAt.timestampMs) };
}
