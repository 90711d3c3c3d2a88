import { fastify } from 'fastify';
import { type PredictResult, runTraffic } from '#cli/demo/traffic';
import { DeadLetterWriter } from '#connectors/dead_letter_writer';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import { createGateway } from '#connectors/gateway/gateway';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { transactions } from '#examples/fraud/features/transactions';
import { DAY_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { startServers } from '#scripts/services/start_all';
import { report } from './result.ts';

// POST /ingest of events of some 300 bytes, 32 connections from another thread, into Kafka with acks=all; beside it a Fastify that only
// takes the body as text and answers. Then POST /ingest/batch.
const CONNECTIONS = 32;
/** Both in turn, so often: a machine's other work then falls on both alike, and medians are compared. */
const ROUNDS = 9;
const SINGLES = 10_000;
const WARM_UP = 10_000;
const BATCHES = 400;
const BATCH = 1_000;

const given = process.env.TEST_KAFKA_BROKERS;
const servers = given === undefined ? await startServers(['kafka']) : undefined;
const brokers = (given ?? servers?.env.TEST_KAFKA_BROKERS ?? '').split(',');
const kafka = new KafkaBroker(
  { log: silentLogger, clock: systemClock },
  kafkaConfigSchema.parse({ kind: 'kafka', brokers }),
);
await kafka.start();
const suffix = Date.now();
const topics = { rawEvents: `bench-raw-${suffix}`, deadLetters: `bench-dead-${suffix}` };
await kafka.ensureTopics(Object.values(topics).map((name) => ({ name, partitions: 4, retentionMs: 600_000 })));
const metrics = createMetricsRegistry();
const gateway = await createGateway(
  {
    ...{ producer: kafka.producer, eventTypes: [transactions], clock: systemClock, log: silentLogger, metrics },
    allowedLatenessMs: 7 * DAY_MS,
    deadLetters: new DeadLetterWriter(
      { producer: kafka.producer, log: silentLogger, metrics },
      { topic: topics.deadLetters },
    ),
  },
  gatewayConfigSchema.parse({ port: 0 }),
  topics,
);
await gateway.start();
const bare = fastify();
bare.removeAllContentTypeParsers();
bare.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => done(null, body));
bare.post('/ingest', async (_, reply) => {
  reply.code(202);
  return { event_id: '0000000000', status: 'accepted' };
});
const bareUrl = await bare.listen({ host: '127.0.0.1', port: 0 });

let next = 0;
function event(): string {
  next += 1;
  return JSON.stringify({
    event_id: `bench-${suffix}-${next}`,
    user_id: `user-${next % 5_000}`,
    event_type: 'transaction',
    device_type: 'mobile',
    timestamp: new Date().toISOString(),
    account_id: `account-${next % 5_000}`,
    amount: 1 + (next % 10_000) / 100,
    currency: 'EUR',
    merchant_id: `merchant-${next % 300}`,
    merchant_category: 'grocery',
    country: 'DE',
  });
}
const load = (url: string, path: string, bodies: readonly string[]) =>
  runTraffic({
    kind: 'predict',
    url,
    path,
    bodies,
    connections: CONNECTIONS,
    repeat: false,
    stop: new SharedArrayBuffer(4),
  });
const singles = (count: number): string[] => Array.from({ length: count }, event);

for (const url of [bareUrl, gateway.url]) await load(url, '/ingest', singles(WARM_UP));
const peers: PredictResult[] = [];
const all: PredictResult[] = [];
for (let round = 0; round < ROUNDS; round += 1) {
  peers.push(await load(bareUrl, '/ingest', singles(SINGLES)));
  all.push(await load(gateway.url, '/ingest', singles(SINGLES)));
}
for (const { failed, firstFailure } of all)
  if (failed > 0) throw new Error(`${failed} requests failed: ${firstFailure}`);
const rate = ({ requests, elapsedMs }: PredictResult): number => (requests / elapsedMs) * 1_000;
const median = (results: readonly PredictResult[], of: (result: PredictResult) => number): number =>
  results.map(of).sort((a, b) => a - b)[Math.floor(results.length / 2)] as number;
const single = {
  bench: 'gateway',
  case: `POST /ingest, ${event().length} bytes, 32 connections, Kafka acks=all`,
  peer: 'bare Fastify POST',
};
report({
  ...single,
  metric: 'throughput',
  value: median(all, rate),
  unit: 'requests/s',
  peerValue: median(peers, rate),
  floor: 10_000,
  ratioFloor: 0.6,
});
report({
  ...single,
  metric: 'added p50',
  value: median(all, ({ p50Ms }) => p50Ms) - median(peers, ({ p50Ms }) => p50Ms),
  unit: 'ms',
  ceiling: 1,
});
report({
  ...single,
  metric: 'p99',
  value: median(all, ({ p99Ms }) => p99Ms),
  unit: 'ms',
  peerValue: median(peers, ({ p99Ms }) => p99Ms),
});

const batches = Array.from({ length: BATCHES }, () => singles(BATCH).join('\n'));
const batched = await load(gateway.url, '/ingest/batch', batches);
if (batched.failed > 0) throw new Error(`${batched.failed} batches failed: ${batched.firstFailure}`);
report({
  bench: 'gateway',
  case: `POST /ingest/batch, ${BATCH} events each, Kafka acks=all`,
  metric: 'throughput',
  value: rate(batched) * BATCH,
  unit: 'events/s',
  floor: 100_000,
});

await gateway.stop();
await bare.close();
await kafka.stop();
await servers?.stop();
