import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import type { HealthReport } from '#monitoring/health';
import type { RunningServer } from '#scripts/services/managed_process';
import { startKafka, startPostgres } from '#scripts/services/servers';
import { PlatformProcess } from '../../support/platform_process.ts';
import { type RedisServer, startRedisServer, until } from '../../support/redis_servers.ts';

// What stores and brokers do to a running platform, and what /health/ready answers: servers of the test's own, which it breaks.

let folder: string;
let redis: RedisServer;
let postgres: RunningServer;
let kafka: RunningServer;
let database: pg.Pool;
let platform: PlatformProcess;
let dataDirectory: string;
/** Events that were answered 202. */
const accepted: string[] = [];
const isRoot = process.getuid?.() === 0;
let isMounted = false;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'health-'));
  for (const name of ['postgres', 'kafka', 'data']) mkdirSync(join(folder, name));
  execFileSync('chmod', ['755', folder]);
  dataDirectory = join(folder, 'data');
  if (isRoot) {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128m', 'tmpfs', dataDirectory]);
      isMounted = true;
    } catch {
      // A container without the right to mount: the disk is left out below.
    }
  }
  redis = await startRedisServer(folder, 'online', ['--appendonly', 'yes', '--maxmemory-policy', 'noeviction']);
  postgres = await startPostgres(join(folder, 'postgres'));
  kafka = await startKafka(join(folder, 'kafka'));
  const url = new URL(postgres.env.TEST_POSTGRES_URL as string);
  database = new pg.Pool({ host: url.hostname, port: Number(url.port), database: 'postgres', user: 'headwater' });
  database.on('error', () => {});
  platform = await PlatformProcess.start(dataDirectory, {
    ENVIRONMENT: 'services',
    ROLES: 'gateway,pipeline,features',
    KAFKA_BROKERS: kafka.env.TEST_KAFKA_BROKERS as string,
    REDIS_PORT: String(redis.port),
    DATABASE_HOST: url.hostname,
    DATABASE_PORT: url.port,
    DATABASE_NAME: 'postgres',
    DATABASE_USER: 'headwater',
    HEALTH_STALLED_AFTER: '10s',
  });
}, 240_000);
afterAll(async () => {
  await platform?.kill();
  await database?.end();
  for (const server of [kafka, postgres, redis]) await server?.stop();
  if (isMounted) execFileSync('umount', [dataDirectory]);
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

type Role = 'gateway' | 'pipeline' | 'features';

async function ready(role: Role): Promise<HealthReport & { readonly code: number }> {
  const response = await fetch(`${platform.urls[role]}/health/ready`);
  return { code: response.status, ...((await response.json()) as HealthReport) };
}

const becomes = async (role: Role, code: number, reason = /.*/s, withinMs = 60_000): Promise<HealthReport> => {
  let last: (HealthReport & { readonly code: number }) | undefined;
  await until(async () => {
    last = await ready(role);
    return last.code === code && reason.test(last.reason ?? '');
  }, withinMs).catch(() => {
    throw new Error(
      `${role} did not become ${code} ${reason}: ${JSON.stringify(last)}\n${platform.output.slice(-3_000)}`,
    );
  });
  return last as HealthReport;
};

async function send(count: number, what: string): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const id = `${what}-${accepted.length}`;
    const event = {
      ...{ event_id: id, user_id: id, account_id: id, event_type: 'transaction', timestamp: new Date().toISOString() },
      ...{ amount: 10, currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery', country: 'DE' },
    };
    const response = await fetch(`${platform.urls.gateway}/ingest`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(event),
    });
    if (response.status === 202) accepted.push(id);
    await response.arrayBuffer();
  }
}

/** Every accepted event has its row in both stores. */
async function everythingIsFound(): Promise<void> {
  const missing = async (): Promise<readonly string[]> => {
    const { rows } = await database.query<{ entity_key: string }>(
      `SELECT entity_key FROM feature_rows WHERE view = 'fraud' AND entity_key = ANY($1)`,
      [accepted.map((id) => `account:${id}`)],
    );
    const offline = new Set(rows.map(({ entity_key: key }) => key.slice('account:'.length)));
    const online: string[] = [];
    for (const id of accepted) {
      if ((await redis.cli('exists', `headwater:row:fraud@1:{account:${id}}`)) !== '1') online.push(id);
    }
    return [...accepted.filter((id) => !offline.has(id)), ...online];
  };
  let last: readonly string[] = [];
  await until(async () => {
    last = await missing();
    return last.length === 0;
  }, 90_000).catch(() => {
    throw new Error(
      `${last.length} rows of ${accepted.length} events are missing: ${last.slice(0, 5)}\n${platform.output.slice(-3_000)}`,
    );
  });
}

const metricsOf = async (role: Role): Promise<string> => (await fetch(`${platform.urls[role]}/metrics`)).text();

test('every role names each dependency and each job of its process', async () => {
  await send(3, 'first');
  for (const role of ['gateway', 'pipeline', 'features'] as const) {
    await becomes(role, 200);
    const report = await ready(role);
    expect(Object.keys(report.dependencies)).toEqual(
      expect.arrayContaining(['broker', 'disk', 'online store', 'offline store']),
    );
    expect(Object.keys(report.jobs)).toEqual(expect.arrayContaining(['feature pipeline', 'online store refill']));
  }
  await everythingIsFound();
}, 120_000);

