import { setTimeout as sleep } from 'node:timers/promises';
import { CompressionTypes, Kafka, logLevel } from 'kafkajs';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { BrokerSource } from '#pipelines/io/broker_source';
import { createPipeline } from '#pipelines/model/pipeline';
import { parDo, read } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { startServers } from '#scripts/services/start_all';
import { report } from './tools/result.ts';

// Kafka as a source and as a sink, small records, one process; beside it a bare kafkajs consumer and producer on the same topic.
const RECORDS = 1_000_000;
const SINK_RECORDS = 300_000;
const SEND = 1_000;
const IN_FLIGHT = 4;
const PARTITIONS = 4;
const VALUE = 'x'.repeat(100);

const given = process.env.TEST_KAFKA_BROKERS;
const servers = given === undefined ? await startServers(['kafka']) : undefined;
const brokers = (given ?? servers?.env.TEST_KAFKA_BROKERS ?? '').split(',');
const broker = new KafkaBroker(
  { log: silentLogger, clock: systemClock },
  kafkaConfigSchema.parse({ kind: 'kafka', brokers }),
);
await broker.start();
const bare = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 8 } });
const suffix = Date.now();
const sourceTopic = `bench-source-${suffix}`;
const sinkTopics = [`bench-sink-ours-${suffix}`, `bench-sink-bare-${suffix}`] as const;
await broker.ensureTopics(
  [sourceTopic, ...sinkTopics].map((name) => ({ name, partitions: PARTITIONS, retentionMs: 600_000 })),
);

const perSecond = (count: number, startedMs: number): number => (count / (performance.now() - startedMs)) * 1_000;
const keyOf = (index: number): string => `key-${index % 5_000}`;

/** Calls `send` with batches until `count` records have gone, a few at once. */
async function sendAll(count: number, send: (from: number, to: number) => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < count) {
      const from = next;
      next += SEND;
      await send(from, Math.min(count, from + SEND));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, sender));
  return perSecond(count, startedMs);
}

const ours = (topic: string) => (from: number, to: number) =>
  broker.producer.send(
    topic,
    Array.from({ length: to - from }, (_, index) => ({ key: keyOf(from + index), value: VALUE })),
  );

// --- sink ------------------------------------------------------------------------------------------------------

const producer = bare.producer({ idempotent: true, maxInFlightRequests: IN_FLIGHT });
await producer.connect();
const kafkajs = (from: number, to: number) =>
  producer.send({
    topic: sinkTopics[1],
    acks: -1,
    compression: CompressionTypes.None,
    messages: Array.from({ length: to - from }, (_, index) => ({ key: keyOf(from + index), value: VALUE })),
  });
await sendAll(50_000, ours(sinkTopics[0]));
await sendAll(50_000, kafkajs);
const sink = await sendAll(SINK_RECORDS, ours(sinkTopics[0]));
const bareSink = await sendAll(SINK_RECORDS, kafkajs);
await producer.disconnect();
report({
  bench: 'connectors',
  case: 'Kafka sink, idempotent, acks=all, 100-byte values',
  metric: 'throughput',
  value: sink,
  unit: 'records/s',
  peer: 'bare kafkajs producer',
  peerValue: bareSink,
  ratioFloor: 0.7,
});

// --- source ----------------------------------------------------------------------------------------------------

await sendAll(RECORDS, ours(sourceTopic));

async function bareSource(): Promise<number> {
  const consumer = bare.consumer({ groupId: `bare-${Date.now()}`, maxBytesPerPartition: 4 * 1_024 * 1_024 });
  await consumer.connect();
  await consumer.subscribe({ topic: sourceTopic, fromBeginning: true });
  let seen = 0;
  let startedMs = 0;
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: true,
    partitionsConsumedConcurrently: PARTITIONS,
    eachBatch: async ({ batch }) => {
      if (seen === 0) startedMs = performance.now();
      for (const { value } of batch.messages) if (value !== null) seen += 1;
    },
  });
  while (seen < RECORDS) await sleep(5);
  const rate = perSecond(RECORDS, startedMs);
  await consumer.disconnect();
  return rate;
}

async function ourSource(): Promise<number> {
  let seen = 0;
  let startedMs = 0;
  const source = new BrokerSource<string>(broker, {
    topics: [sourceTopic],
    group: 'bench',
    startAt: 'earliest',
    outOfOrderMs: 0,
    idleAfterMs: 1_000,
    bounded: true,
    decode: ({ key = '', timestampMs }) => ({ element: key, eventTimeMs: timestampMs }),
  });
  const plan = createPipeline((root) => {
    root.apply(read(sourceTopic, source, 'Read')).apply(
      parDo<string, never>(
        {
          process() {
            if (seen === 0) startedMs = performance.now();
            seen += 1;
          },
        },
        { name: 'Count' },
      ),
    );
  });
  await runEmbedded(plan).finished;
  if (seen !== RECORDS) throw new Error(`${seen} of ${RECORDS} records were read`);
  return perSecond(RECORDS, startedMs);
}

await bareSource();
await ourSource();
const peer = await bareSource();
report({
  bench: 'connectors',
  case: 'Kafka source on the embedded runner, 100-byte values',
  metric: 'throughput',
  value: await ourSource(),
  unit: 'records/s',
  peer: 'bare kafkajs eachBatch',
  peerValue: peer,
  ratioFloor: 0.7,
});

await broker.stop();
await servers?.stop();
process.exit();
