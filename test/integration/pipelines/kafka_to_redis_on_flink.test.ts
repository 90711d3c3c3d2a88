import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import { createOnlineStore } from '#feature_store/stores';
import { type RunningServices, startAll } from '#kernel/lifecycle';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import { runPortable } from '#pipelines/runner/portable/portable';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { keyOf } from '../../support/entity_keys.ts';
import { serviceAddress } from '../service_address.ts';

// From Kafka to Redis and PostgreSQL, on the embedded runner and on Flink: both stores must end up the same.

const EVENTS = 600;
const ACCOUNTS = 9;
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 3 * DAY_MS;
const suffix = randomUUID().slice(0, 8);
const TOPICS = {
  rawEventsTopic: `raw-${suffix}`,
  featureEventsTopic: `features-${suffix}`,
  deadLetterTopic: `dead-${suffix}`,
};

const deps = { log: silentLogger, clock: systemClock, views: [fraudView] };
let broker: KafkaBroker;
let services: RunningServices;
beforeAll(async () => {
  const brokers = serviceAddress('TEST_KAFKA_BROKERS').split(',');
  broker = new KafkaBroker(deps, kafkaConfigSchema.parse({ kind: 'kafka', brokers }));
  services = await startAll([broker], new AbortController().signal);
  await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 3 })));
  const events = Array.from({ length: EVENTS }, (_, index) => ({
    event_id: `${suffix}-${index}`,
    user_id: `a${index % ACCOUNTS}`,
    event_type: 'transaction',
    timestamp: new Date(START + index * MINUTE_MS).toISOString(),
    account_id: `${suffix}-a${index % ACCOUNTS}`,
    amount: 1 + ((index * 37) % 500),
    currency: 'EUR',
    merchant_id: `m${index % 11}`,
    merchant_category: 'grocery',
    country: 'DE',
  }));
  await broker.producer.send(
    TOPICS.rawEventsTopic,
    events.map((event) => ({ key: event.user_id, value: JSON.stringify(event) })),
  );
}, 60_000);
afterAll(async () => services[Symbol.asyncDispose]());

/** What Redis holds after the pipeline has run through `run`. */
async function latestAfter(run: (construct: Construct) => Promise<unknown>): Promise<unknown[]> {
  const redisUrl = new URL(serviceAddress('TEST_REDIS_URL'));
  const redis = redisConfigSchema.parse({ host: redisUrl.hostname, port: Number(redisUrl.port) });
  const online = createOnlineStore(deps, { kind: 'redis', ...redis, keyPrefix: `flink-${randomUUID()}` });
  const postgresUrl = new URL(serviceAddress('TEST_POSTGRES_URL'));
  const offline = createOfflineDatabase(deps, {
    kind: 'postgres',
    host: postgresUrl.hostname,
    port: Number(postgresUrl.port),
    database: 'postgres',
    user: 'headwater',
    sslMode: 'disable',
    maxConnections: 4,
    connectTimeoutMs: 5_000,
    statementTimeoutMs: 10_000,
  });
  const stores = await startAll([online, offline], new AbortController().signal);
  try {
    const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
    await run((root) =>
      buildFeaturePipeline(
        root,
        { ...deps, broker, online, offline, metrics },
        {
          ...TOPICS,
          group: 'g',
          outOfOrderMs: MINUTE_MS,
          allowedLatenessMs: 7 * DAY_MS,
          idleAfterMs: 1_000,
          bounded: true,
        },
      ),
    );
    const accounts = Array.from({ length: ACCOUNTS }, (_, index) => keyOf(`${suffix}-a${index}`));
    const rows = await online.read(fraudView, accounts);
    return rows.map((row) => [row?.entityKey, row?.eventTime, row?.values]);
  } finally {
    await stores[Symbol.asyncDispose]();
  }
}

let embedded: unknown[];
test('on the embedded runner', async () => {
  embedded = await latestAfter((construct) => runEmbedded(createPipeline(construct)).finished);
  expect(embedded).toHaveLength(ACCOUNTS);
  expect(JSON.stringify(embedded)).not.toContain('undefined');
}, 60_000);

test('on Flink, with checkpoints', async () => {
  const jobEndpoint = serviceAddress('TEST_FLINK_JOB_ENDPOINT');
  const runnerOptions = {
    ...FLINK_DEFAULTS,
    parallelism: 2,
    checkpointing_interval: 500,
    shutdown_sources_after_idle_ms: 500,
    number_of_execution_retries: 0,
  };
  const onFlink = await latestAfter((construct) =>
    runPortable(construct, { jobEndpoint, jobName: 'kafka-to-redis', runnerOptions }),
  );
  expect(onFlink).toEqual(embedded);
}, 120_000);