test('Redis at its memory limit: the pipeline is not ready and says why; features and gateway stay in rotation; rows wait', async () => {
  await redis.cli('config', 'set', 'maxmemory', '1mb');
  await send(5, 'oom');
  await becomes('pipeline', 503, /online store is down: .*OOM/);
  expect(await ready('features')).toMatchObject({
    code: 200,
    status: 'degraded',
    dependencies: { 'online store': { status: 'down' } },
  });
  expect((await ready('gateway')).code).toBe(200);
  expect(await metricsOf('pipeline')).toMatch(
    /dependency_problem\{dependency="online store",problem="out_of_memory"\} 1/,
  );
  // The sink that refuses is named as well, once it has done so for a while.
  await becomes('pipeline', 503, /feature pipeline is down: .*writing to online store has failed for \d+ s: .*OOM/);
  expect((await fetch(`${platform.urls.pipeline}/health/live`)).status).toBe(200);
  await redis.cli('config', 'set', 'maxmemory', '0');
  await becomes('pipeline', 200);
  expect(await metricsOf('pipeline')).toMatch(
    /dependency_problem\{dependency="online store",problem="out_of_memory"\} 0/,
  );
  await everythingIsFound();
}, 180_000);

test('Redis has become a replica: read-only; once the address leads to a master again, writes go on', async () => {
  await redis.cli('replicaof', '127.0.0.1', '1');
  await send(5, 'replica');
  await becomes('pipeline', 503, /online store is down: .*READONLY/);
  expect((await ready('features')).code).toBe(200);
  expect(await metricsOf('pipeline')).toMatch(/dependency_problem\{dependency="online store",problem="read_only"\} 1/);
  await redis.cli('replicaof', 'no', 'one');
  await becomes('pipeline', 200);
  await everythingIsFound();
}, 180_000);

test('PostgreSQL is read-only: rows wait and none is dead-lettered', async () => {
  const set = async (value: string): Promise<void> => {
    const client = new pg.Client({
      connectionString: postgres.env.TEST_POSTGRES_URL,
      options: '-c default_transaction_read_only=off',
    });
    await client.connect();
    await client.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
    await client.query('SELECT pg_reload_conf()');
    await client.end();
  };
  await set('on');
  await send(5, 'readonly');
  await becomes('pipeline', 503, /offline store is down: .*read-only/);
  expect((await ready('features')).code).toBe(200);
  expect(await metricsOf('pipeline')).toMatch(/dependency_problem\{dependency="offline store",problem="read_only"\} 1/);
  await becomes('pipeline', 503, /feature pipeline is down: .*read-only transaction/);
  await set('off');
  await becomes('pipeline', 200);
  await everythingIsFound();
  expect(await metricsOf('pipeline')).not.toMatch(/events_failed_total\{reason="refused"\} [1-9]/);
}, 180_000);

test('the disk of the data directory is full: not ready, named; ready again once there is room', async () => {
  if (!isMounted) return process.stdout.write('no right to mount: the full disk is not tried\n');
  writeFileSync(join(dataDirectory, 'ballast'), Buffer.alloc(100 * 1024 * 1024));
  try {
    for (let mib = 0; mib < 40; mib += 1) writeFileSync(join(dataDirectory, `more-${mib}`), Buffer.alloc(1024 * 1024));
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  }
  await becomes('pipeline', 503, /disk is down: .*(ENOSPC|are free)/);
  await becomes('gateway', 503, /disk is down/);
  expect((await ready('features')).code).toBe(200);
  expect(await metricsOf('pipeline')).toMatch(/dependency_problem\{dependency="disk",problem="full"\} 1/);
  for (const name of ['ballast', ...Array.from({ length: 40 }, (_, mib) => `more-${mib}`)])
    rmSync(join(dataDirectory, name), { force: true });
  await becomes('pipeline', 200);
  await becomes('gateway', 200);
  await send(3, 'room');
  await everythingIsFound();
}, 180_000);

test.each([
  ['Kafka', 'broker', () => kafka],
  ['PostgreSQL', 'offline store', () => postgres],
  ['Redis', 'online store', () => redis],
] as const)(
  '%s is away for 60 s under load: named while it is, and nothing that was accepted is lost',
  async (name, dependency, server) => {
    const before = accepted.length;
    let isOver = false;
    const load = (async () => {
      while (!isOver) {
        await send(1, name);
        await sleep(50);
      }
    })();
    await sleep(500);
    const away = server().restart(60_000);
    const report = await becomes('pipeline', 503, new RegExp(`${dependency} is down`), 40_000);
    expect(report.dependencies[dependency]?.status).toBe('down');
    if (dependency === 'broker') await becomes('pipeline', 503, /feature pipeline is down: .*cannot be read/, 40_000);
    // With its spool the gateway takes events; features are read from the other store.
    expect((await ready('gateway')).code).toBe(200);
    expect((await ready('features')).code).toBe(200);
    await away;
    await becomes('pipeline', 200, /.*/s, 90_000);
    await sleep(500);
    isOver = true;
    await load;
    expect(accepted.length - before).toBeGreaterThan(200);
    await everythingIsFound();
    process.stdout.write(
      `${name}: ${accepted.length - before} events accepted around the outage, all in both stores\n`,
    );
  },
  300_000,
);
