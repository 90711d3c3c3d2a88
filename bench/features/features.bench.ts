import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { fastify } from 'fastify';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { createPostgresPool } from '#connectors/postgres/pool';
import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { userActivityV2 } from '#examples/activity/features/user_activity';
import { fraudView } from '#examples/fraud/features/fraud';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featureApiConfigSchema } from '#feature_store/config';
import { serviceOfView } from '#feature_store/definitions/feature_service';
import { CachedOnlineStore } from '#feature_store/online/cached_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { buildTrainingSet } from '#feature_store/retrieval/training_set';
import { createOnlineStore } from '#feature_store/stores';
import { DAY_MS, eventTime, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { startServers } from '#scripts/services/start_all';
import { calibrate, shareOf } from '../tools/calibration.ts';
import { requestTimes } from '../tools/request_times.ts';
import { report } from '../tools/result.ts';
import { duckdbAsofSeconds, startFeast } from '../workloads/feature_peers.ts';
import { entityOf, fifteen, keyOf, quantile, randomFrom, rowOf, zipf } from '../workloads/features_workload.ts';

// The feature store on a real Redis and PostgreSQL: reading over HTTP and in process, the cache, the stream, training sets.
const given = process.env.TEST_REDIS_URL !== undefined && process.env.TEST_POSTGRES_URL !== undefined;
const servers = given ? undefined : await startServers(['redis', 'postgres']);
const env = { ...process.env, ...servers?.env } as Record<string, string>;
const redisUrl = new URL(env.TEST_REDIS_URL as string);
const postgresUrl = new URL(env.TEST_POSTGRES_URL as string);
const redisConfig = redisConfigSchema.parse({ host: redisUrl.hostname, port: Number(redisUrl.port) });
const postgres = postgresConfigSchema.parse({
  host: postgresUrl.hostname,
  port: Number(postgresUrl.port),
  user: postgresUrl.username,
  database: postgresUrl.pathname.slice(1),
});
const bench = 'features';
const clock = systemClock;
const base = { log: silentLogger, clock, views: [fifteen, userActivityV2, fraudView] };
const run = Date.now().toString(36);
const online = createOnlineStore(base, { kind: 'redis', ...redisConfig, keyPrefix: `bench-${run}` });
const offline = createOfflineDatabase(base, { kind: 'postgres', ...postgres });
const { signal } = new AbortController();
await online.start(signal);
await offline.start(signal);

const ENTITIES = 20_000;
const nowMs = Date.now();
for (let from = 0; from < ENTITIES; from += 1_000) {
  await online.write(Array.from({ length: 1_000 }, (_, index) => rowOf(entityOf(from + index), nowMs, from + index)));
}

const calibration = await calibrate(bench, { redis: redisConfig, postgres });
await readOverHttp();
await readInProcess();
await readManyInProcess();
await cacheHits();
await stream();
await trainingSet();

await online.stop();
await offline.stop();
await servers?.stop();

async function readOverHttp(): Promise<void> {
  const metrics = createMetricsRegistry({ process: false });
  const features = new FeatureReader({ online, clock }, { views: [fifteen], services: [] });
  const api = await createFeatureApi(
    {
      store: online,
      features,
      statistics: offline.statistics,
      embeddings: offline.embeddings,
      history: offline.features,
      views: [fifteen],
      clock,
      log: silentLogger,
      metrics,
    },
    featureApiConfigSchema.parse({ port: 0 }),
  );
  await api.start();
  const random = randomFrom(7);
  const requests = Array.from({ length: 500 }, () => ({
    path: `/features/${entityOf(Math.floor(random() * ENTITIES))}`,
  }));
  const shot = { url: api.url, connections: 32, workers: 1, requests };
  await autocannon({ ...shot, duration: 2 });
  const found = await autocannon({ ...shot, duration: 6 });
  if (found.non2xx + found.errors > 0) throw new Error(`${found.non2xx + found.errors} requests failed`);
  const name = 'GET /features/ENTITY, 15 features, 32 connections, Redis, no cache';
  const ofPeer = await feastFigures(random);
  const throughput = {
    metric: 'throughput',
    value: found.requests.average,
    unit: 'requests/s',
    floor: 10_000 * shareOf({ http: calibration.http, reads: calibration.reads }),
  };
  report({ bench, case: name, ...throughput });
  report({
    ...{ bench, case: name, ...throughput },
    peer: "Feast's HTTP server, the same Redis",
    peerValue: ofPeer.requestsPerSecond,
    ratioFloor: 40,
  });
  report({ bench, case: name, metric: 'p99', value: found.latency.p99, unit: 'ms', ceiling: 10 });

  const redis = createRedis(redisConfig, silentLogger);
  await redis.connect();
  const batches = Array.from({ length: 400 }, () =>
    Array.from({ length: 100 }, () => entityOf(Math.floor(random() * ENTITIES))),
  );
  const bodies = batches.map((entities) => JSON.stringify({ entities }));
  const ours = await requestTimes(`${api.url}/features/batch`, bodies);
  const bare: number[] = [];
  for (const entities of batches) {
    const begin = performance.now();
    await Promise.all(entities.map((entity) => redis.get(`bench-${run}:row:fifteen@1:{${keyOf(entity)}}`)));
    bare.push(performance.now() - begin);
  }
  redis.disconnect();
  const columns = await requestTimes(`${api.url}/features/batch?format=columns`, bodies);
  await columnsBesideFastify(await answerOf(`${api.url}/features/batch?format=columns`, bodies), bodies, columns);
  const batch = 'POST /features/batch, 100 entities, 15 features, one connection';
  const p50 = { bench, case: batch, metric: 'p50', value: quantile(ours, 0.5), unit: 'ms' };
  const bareP50 = quantile(bare, 0.5);
  report({ ...p50, peer: 'bare ioredis, 100 GETs in a pipeline', peerValue: bareP50, ceiling: 2 * bareP50 });
  const busy = await autocannon({ ...shot, requests: postsOf('/features/batch', bodies.slice(0, 100)), duration: 5 });
  report({
    bench,
    case: 'POST /features/batch, 100 entities, 15 features, 32 connections',
    metric: 'throughput',
    value: busy.requests.average,
    unit: 'requests/s',
    peer: "Feast's HTTP server, the same Redis",
    peerValue: ofPeer.batchesPerSecond,
    ratioFloor: 20,
  });
  await api.stop();
}

async function answerOf(url: string, [body = '']: readonly string[]): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  return (await fetch(url, { method: 'POST', headers, body })).text();
}

