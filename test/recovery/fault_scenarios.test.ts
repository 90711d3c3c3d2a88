import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { expect, test } from '@jest/globals';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { aggregate } from '#connectors/kinesis/aggregated_records';
import { pubSubConfigSchema } from '#connectors/pubsub/config';
import { type NumberRecord, runBrokerScenario } from '#scripts/chaos/brokers';
import { SERVERS } from '#scripts/services/servers';
import { kinesisConfig, Resharding } from '../integration/connectors/kinesis_client.ts';
import { serviceAddress } from '../integration/service_address.ts';

// 100,000 numbers through each broker into counts and sums in state, with the counting process killed three times: in the end every number
// counts once.

const EVENTS = 100_000;
const KILLS = 3;
const STALL_MS = 60_000;

test('Kafka, which is killed and started again in between', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'scenario-kafka-'));
  const server = await SERVERS.kafka?.(folder);
  if (server === undefined) throw new Error('there is no Kafka to start');
  try {
    const brokers = [server.env.TEST_KAFKA_BROKERS as string];
    const { differences } = await runBrokerScenario({
      broker: kafkaConfigSchema.parse({ kind: 'kafka', brokers, deliveryTimeoutMs: 120_000 }),
      partitions: 4,
      events: EVENTS,
      kills: KILLS,
      incidents: [{ at: 0.3, happen: () => server.restart(1_500) }],
      stallMs: STALL_MS,
    });
    expect(differences).toEqual([]);
  } finally {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}, 300_000);

test('Kinesis, whose shards split and merge in between', async () => {
  const resharding = new Resharding();
  // The fake takes ever longer for records of a stream, the more it holds: many numbers go into one, as the Producer Library does it.
  const send = async (stream: string, records: readonly NumberRecord[]): Promise<void> => {
    const byKey = new Map<string, NumberRecord[]>();
    for (const record of records) byKey.set(record.key, [...(byKey.get(record.key) ?? []), record]);
    const entries = [...byKey].map(([key, own]) => ({
      PartitionKey: key,
      Data: aggregate(own.map(({ value }) => ({ partitionKey: key, data: Buffer.from(value) }))),
    }));
    await resharding.client.send(new PutRecordsCommand({ StreamName: stream, Records: entries }));
  };
  const { differences } = await runBrokerScenario({
    broker: kinesisConfig(),
    partitions: 2,
    events: EVENTS,
    kills: KILLS,
    sendAtOnce: 5_000,
    send,
    incidents: [
      {
        at: 0.3,
        async happen(stream) {
          const [first] = await resharding.openShards(stream);
          await resharding.split(stream, first as never);
        },
      },
      {
        at: 0.6,
        async happen(stream) {
          const open = await resharding.openShards(stream);
          const byHash = open.sort((a, b) =>
            BigInt(a.HashKeyRange?.StartingHashKey ?? 0) < BigInt(b.HashKeyRange?.StartingHashKey ?? 0) ? -1 : 1,
          );
          await resharding.merge(stream, byHash[1] as never, byHash[2] as never);
        },
      },
    ],
    stallMs: STALL_MS,
  });
  expect(differences).toEqual([]);
}, 300_000);

test('Pub/Sub, which delivers again what is not acknowledged within a second', async () => {
  const { differences } = await runBrokerScenario({
    broker: pubSubConfigSchema.parse({
      kind: 'pubsub',
      projectId: 'test',
      emulator: serviceAddress('TEST_PUBSUB_ADDRESS'),
      ackDeadlineSeconds: 1,
      ordering: false,
    }),
    partitions: 1,
    events: EVENTS,
    kills: KILLS,
    sendAtOnce: 2_000,
    stallMs: STALL_MS,
  });
  expect(differences).toEqual([]);
}, 300_000);
