import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { redisConfigSchema } from '#connectors/redis/config';
import { Erasures, encodeErasureRequest, fingerprintOf } from '#feature_store/erasure/erasures';
import type { OnlineStore } from '#feature_store/online/online_store';
import { createOnlineStore } from '#feature_store/stores';
import { type RunningServices, startAll } from '#kernel/lifecycle';
import { eventTime, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import { runPortable } from '#pipelines/runner/portable/portable';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { fraudView } from '../../examples/fraud/features/fraud.ts';
import { serviceAddress } from '../integration/service_address.ts';
import { keyOf } from '../support/entity_keys.ts';

// An erasure while the feature pipeline runs on Flink: state in Flink, stores, and the windows that pass afterwards.

const suffix = randomUUID().slice(0, 8);
const [GONE, STAYS] = [`gone-${suffix}`, `stays-${suffix}`];
const TOPICS = {
  rawEventsTopic: `raw-${suffix}`,
  featureEventsTopic: `features-${suffix}`,
  deadLetterTopic: `dead-${suffix}`,
};
/** The first events leave their window of an hour so long after they were sent. */
const LEAVES_AFTER_MS = 15_000;

const deps = { log: silentLogger, clock: systemClock, views: [fraudView] };
let broker: KafkaBroker;
let online: OnlineStore;
let offline: OfflineDatabase;
let services: RunningServices;
beforeAll(async () => {
  const brokers = serviceAddress('TEST_KAFKA_BROKERS').split(',');
  broker = new KafkaBroker(deps, kafkaConfigSchema.parse({ kind: 'kafka', brokers }));
  const redisUrl = new URL(serviceAddress('TEST_REDIS_URL'));
  const redis = redisConfigSchema.parse({ host: redisUrl.hostname, port: Number(redisUrl.port) });
  online = createOnlineStore(deps, { kind: 'redis', ...redis, keyPrefix: `erasure-${suffix}` });
  const postgresUrl = new URL(serviceAddress('TEST_POSTGRES_URL'));
  offline = createOfflineDatabase(deps, {
    ...{ kind: 'postgres', host: postgresUrl.hostname, port: Number(postgresUrl.port), database: 'postgres' },
    ...{ user: 'headwater', sslMode: 'disable', maxConnections: 4 },
    ...{ connectTimeoutMs: 5_000, statementTimeoutMs: 10_000 },
  });
  services = await startAll([broker, online, offline], new AbortController().signal);
  await broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 2 })));
}, 60_000);
afterAll(async () => services[Symbol.asyncDispose]());

let sequence = 0;
async function pay(account: string, atMs: number): Promise<void> {
  const event = {
    ...{ event_id: `${suffix}-${sequence++}`, user_id: account, account_id: account, event_type: 'transaction' },
    ...{ timestamp: new Date(atMs).toISOString(), amount: 10, currency: 'EUR', merchant_id: 'm' },
    ...{ merchant_category: 'grocery', country: 'DE' },
  };
  await broker.producer.send(TOPICS.rawEventsTopic, [{ key: account, value: JSON.stringify(event) }]);
}

const valuesOf = async (account: string) => (await online.read(fraudView, [keyOf(account)]))[0]?.values;

async function becomes(what: string, isSo: () => Promise<boolean>, withinMs = 150_000): Promise<void> {
  for (const giveUpAt = Date.now() + withinMs; !(await isSo()); ) {
    if (Date.now() > giveUpAt) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(100);
  }
}

const countBecomes = (account: string, count: number, window = '24h') =>
  becomes(`${account} counts ${count} in ${window}`, async () => {
    const values = await valuesOf(account);
    return values !== undefined && values[`count_${window}`] === count;
  });

test('an entity that is erased beside a job on Flink stays away when its windows pass, and counts from zero when it returns', async () => {
  const erasures = new Erasures();
  erasures.load(await offline.erasures.read(0));
  const ending = new AbortController();
  const job = runPortable(
    (root) =>
      buildFeaturePipeline(
        root,
        {
          ...{ ...deps, broker, online, offline, erasures },
          metrics: createFeatureMetrics(createMetricsRegistry({ process: false })),
        },
        {
          ...{ ...TOPICS, group: `g-${suffix}`, outOfOrderMs: 500, allowedLatenessMs: 2 * HOUR_MS, idleAfterMs: 1_000 },
        },
      ),
    {
      ...{ jobEndpoint: serviceAddress('TEST_FLINK_JOB_ENDPOINT'), jobName: 'erasure', signal: ending.signal },
      runnerOptions: { ...FLINK_DEFAULTS, parallelism: 2, checkpointing_interval: 500, number_of_execution_retries: 0 },
    },
  ).catch((error: unknown) => error);
  try {
    // The job takes its time to start.
    await pay(`first-${suffix}`, Date.now());
    await countBecomes(`first-${suffix}`, 1);
    const beganAtMs = Date.now();
    for (const account of [GONE, STAYS]) {
      for (let nth = 0; nth < 3; nth += 1) await pay(account, beganAtMs - HOUR_MS + LEAVES_AFTER_MS + nth);
      await pay(account, beganAtMs - MINUTE_MS);
    }
    await countBecomes(GONE, 4);
    await countBecomes(STAYS, 4);
    const range = { from: eventTime(beganAtMs - 2 * HOUR_MS), to: eventTime(beganAtMs + HOUR_MS) };
    const history = async (account: string) => {
      const rows = await offline.features.rowsBetween(fraudView, range, { limit: 10_000, after: undefined });
      return rows.filter(({ entityKey }) => entityKey === keyOf(account)).length;
    };
    expect(await history(GONE)).toBeGreaterThan(0);

    const { secret } = await offline.erasures.read(0);
    const erasedAtMs = Date.now();
    const fingerprint = fingerprintOf(secret, keyOf(GONE));
    await offline.erasures.write({ fingerprint, erasedAtMs });
    await broker.producer.send(TOPICS.rawEventsTopic, [
      { key: GONE, value: encodeErasureRequest(secret, keyOf(GONE), erasedAtMs) },
    ]);
    await becomes('the erasure is applied', () => offline.erasures.isApplied(fingerprint));
    expect([await valuesOf(GONE), await history(GONE)]).toEqual([undefined, 0]);
    expect((await valuesOf(STAYS))?.count_24h).toBe(4);

    // Three of the four events leave the window of an hour: a row of the one that stays, none of the one that is erased.
    await countBecomes(STAYS, 1, '1h');
    await sleep(2_000);
    expect([await valuesOf(GONE), await history(GONE)]).toEqual([undefined, 0]);

    for (const account of [GONE, STAYS]) await pay(account, Date.now());
    await countBecomes(STAYS, 5);
    await countBecomes(GONE, 1);
  } finally {
    ending.abort();
    await job;
  }
}, 400_000);