/** A Fastify that parses the same bodies and answers the same bytes, whatever is in the store. */
async function columnsBesideFastify(answer: string, bodies: readonly string[], ours: readonly number[]): Promise<void> {
  const app = fastify();
  app.post('/', async (_, reply) => reply.type('application/json; charset=utf-8').send(answer));
  const bare = await requestTimes(await app.listen({ host: '127.0.0.1', port: 0 }), bodies);
  await app.close();
  const [value, peerValue] = [quantile(ours, 0.5), quantile(bare, 0.5)];
  report({
    ...{ bench, case: `POST /features/batch?format=columns, 100 entities, 15 features, ${answer.length} bytes` },
    ...{ metric: 'p50', value, unit: 'ms', peer: 'bare Fastify, the same bytes', peerValue, ceiling: 2 * peerValue },
  });
}

function postsOf(path: string, bodies: readonly string[]) {
  return bodies.map((body) => ({
    method: 'POST' as const,
    path,
    headers: { 'content-type': 'application/json' },
    body,
  }));
}

/** The same two loads on Feast. */
async function feastFigures(random: () => number) {
  const feast = await startFeast(redisUrl, ENTITIES);
  try {
    const some = (count: number) => Array.from({ length: count }, () => Math.floor(random() * ENTITIES));
    const path = '/get-online-features';
    const shoot = async (entities: number, duration: number): Promise<number> => {
      const bodies = Array.from({ length: 100 }, () => feast.bodyFor(some(entities)));
      const shot = { url: feast.url, connections: 32, workers: 1, requests: postsOf(path, bodies) };
      const found = await autocannon({ ...shot, duration });
      // Under this load it does not answer all.
      return found['2xx'] / found.duration;
    };
    await shoot(1, 2);
    await bytesInRedis();
    return { requestsPerSecond: await shoot(1, 5), batchesPerSecond: await shoot(100, 8) };
  } finally {
    await feast.stop();
  }
}

