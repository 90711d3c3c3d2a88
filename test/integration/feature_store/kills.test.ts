import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import { compareStores } from '#feature_store/retrieval/consistency';
import { createOnlineStore } from '#feature_store/stores';
import { startAll } from '#kernel/lifecycle';
import { assetPath } from '#kernel/project_root';
import { DAY_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import type { RunningServer } from '#scripts/services/managed_process';
import { startPostgres, startRedis } from '#scripts/services/servers';
import { keyOf } from '../../support/entity_keys.ts';

// Both stores die while features are written, each several times.

const ACCOUNTS = 40;
const EVENTS = 4_000;
let folder: string;
let redis: RunningServer;
let postgres: RunningServer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kills-'));
  const folders = ['redis', 'postgres'].map((name) => join(folder, name)) as [string, string];
  for (const each of folders) mkdirSync(each);
  // PostgreSQL runs as another user.
  chmodSync(folder, 0o755);
  [redis, postgres] = await Promise.all([startRedis(folders[0]), startPostgres(folders[1])]);
}, 120_000);
afterAll(async () => {
  await redis?.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('kill -9 of Redis and PostgreSQL during writes loses nothing, and counts nothing twice', async () => {
  const base = { log: silentLogger, clock: systemClock, views: [fraudView] };
  const redisUrl = new URL(redis.env.TEST_REDIS_URL as string);
  const online = createOnlineStore(base, {
    kind: 'redis',
    ...redisConfigSchema.parse({ host: redisUrl.hostname, port: Number(redisUrl.port), commandTimeoutMs: 1_000 }),
    keyPrefix: 'kills',
  });
  const url = new URL(postgres.env.TEST_POSTGRES_URL as string);
  const offline = createOfflineDatabase(base, {
    kind: 'postgres',
    ...postgresConfigSchema.parse({
      host: url.hostname,
      port: Number(url.port),
      user: url.username,
      database: 'postgres',
    }),
  });
  const broker = new DiskLog(base, {
    kind: 'disk_log',
    directory: join(folder, 'log'),
    fsync: 'never',
    segmentBytes: 1e8,
  });
  const services = await startAll([broker, online, offline], new AbortController().signal);
  const topics = { rawEventsTopic: 'raw', featureEventsTopic: 'features', deadLetterTopic: 'dead' };
  await broker.ensureTopics(Object.values(topics).map((name) => ({ name, partitions: 2 })));
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const handle = runEmbedded(
    createPipeline((root) =>
      buildFeaturePipeline(
        root,
        { ...base, broker, online, offline, metrics },
        { ...topics, group: 'g', outOfOrderMs: MINUTE_MS, allowedLatenessMs: 7 * DAY_MS, idleAfterMs: 500 },
      ),
    ),
    { snapshots: { directory: join(folder, 'snapshots'), intervalMs: 300 }, maxRetries: 20 },
  );

  const nowMs = Date.now();
  const eventOf = (index: number) => {
    const account = `a${index % ACCOUNTS}`;
    const event = {
      event_id: `e${index}`,
      user_id: account,
      event_type: 'transaction',
      timestamp: new Date(nowMs - (EVENTS - index) * 10).toISOString(),
      account_id: account,
      amount: 1 + (index % 7),
      currency: 'EUR',
      merchant_id: `m${index % 3}`,
      merchant_category: 'grocery',
      country: 'DE',
    };
    return { key: account, value: JSON.stringify(event) };
  };
  const kills: [RunningServer, number][] = [
    [redis, 300],
    [postgres, 500],
    [redis, 1_500],
    [postgres, 1_500],
  ];
  let sent = 0;
  const sending = (async () => {
    for (; sent < EVENTS; sent += 100) {
      await broker.producer.send(
        'raw',
        Array.from({ length: 100 }, (_, at) => eventOf(sent + at)),
      );
      await sleep(150);
    }
  })();
  for (const [server, downMs] of kills) {
    await sleep(400);
    await server.restart(downMs);
  }
  await sending;

  const giveUpAt = Date.now() + 60_000;
  const entities = Array.from({ length: ACCOUNTS }, (_, index) => keyOf(`a${index}`));
  const newest = async () => (await online.read(fraudView, entities)).map((row) => row?.values.count_7d);
  const complete = entities.map(() => EVENTS / ACCOUNTS);
  while (JSON.stringify(await newest().catch(() => [])) !== JSON.stringify(complete) && Date.now() < giveUpAt) {
    await sleep(200);
  }
  await handle.stop();
  expect(await newest()).toEqual(complete);
  const sums = (await offline.features.newestOf(fraudView, entities)).map(({ entityKey, values }) => [
    entityKey,
    values.sum_amount_7d,
  ]);
  const expected = entities.map((entity) => {
    const own = Array.from({ length: EVENTS }, (_, index) => index).filter(
      (index) => keyOf(`a${index % ACCOUNTS}`) === entity,
    );
    return [entity, own.reduce((sum, index) => sum + 1 + (index % 7), 0)];
  });
  expect(sums.sort()).toEqual(expected.sort());
  // A row for each event, as far as they are of different milliseconds: here all are.
  expect(await offline.features.countRows(fraudView)).toBeGreaterThanOrEqual(EVENTS);
  expect(await compareStores(fraudView, { online, offline, clock: systemClock }, ACCOUNTS)).toMatchObject({
    entities: ACCOUNTS,
    share: 1,
  });
  expect(await totalOf(metrics.failed)).toBe(0);

  // Redis loses everything: one command fills it from history.
  const client = createRedis(
    redisConfigSchema.parse({ host: redisUrl.hostname, port: Number(redisUrl.port) }),
    silentLogger,
  );
  await client.connect();
  await client.flushall();
  client.disconnect();
  expect(await newest()).toEqual(entities.map(() => undefined));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [assetPath('dist/cli/headwater.js'), 'features', 'rebuild-online', '--view', 'fraud@1'],
    {
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        ENVIRONMENT: 'services',
        REDIS_HOST: redisUrl.hostname,
        REDIS_PORT: redisUrl.port,
        REDIS_KEY_PREFIX: 'kills',
        DATABASE_HOST: url.hostname,
        DATABASE_PORT: url.port,
        DATABASE_NAME: 'postgres',
        DATABASE_USER: url.username,
      },
    },
  );
  expect(JSON.parse(stdout.trim().split('\n').at(-1) as string)).toEqual({ 'fraud@1': ACCOUNTS });
  expect(await newest()).toEqual(complete);
  await services[Symbol.asyncDispose]();
}, 180_000);
