import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import { createOnlineStore } from '#feature_store/stores';
import { startAll } from '#kernel/lifecycle';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { runBrokerScenario } from '#scripts/chaos/brokers';
import { startKafka } from '#scripts/services/servers';
import { serviceAddress } from '../integration/service_address.ts';
import { keyOf } from '../support/entity_keys.ts';
import { FaultProxy, type Weather } from '../support/servers/fault_proxy.ts';

// A bad network before each server: in the end nothing is lost or counted twice, and nobody had to do anything.

let folder: string;
let proxies: FaultProxy[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'faults-'));
  proxies = [];
});
afterEach(async () => {
  for (const proxy of proxies) await proxy.stop();
  await rm(folder, { recursive: true, force: true });
});

async function startProxy(targetPort = 0): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(targetPort);
  proxies.push(proxy);
  return proxy;
}

const WEATHERS: readonly Weather[] = [{ kind: 'slow', ms: 100 }, { kind: 'reset' }, { kind: 'black hole' }];

async function storm(proxy: FaultProxy): Promise<void> {
  for (const weather of WEATHERS) {
    proxy.weather = weather;
    await sleep(1_500);
    proxy.weather = { kind: 'fine' };
    await sleep(1_000);
  }
}

test('between producers, jobs and Kafka', async () => {
  const proxy = await startProxy();
  const server = await startKafka(folder, { advertisedPort: proxy.port });
  proxy.targetPort = Number((server.env.TEST_KAFKA_BROKERS as string).split(':')[1]);
  try {
    const { differences } = await runBrokerScenario({
      broker: kafkaConfigSchema.parse({
        kind: 'kafka',
        brokers: [`127.0.0.1:${proxy.port}`],
        connectionTimeoutMs: 1_000,
        requestTimeoutMs: 2_000,
        deliveryTimeoutMs: 120_000,
      }),
      partitions: 3,
      events: 60_000,
      kills: 0,
      incidents: [{ at: 0.3, happen: async () => void storm(proxy) }],
      stallMs: 60_000,
    });
    expect(differences).toEqual([]);
  } finally {
    await server.stop();
  }
}, 240_000);

const EVENTS = 3_000;
const ACCOUNTS = 20;
const ALL_THERE_WITHIN_MS = 60_000;
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 3 * DAY_MS;
const TOPICS = { rawEventsTopic: 'raw-events', featureEventsTopic: 'feature-events', deadLetterTopic: 'dead-letters' };

const eventOf = (index: number) => ({
  event_id: `e${index}`,
  user_id: `a${index % ACCOUNTS}`,
  event_type: 'transaction',
  timestamp: new Date(START + index * 1_000).toISOString(),
  account_id: `a${index % ACCOUNTS}`,
  amount: 1 + ((index * 37) % 500),
  currency: 'EUR',
  merchant_id: `m${index % 11}`,
  merchant_category: 'grocery',
  country: 'DE',
});

test.each(['Redis', 'PostgreSQL'] as const)(
  'between the feature pipeline and %s',
  async (which) => {
    const redisUrl = new URL(serviceAddress('TEST_REDIS_URL'));
    const postgresUrl = new URL(serviceAddress('TEST_POSTGRES_URL'));
    const proxy = await startProxy(Number(which === 'Redis' ? redisUrl.port : postgresUrl.port));
    const portOf = (server: typeof which, url: URL): number => (which === server ? proxy.port : Number(url.port));
    const own = join(folder, which);
    const broker = new DiskLog(
      { log: silentLogger, clock: systemClock },
      { kind: 'disk_log', directory: join(own, 'log'), fsync: 'never', segmentBytes: 1e8 },
    );
    const deps = { log: silentLogger, clock: systemClock, views: [fraudView] };
    const redis = redisConfigSchema.parse({
      host: redisUrl.hostname,
      port: portOf('Redis', redisUrl),
      commandTimeoutMs: 500,
    });
    const keyPrefix = `faults-${randomUUID()}`;
    const online = createOnlineStore(deps, { kind: 'redis', ...redis, keyPrefix });
    const postgres = postgresConfigSchema.parse({
      host: postgresUrl.hostname,
      port: portOf('PostgreSQL', postgresUrl),
      database: 'postgres',
      connectTimeoutMs: 1_000,
      statementTimeoutMs: 1_000,
    });
    const offline = createOfflineDatabase(deps, { kind: 'postgres', ...postgres });
    const services = await startAll([broker, online, offline], new AbortController().signal);
    await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 2 })));
    const prefix = randomUUID().slice(0, 8);
    const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
    const plan = createPipeline((root) =>
      buildFeaturePipeline(
        root,
        { ...deps, broker, online, offline, metrics },
        { ...TOPICS, group: 'g', outOfOrderMs: MINUTE_MS, allowedLatenessMs: 7 * DAY_MS, idleAfterMs: 1_000 },
      ),
    );
    const before = await offline.features.countRows(fraudView);
    const handle = runEmbedded(plan, { snapshots: { directory: join(own, 'snapshots'), intervalMs: 200 } });
    const storming = storm(proxy);
    for (let from = 0; from < EVENTS; from += 100) {
      const events = Array.from({ length: 100 }, (_, index) => eventOf(from + index));
      const records = events.map((event) => ({
        key: event.user_id,
        value: JSON.stringify({
          ...event,
          event_id: `${prefix}-${event.event_id}`,
          account_id: `${prefix}-${event.account_id}`,
        }),
      }));
      await broker.producer.send(TOPICS.rawEventsTopic, records);
      await sleep(200);
    }
    await storming;
    // To drain is to read no more. What is processed again after a failure counts again, so that it is the rows that say when all is there.
    const giveUpAt = Date.now() + ALL_THERE_WITHIN_MS;
    while ((await offline.features.countRows(fraudView)) < before + EVENTS && Date.now() < giveUpAt) await sleep(200);
    expect(await totalOf(metrics.processed)).toBeGreaterThanOrEqual(EVENTS);
    await handle.stop();
    expect(handle.state).toBe('stopped');
    const accounts = Array.from({ length: ACCOUNTS }, (_, index) => keyOf(`${prefix}-a${index}`));
    const latest = await online.read(fraudView, accounts);
    for (const row of latest) expect(row?.values.count_7d).toBe(EVENTS / ACCOUNTS);
    expect(await offline.features.countRows(fraudView)).toBe(before + EVENTS);
    await services[Symbol.asyncDispose]();
  },
  120_000,
);