/** Memory of a key with its value and its entry in Redis' table, as Redis counts it. */
async function bytesInRedis(): Promise<void> {
  const redis = createRedis(redisConfig, silentLogger);
  await redis.connect();
  const sampled = { ours: [] as number[], feast: [] as number[] };
  const SAMPLED = 500;
  let cursor = '0';
  do {
    // Feast's keys are bytes.
    const [next, keys] = await redis.scanBuffer(cursor, 'COUNT', 1_000);
    cursor = next.toString();
    for (const key of keys) {
      const of = key.includes(`bench-${run}:row:`) ? sampled.ours : key.includes('user_id') ? sampled.feast : [];
      if (of.length < SAMPLED) of.push(Number(await redis.memory('USAGE', key)));
    }
  } while (cursor !== '0' && (sampled.ours.length < SAMPLED || sampled.feast.length < SAMPLED));
  redis.disconnect();
  const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  report({
    ...{ bench, case: 'an entity with 15 features in Redis', metric: 'memory', unit: 'bytes' },
    ...{ value: meanOf(sampled.ours), peer: "Feast's", peerValue: meanOf(sampled.feast) },
  });
}

async function readInProcess(): Promise<void> {
  const redis = createRedis(redisConfig, silentLogger);
  await redis.connect();
  const random = randomFrom(11);
  const [ours, bare]: [number[], number[]] = [[], []];
  for (let round = 0; round < 6_000; round += 1) {
    const entity = keyOf(entityOf(Math.floor(random() * ENTITIES)));
    const begin = performance.now();
    await online.read(fifteen, [entity]);
    const middle = performance.now();
    await redis.get(`bench-${run}:row:fifteen@1:{${entity}}`);
    bare.push(performance.now() - middle);
    ours.push(middle - begin);
  }
  redis.disconnect();
  const [value, peerValue] = [quantile(ours, 0.5), quantile(bare, 0.5)];
  const peer = 'bare ioredis GET';
  report({
    bench,
    case: 'one entity, in process',
    metric: 'p50',
    value,
    unit: 'ms',
    peer,
    peerValue,
    ceiling: peerValue * 1.5,
  });
}

/** In turn, so that both have the same machine. */
async function readManyInProcess(): Promise<void> {
  const redis = createRedis(redisConfig, silentLogger);
  await redis.connect();
  const random = randomFrom(17);
  const [ours, bare]: [number[], number[]] = [[], []];
  const cpu = { ours: 0, bare: 0 };
  const timed = async (times: number[], of: keyof typeof cpu, task: () => Promise<unknown>): Promise<void> => {
    const [begin, used] = [performance.now(), process.cpuUsage()];
    await task();
    const { user, system } = process.cpuUsage(used);
    times.push(performance.now() - begin);
    cpu[of] += user + system;
  };
  for (let round = 0; round < 2_000; round += 1) {
    const keys = Array.from({ length: 100 }, () => keyOf(entityOf(Math.floor(random() * ENTITIES))));
    const stored = keys.map((key) => `bench-${run}:row:fifteen@1:{${key}}`);
    await timed(ours, 'ours', () => online.read(fifteen, keys));
    await timed(bare, 'bare', () => redis.mget(stored));
  }
  redis.disconnect();
  const [value, peerValue] = [quantile(ours, 0.5), quantile(bare, 0.5)];
  const name = { bench, case: '100 entities × 15 features, in process', peer: 'bare ioredis MGET of the same bytes' };
  report({ ...name, metric: 'p50', value, unit: 'ms', peerValue, ceiling: 1.5 * peerValue });
  const [each, eachBare] = [cpu.ours / ours.length, cpu.bare / bare.length];
  report({ ...name, metric: 'CPU', value: each, unit: 'µs', peerValue: eachBare, ceiling: 1.5 * eachBare });
}

