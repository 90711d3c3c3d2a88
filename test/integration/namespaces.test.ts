import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { ensureInitialModels } from '#cli/project/initial_models';
import { startPlatform } from '#cli/roles/platform';
import { ROLES } from '#cli/terminal/choices';
import { silentLogger } from '#monitoring/log';
import { goodEvent } from '../support/definitions/good_event.ts';
import { testProject } from '../support/platforms/test_project.ts';
import { serviceAddress } from './service_address.ts';

// Two environments on one Kafka, one Redis and one PostgreSQL: whole platforms, with the names of their configuration the same.

const folder = mkdtempSync(join(tmpdir(), 'namespaces-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = randomBytes(4).toString('hex');
const NAMES = [`red_${run}`, `blue_${run}`] as const;
const redisUrl = new URL(serviceAddress('TEST_REDIS_URL'));
const postgresUrl = new URL(serviceAddress('TEST_POSTGRES_URL'));
const brokers = serviceAddress('TEST_KAFKA_BROKERS');

function configOf(namespace: string) {
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  return testProject(
    {
      ...ports,
      ...{ ENVIRONMENT: 'services', NAMESPACE: namespace, DATA_DIRECTORY: join(folder, namespace) },
      ...{ KAFKA_BROKERS: brokers, REDIS_HOST: redisUrl.hostname, REDIS_PORT: redisUrl.port },
      ...{ DATABASE_HOST: postgresUrl.hostname, DATABASE_PORT: postgresUrl.port, DATABASE_NAME: 'postgres' },
      ...{ DATABASE_USER: postgresUrl.username },
    },
    { registry: { kind: 'local', directory: join(folder, namespace, 'models') } },
  );
}

async function until<T>(get: () => Promise<T>, isDone: (value: T) => boolean): Promise<T> {
  const giveUpAt = Date.now() + 60_000;
  for (;;) {
    const value = await get();
    if (isDone(value)) return value;
    if (Date.now() > giveUpAt) throw new Error(`still ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('two namespaces on one Kafka, Redis and PostgreSQL do not see each other', async () => {
  const configs = NAMES.map(configOf);
  const platforms: Awaited<ReturnType<typeof startPlatform>>[] = [];
  for (const config of configs)
    platforms.push(await startPlatform(config, silentLogger, ROLES, ensureInitialModels(config, ROLES)));
  const [red, blue] = platforms as [(typeof platforms)[number], (typeof platforms)[number]];
  const send = (platform: typeof red, path: string, body: object) =>
    fetch(`${path.startsWith('/ingest') ? platform.urls.gateway : platform.urls.features}${path}`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
    });
  const featureOf = async (platform: typeof red, entity: string) => {
    const answer = await fetch(`${platform.urls.features}/features/${entity}/count_1h`);
    return answer.status === 200 ? ((await answer.json()) as { value: number }).value : answer.status;
  };
  // Event ids and entities are the same in both: red has three events of a1, blue one, and one of its own.
  for (const id of ['e1', 'e2', 'e3']) expect((await send(red, '/ingest', goodEvent(id))).status).toBe(202);
  expect((await send(blue, '/ingest', goodEvent('e1'))).status).toBe(202);
  expect((await send(blue, '/ingest', goodEvent('e2', { account_id: 'b1' }))).status).toBe(202);
  expect(
    await until(
      () => featureOf(red, 'a1'),
      (value) => value === 3,
    ),
  ).toBe(3);
  expect(
    await until(
      () => featureOf(blue, 'b1'),
      (value) => value === 1,
    ),
  ).toBe(1);
  expect(
    await until(
      () => featureOf(blue, 'a1'),
      (value) => value !== 404,
    ),
  ).toBe(1);
  expect(await featureOf(red, 'b1')).toBe(404);
  await send(red, '/counters/a1/attempts', { by: 5 });
  const counter = await fetch(`${blue.urls.features}/counters/a1/attempts`);
  expect(await counter.json()).toMatchObject({ value: 0 });
  expect((await send(red, '/ingest', { event_id: 'bad', event_type: 'transaction' })).status).toBe(400);

  const kafka = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  const redis = new Redis({ host: redisUrl.hostname, port: Number(redisUrl.port) });
  const sql = new pg.Client({
    host: postgresUrl.hostname,
    port: Number(postgresUrl.port),
    user: postgresUrl.username,
    database: 'postgres',
  });
  await sql.connect();
  try {
    for (const [index, name] of NAMES.entries()) {
      const config = configs[index] as (typeof configs)[number];
      const topics = (await admin.listTopics()).filter((topic) => topic.startsWith(`${name}.`));
      expect(topics.sort()).toEqual(
        ['raw-events', 'feature-events', 'dead-letter-queue', 'predictions'].map((topic) => `${name}.${topic}`).sort(),
      );
      expect([config.pipeline.group, config.monitor.group]).toEqual([
        `${name}.headwater-features`,
        `${name}.headwater-monitor`,
      ]);
      // Progress is committed after the snapshot that covers it.
      await until(
        // A group's coordinator may be loading still.
        () => admin.fetchOffsets({ groupId: config.pipeline.group, topics: [`${name}.raw-events`] }).catch(() => []),
        (offsets) => offsets[0]?.partitions.some(({ offset }) => Number(offset) > 0) === true,
      );
      expect((await redis.keys(`${name}:*`)).length).toBeGreaterThan(0);
      const rows = await until(
        async () =>
          (await sql.query(`SELECT entity_key FROM ${name}.feature_rows ORDER BY entity_key, event_time`)).rows,
        (found) => found.length >= (index === 0 ? 3 : 2),
      );
      expect(rows.map((row: { entity_key: string }) => row.entity_key)).toEqual(
        index === 0 ? ['account:a1', 'account:a1', 'account:a1'] : ['account:a1', 'account:b1'],
      );
    }
    const letters = await Promise.all(NAMES.map((name) => admin.fetchTopicOffsets(`${name}.dead-letter-queue`)));
    const counts = letters.map((partitions) => partitions.reduce((sum, { high }) => sum + Number(high), 0));
    expect(counts).toEqual([1, 0]);
    // Partitions of a month are made in each schema.
    const { rows: tables } = await sql.query(
      "SELECT DISTINCT n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname ~ '^feature_rows_[0-9]{4}' AND n.nspname = ANY($1)",
      [NAMES],
    );
    expect(tables).toHaveLength(2);
  } finally {
    await admin.disconnect();
    redis.disconnect();
    await sql.end();
    for (const platform of platforms) await platform.services[Symbol.asyncDispose]();
  }
}, 180_000);

test.each(['Red', '1red', 'red-blue', 'red.blue', 'public', 'pg_red', 'x'.repeat(40), 'red; drop', ''])(
  'a namespace %j is refused at start, or is none',
  (namespace) => {
    if (namespace === '') expect(configOf(namespace).topics.rawEvents).toBe('raw-events');
    else expect(() => configOf(namespace)).toThrow(/namespace/);
  },
);
