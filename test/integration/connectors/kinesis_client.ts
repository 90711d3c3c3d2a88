import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DescribeStreamSummaryCommand,
  KinesisClient,
  ListShardsCommand,
  MergeShardsCommand,
  type Shard,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { type KinesisConfig, kinesisConfigSchema } from '#connectors/kinesis/config';
import { KinesisBroker } from '#connectors/kinesis/kinesis_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { serviceAddress } from '../service_address.ts';

const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };

export const kinesisConfig = (more: object = {}): KinesisConfig =>
  kinesisConfigSchema.parse({
    kind: 'kinesis',
    region: 'us-east-1',
    endpoint: serviceAddress('TEST_KINESIS_ENDPOINT'),
    // The SDK writes into them.
    credentials: { ...credentials },
    readIntervalMs: 20,
    ...more,
  });

export async function startKinesisBroker(more: object = {}): Promise<KinesisBroker> {
  const broker = new KinesisBroker({ log: silentLogger, clock: systemClock }, kinesisConfig(more));
  await broker.start();
  return broker;
}

/** The SDK itself, for what a broker does not do: change a stream's shards. */
export class Resharding {
  readonly client: KinesisClient;

  constructor() {
    this.client = new KinesisClient({
      region: 'us-east-1',
      endpoint: serviceAddress('TEST_KINESIS_ENDPOINT'),
      credentials: { ...credentials },
      requestHandler: new NodeHttpHandler(),
    });
  }

  async openShards(stream: string): Promise<Shard[]> {
    const { Shards = [] } = await this.client.send(new ListShardsCommand({ StreamName: stream }));
    return Shards.filter(({ SequenceNumberRange }) => SequenceNumberRange?.EndingSequenceNumber === undefined);
  }

  /** Splits an open shard in the middle. */
  async split(stream: string, { ShardId, HashKeyRange }: Shard): Promise<void> {
    const middle = (BigInt(HashKeyRange?.StartingHashKey ?? 0) + BigInt(HashKeyRange?.EndingHashKey ?? 0)) / 2n;
    await this.client.send(
      new SplitShardCommand({ StreamName: stream, ShardToSplit: ShardId, NewStartingHashKey: String(middle) }),
    );
    await this.#untilActive(stream);
  }

  async merge(stream: string, first: Shard, second: Shard): Promise<void> {
    await this.client.send(
      new MergeShardsCommand({
        StreamName: stream,
        ShardToMerge: first.ShardId,
        AdjacentShardToMerge: second.ShardId,
      }),
    );
    await this.#untilActive(stream);
  }

  async #untilActive(stream: string): Promise<void> {
    for (;;) {
      const { StreamDescriptionSummary } = await this.client.send(
        new DescribeStreamSummaryCommand({ StreamName: stream }),
      );
      if (StreamDescriptionSummary?.StreamStatus === 'ACTIVE') return;
      await sleep(20);
    }
  }
}

export const freshName = (prefix: string): string => `${prefix}-${randomUUID()}`;
