import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { startPlatform } from '#cli/roles/platform';
import { fraudView } from '#examples/fraud/features/fraud';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { fingerprintOf } from '#feature_store/erasure/erasures';
import { writeUnerased } from '#feature_store/online/write_unerased';
import { createOnlineStore } from '#feature_store/stores';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { serviceAddress } from '../integration/service_address.ts';
import { keyOf } from '../support/entity_keys.ts';
import { runCommand } from '../support/platforms/command_line.ts';
import { testProject } from '../support/platforms/test_project.ts';

// Erasing with a real Kafka, Redis and PostgreSQL, the pipeline in another process than the command: every table, every Redis key and value and every file of the
// platform is searched for the id.

const folder = mkdtempSync(join(tmpdir(), 'erase-attack-'));
const namespace = `erase_${randomBytes(4).toString('hex')}`;
const redisUrl = new URL(serviceAddress('TEST_REDIS_URL'));
const postgresUrl = new URL(serviceAddress('TEST_POSTGRES_URL'));
const env = {
  ...{ ENVIRONMENT: 'services', NAMESPACE: namespace, KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS') },
  ...{ REDIS_HOST: redisUrl.hostname, REDIS_PORT: redisUrl.port },
  ...{ DATABASE_HOST: postgresUrl.hostname, DATABASE_PORT: postgresUrl.port, DATABASE_NAME: 'postgres' },
  ...{ DATABASE_USER: postgresUrl.username },
};
const data = join(folder, 'data');
const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
const config = testProject(
  { ...env, ...ports, DATA_DIRECTORY: data },
  { registry: { kind: 'local', directory: join(folder, 'models') } },
);
const start = () => startPlatform(config, silentLogger, ['gateway', 'pipeline', 'features']);
type Platform = Awaited<ReturnType<typeof start>>;

const database = new pg.Client({ connectionString: postgresUrl.href });
const redis = new Redis(redisUrl.href);
beforeAll(() => database.connect());
afterAll(async () => {
  await database.query(`DROP SCHEMA ${namespace} CASCADE`);
  await database.end();
  redis.disconnect();
  rmSync(folder, { recursive: true, force: true });
});

async function heldAt(key: string): Promise<unknown> {
  switch (await redis.type(key)) {
    case 'hash':
      return redis.hgetall(key);
    case 'set':
      return redis.smembers(key);
    case 'list':
      return redis.lrange(key, 0, -1);
    default:
      return redis.get(key);
  }
}

/** Tables, Redis keys and files that hold a text. */
async function placesWith(text: string): Promise<readonly string[]> {
  const found: string[] = [];
  const { rows: tables } = await database.query<{ name: string }>(
    `SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r'`,
    [namespace],
  );
  for (const { name } of tables) {
    const { rows } = await database.query(`SELECT 1 FROM ${name} t WHERE t::text LIKE $1 LIMIT 1`, [`%${text}%`]);
    if (rows.length > 0) found.push(name);
  }
  for (const key of await redis.keys('*')) {
    if (key.includes(text) || JSON.stringify(await heldAt(key)).includes(text)) found.push(key);
  }
  for (const name of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
    const file = join(data, name);
    if (statSync(file).isFile() && readFileSync(file).includes(text)) found.push(name);
  }
  return found;
}

let sequence = 0;
async function pay(platform: Platform, user: string, account: string): Promise<void> {
  sequence += 1;
  const event = {
    ...{ event_id: `e${sequence}`, event_type: 'transaction', timestamp: new Date().toISOString(), user_id: user },
    ...{ account_id: account, amount: 10, currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery' },
    country: 'DE',
  };
  const answer = await fetch(`${platform.urls.gateway}/ingest`, { method: 'POST', body: JSON.stringify(event) });
  expect(answer.status).toBe(202);
}

async function countBecomes(platform: Platform, account: string, expected: number | undefined): Promise<void> {
  const untilMs = Date.now() + 60_000;
  let last: unknown = 'nothing';
  while (Date.now() < untilMs) {
    const answer = await fetch(`${platform.urls.features}/features/${account}/count_24h?entity=account`);
    const body = (await answer.json()) as { value?: number };
    last = answer.status === 404 ? undefined : body.value;
    if (last === expected) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(last).toBe(expected);
}

test('an erased account is in no table, no Redis key and no file, also after a restart; others stay; who comes back counts from zero', async () => {
  const [gone, stays] = [`gone-${randomUUID()}`, `stays-${randomUUID()}`];
  let platform = await start();
  for (let round = 0; round < 4; round += 1) {
    await pay(platform, `u${round}`, gone);
    await pay(platform, `u${round}`, stays);
  }
  await countBecomes(platform, gone, 4);
  await countBecomes(platform, stays, 4);
  await platform.offline.labels.write('chargebacks', [
    { labelId: 'l1', entityKey: keyOf(gone), eventTime: eventTime(Date.now()), label: 1 },
  ]);
  expect((await placesWith(gone)).length).toBeGreaterThan(2);
  const exported = await runCommand(
    folder,
    ['entities', 'export', gone, '--entity', 'account', '--format', 'jsonl'],
    env,
  );
  const records = exported.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { place: string });
  expect([...new Set(records.map(({ place }) => place))].sort()).toEqual(
    [
      'offline store',
      'online store',
      `topic ${config.topics.featureEvents}`,
      `topic ${config.topics.rawEvents}`,
    ].sort(),
  );

  const erased = await runCommand(folder, ['entities', 'erase', gone, '--entity', 'account', '--yes'], env);
  expect([erased.code, JSON.parse(erased.stdout)]).toEqual([
    0,
    expect.objectContaining({ entity: `account:${gone}`, pipeline: 'applied' }),
  ]);
  expect(erased.stderr).toMatch(/topic .*raw-events: records last until the retention/);
  expect(await placesWith(gone)).toEqual([]);
  await countBecomes(platform, gone, undefined);
  await countBecomes(platform, stays, 4);
  await pay(platform, 'u9', stays);
  await countBecomes(platform, stays, 5);
  await platform.services[Symbol.asyncDispose]();

  // The whole topic is read again, as after the loss of the snapshots: what was erased is passed over.
  rmSync(join(data, 'snapshots'), { recursive: true });
  platform = await start();
  await pay(platform, 'u9', stays);
  await countBecomes(platform, stays, 6);
  expect(await placesWith(gone)).toEqual([]);
  await pay(platform, 'u9', gone);
  await countBecomes(platform, gone, 1);
  await platform.services[Symbol.asyncDispose]();

  // While no pipeline runs the stores are emptied at once, and the rest is pending.
  const pending = await runCommand(
    folder,
    ['entities', 'erase', gone, '--entity', 'account', '--yes', '--wait', '1'],
    env,
  );
  expect([pending.code, JSON.parse(pending.stdout)]).toEqual([1, expect.objectContaining({ pipeline: 'pending' })]);
  platform = await start();
  await pay(platform, 'u9', stays);
  await countBecomes(platform, stays, 7);
  await countBecomes(platform, gone, undefined);
  const again = await runCommand(folder, ['entities', 'erase', gone, '--entity', 'account', '--yes'], env);
  expect([again.code, again.stderr]).toEqual([0, expect.any(String)]);
  expect(await placesWith(gone)).toEqual([]);
  await platform.services[Symbol.asyncDispose]();
}, 400_000);

test('rows of history that are on their way into Redis while their entity is erased do not stay there', async () => {
  const base = { log: silentLogger, clock: systemClock, metrics: createMetricsRegistry(), views: [fraudView] };
  const online = createOnlineStore(base, config.onlineStore);
  const offline = createOfflineDatabase(base, config.offlineStore);
  await online.start(new AbortController().signal);
  await offline.start(new AbortController().signal);
  const key = keyOf(`refilled-${randomUUID()}`);
  const row = (): FeatureRow => ({
    ...{ view: 'fraud', version: 1, entityKey: key, eventTime: eventTime(Date.now()), values: { amount: 1 } },
    computedAt: processingTime(Date.now()),
  });
  const { secret } = await offline.erasures.read(0);
  const erase = async (): Promise<void> => {
    await offline.erasures.write({ fingerprint: fingerprintOf(secret, key), erasedAtMs: Date.now() });
    await online.erase([fraudView], key);
  };
  for (const when of ['before the write', 'during the write']) {
    const old = row();
    const readAtMs = Date.now();
    const slow = {
      read: online.read.bind(online),
      erase: online.erase.bind(online),
      write: async (rows: readonly FeatureRow[]) => {
        if (when === 'before the write') await erase();
        const written = await online.write(rows);
        if (when === 'during the write') await erase();
        return written;
      },
    };
    await writeUnerased({ online: slow, offline }, [old], readAtMs);
    expect(await online.read(fraudView, [key])).toEqual([undefined]);
    await new Promise((resolve) => setTimeout(resolve, 2));
    // It may come back.
    await writeUnerased({ online, offline }, [row()], Date.now());
    expect(await online.read(fraudView, [key])).toEqual([expect.objectContaining({ entityKey: key })]);
  }
  await offline.stop();
  await online.stop();
}, 60_000);