async function cacheHits(): Promise<void> {
  const metrics = createMetricsRegistry({ process: false });
  const cached = new CachedOnlineStore(online, metrics, { maxEntries: ENTITIES / 5, ttlMs: 600_000 });
  const random = randomFrom(13);
  const next = zipf(ENTITIES, 1.1, random);
  const load = async (reads: number): Promise<void> => {
    for (let read = 0; read < reads; read += 100) {
      const entities = Array.from({ length: 100 }, () => keyOf(entityOf(next())));
      await cached.read(fifteen, entities);
    }
  };
  const counted = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await metrics.metrics())?.[1]);
  // Once it is full.
  await load(20_000);
  const before = [await counted('cache_hits_total'), await counted('cache_misses_total')] as const;
  await load(60_000);
  const hits = (await counted('cache_hits_total')) - before[0];
  const misses = (await counted('cache_misses_total')) - before[1];
  const name = `cache of a fifth of ${ENTITIES} entities, Zipf(1.1)`;
  report({ bench, case: name, metric: 'hit rate', value: hits / (hits + misses), unit: 'share', floor: 0.8 });
  const hot = [keyOf(entityOf(0))];
  const begin = performance.now();
  for (let read = 0; read < 200_000; read += 1) await cached.read(fifteen, hot);
  const value = ((performance.now() - begin) / 200_000) * 1_000;
  report({ bench, case: 'a cache hit, in process', metric: 'mean', value, unit: 'µs', ceiling: 5 });
}

async function stream(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'features-bench-'));
  const broker = new DiskLog(
    { log: silentLogger, clock },
    { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  await broker.start();
  const topics = { rawEventsTopic: 'raw', featureEventsTopic: 'features', deadLetterTopic: 'dead' };
  await broker.ensureTopics(Object.values(topics).map((name) => ({ name, partitions: 2 })));
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  // What was computed, not what was read.
  const total = async (): Promise<number> =>
    (await metrics.events.get()).values.reduce(
      (sum, { labels, value }) => sum + (labels.outcome === 'computed' ? value : 0),
      0,
    );
  const latencies: number[] = [];
  const types = ['click', 'page_view', 'search', 'add_to_cart', 'purchase'];
  const eventOf = (index: number, timeMs: number) => {
    const user = `u${index % 5_000}`;
    const event = {
      event_id: `${run}-${index}`,
      user_id: user,
      event_type: types[index % types.length],
      timestamp: new Date(timeMs).toISOString(),
      device_type: index % 3 === 0 ? 'web' : 'mobile',
      product_id: `p${index % 300}`,
      received_at: new Date().toISOString(),
    };
    return { key: user, value: JSON.stringify(event) };
  };
  const handle = runEmbedded(
    createPipeline((root) =>
      buildFeaturePipeline(
        root,
        { ...base, views: [userActivityV2], broker, online, offline, metrics },
        {
          ...topics,
          group: 'bench',
          outOfOrderMs: MINUTE_MS,
          allowedLatenessMs: DAY_MS,
          idleAfterMs: 1_000,
          statisticsWindowMs: HOUR_MS,
        },
      ),
    ),
    { snapshots: { directory: join(directory, 'snapshots'), intervalMs: 5_000 } },
  );
  const EVENTS = 100_000;
  const fromMs = nowMs - 10 * MINUTE_MS;
  for (let from = 0; from < EVENTS; from += 1_000) {
    await broker.producer.send(
      'raw',
      Array.from({ length: 1_000 }, (_, index) => eventOf(from + index, fromMs + (from + index) * 3)),
    );
  }
  const begin = performance.now();
  const before = await total();
  while ((await total()) < EVENTS) await new Promise((resolve) => setTimeout(resolve, 20));
  const rate = ((EVENTS - before) / (performance.now() - begin)) * 1_000;
  const name = 'user_activity version 2 into Redis and PostgreSQL';
  const { loop, reads, copies } = calibration;
  const stores = { loop, reads, copies };
  report({ bench, case: name, metric: 'throughput', value: rate, unit: 'events/s', floor: 20_000 * shareOf(stores) });

  // Counted when computed, durable a little later.
  while ((await offline.features.countRows(userActivityV2)) < EVENTS)
    await new Promise((resolve) => setTimeout(resolve, 200));
  metrics.onEndToEnd = (latencyMs) => latencies.push(latencyMs);
  const LIVE = 10_000;
  const liveBegin = performance.now();
  for (let index = 0; index < LIVE; index += 10) {
    const dueMs = liveBegin + index;
    while (performance.now() < dueMs) await new Promise((resolve) => setTimeout(resolve, 1));
    void broker.producer.send(
      'raw',
      Array.from({ length: 10 }, (_, at) => eventOf(EVENTS + index + at, Date.now())),
    );
  }
  while ((await total()) < EVENTS + LIVE) await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 500));
  report({
    bench,
    case: `${name}, 1,000 events/s`,
    metric: 'event to readable, p99',
    value: quantile(latencies, 0.99),
    unit: 'ms',
    ceiling: 100,
  });
  await handle.cancel();
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
}

async function trainingSet(): Promise<void> {
  const pool = createPostgresPool(postgres, silentLogger);
  const [ROWS, LABELS, KEYS] = [1_000_000, 100_000, 10_000];
  const start = Date.UTC(2026, 0, 1);
  const values = JSON.stringify(rowOf('x', 0, 1).values);
  // One row makes the month's partition.
  await offline.features.write([rowOf(`${run}-first`, start, 0)]);
  const source = `bench-${run}`;
  await pool.query(
    `INSERT INTO feature_rows SELECT 'fifteen', 1, '${run}-' || (n % ${KEYS}), to_timestamp(${start / 1_000} + (n / ${KEYS}) * 21600), now(), $1::jsonb FROM generate_series(1, ${ROWS}) n`,
    [values],
  );
  await pool.query(
    `INSERT INTO labels SELECT $1, n::text, '${run}-' || (n * 7919 % ${KEYS}), to_timestamp(${start / 1_000} + n * 21), n % 2 FROM generate_series(1, ${LABELS}) n`,
    [source],
  );
  await pool.query('ANALYZE feature_rows; ANALYZE labels');
  await pool.end();
  const begin = performance.now();
  const range = { from: eventTime(start), to: eventTime(start + 40 * DAY_MS) };
  const labels = await offline.labels.read(source, range);
  const spec = { service: serviceOfView(fifteen), labels: { source }, range };
  const { rows } = await buildTrainingSet(offline.features, spec, labels);
  if (rows.length !== LABELS) throw new Error(`${rows.length} training rows of ${LABELS}`);
  const seconds = (performance.now() - begin) / 1_000;
  const peerValue = await duckdbAsofSeconds(LABELS, ROWS, KEYS);
  report({
    bench,
    peer: "DuckDB's ASOF join, in memory",
    peerValue,
    case: `training set: ${LABELS} labels, ${ROWS} feature rows`,
    metric: 'time',
    value: seconds,
    unit: 's',
    ceiling: 2.5 * peerValue,
  });
}
