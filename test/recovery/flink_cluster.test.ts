import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '#connectors/http/free_port';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import { createOnlineStore } from '#feature_store/stores';
import { type RunningServices, startAll } from '#kernel/lifecycle';
import { assetPath } from '#kernel/project_root';
import { HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { FlinkJobs } from '#pipelines/runner/jobs/flink_jobs';
import { activeJob } from '#pipelines/runner/jobs/runner_jobs';
import { type FlinkCluster, startFlinkCluster } from '#scripts/services/flink_cluster';
import { serviceAddress } from '../integration/service_address.ts';
import { keyOf } from '../support/entity_keys.ts';
import { commandEnvironment, runCommand } from '../support/platforms/command_line.ts';
import { processesOf } from '../support/platforms/processes_of.ts';

// The feature pipeline as a job of a session cluster of Flink, from Kafka to Redis, PostgreSQL and Kafka, by the commands of an operator: its processes are killed, it is stopped
// with a savepoint and rescaled, and what it has written equals what the embedded runner writes of the same events.

const JOB = 'features';
const suffix = randomUUID().slice(0, 6);
const ON_FLINK = `flink_${suffix}`;
const EMBEDDED = `embedded_${suffix}`;
const ACCOUNTS = 12;
const EVENTS_OF_A_PART = 300;
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 24 * HOUR_MS;

let folder: string;
let cluster: FlinkCluster;
let jobs: FlinkJobs;
let broker: KafkaBroker;
let services: RunningServices;
let pool: ChildProcess;
let environment: string;
let common: Readonly<Record<string, string>>;

const deps = { log: silentLogger, clock: systemClock, views: [fraudView] };
const storeOf = (namespace: string) => {
  const { hostname: host, port } = new URL(serviceAddress('TEST_REDIS_URL'));
  const redis = redisConfigSchema.parse({ host, port: Number(port) });
  return createOnlineStore(deps, { kind: 'redis', ...redis, keyPrefix: `${namespace}:features` });
};
const stores = { [ON_FLINK]: storeOf(ON_FLINK), [EMBEDDED]: storeOf(EMBEDDED) };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'flink-cluster-'));
  const postgres = new URL(serviceAddress('TEST_POSTGRES_URL'));
  const redis = new URL(serviceAddress('TEST_REDIS_URL'));
  common = {
    ...{ ENVIRONMENT: 'services', KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'), ARCHIVE_ENABLED: 'false' },
    ...{ REDIS_HOST: redis.hostname, REDIS_PORT: redis.port, REDIS_KEY_PREFIX: 'features' },
    ...{ DATABASE_HOST: postgres.hostname, DATABASE_PORT: postgres.port, DATABASE_USER: 'headwater' },
    ...{ DATABASE_NAME: postgres.pathname.slice(1), LOG_LEVEL: 'warn' },
  };
  mkdirSync(join(folder, 'cluster'));
  cluster = await startFlinkCluster(join(folder, 'cluster'));
  jobs = new FlinkJobs({ restUrl: cluster.restUrl, jobEndpoint: cluster.jobEndpoint });
  const brokers = serviceAddress('TEST_KAFKA_BROKERS').split(',');
  broker = new KafkaBroker(deps, kafkaConfigSchema.parse({ kind: 'kafka', brokers }));
  services = await startAll([broker, ...Object.values(stores)], new AbortController().signal);
  const port = await freePort();
  environment = `external:localhost:${port}`;
  pool = spawn(
    process.execPath,
    [assetPath('dist/cli/headwater.js'), 'pipelines', 'worker', 'features', '--listen', `localhost:${port}`],
    {
      cwd: folder,
      env: commandEnvironment(folder, { ...common, NAMESPACE: ON_FLINK }),
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await new Promise<void>((resolve, reject) => {
    pool.stdout?.once('data', () => resolve());
    pool.once('exit', (code) => reject(new Error(`the pool of workers ended with ${code}`)));
  });
}, 900_000);
afterAll(async () => {
  pool?.kill('SIGTERM');
  await cluster?.stop();
  await services?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** `headwater ARGS` on the cluster. */
async function headwater(...args: readonly string[]): Promise<string> {
  const outcome = await runCommand(folder, args, { ...common, NAMESPACE: ON_FLINK });
  expect([outcome.code, outcome.stderr]).toEqual([0, expect.anything()]);
  return outcome.stdout;
}
const atCluster = (): readonly string[] => ['--url', cluster.restUrl];
const submission = (parallelism: number): readonly string[] => [
  ...['features', '--environment', environment, ...atCluster(), '--job-endpoint', cluster.jobEndpoint, '--json'],
  ...['--runner-option', `parallelism=${parallelism}`, '--runner-option', 'checkpointing_interval=2000'],
  ...['--runner-option', 'max_parallelism=128'],
];

let sent = 0;
/** Sends events to the topics of both jobs, the same to each. */
async function send(): Promise<void> {
  const events = Array.from({ length: EVENTS_OF_A_PART }, () => {
    const index = sent;
    sent += 1;
    return {
      ...{ event_id: `${suffix}-${index}`, event_type: 'transaction', user_id: `a${index % ACCOUNTS}` },
      timestamp: new Date(START + index * MINUTE_MS).toISOString(),
      ...{ account_id: `a${index % ACCOUNTS}`, amount: 1 + ((index * 37) % 500), currency: 'EUR' },
      ...{ merchant_id: `m${index % 11}`, merchant_category: 'grocery', country: index % 7 === 0 ? 'FR' : 'DE' },
    };
  });
  const records = events.map((event) => ({ key: event.user_id, value: JSON.stringify(event) }));
  for (const namespace of [ON_FLINK, EMBEDDED]) await broker.producer.send(`${namespace}.raw-events`, records);
}

const rowsOf = async (namespace: string): Promise<readonly unknown[]> => {
  const accounts = Array.from({ length: ACCOUNTS }, (_, index) => keyOf(`a${index}`));
  const rows = await (stores[namespace] as (typeof stores)[string]).read(fraudView, accounts);
  return rows.map((row) => [row?.entityKey, row?.eventTime, row?.values]);
};

/** Event times of the newest rows are those of the newest events. */
async function isCaughtUp(namespace = ON_FLINK): Promise<boolean> {
  const times = (await rowsOf(namespace)).map((row) => (row as readonly unknown[])[1]);
  const newest = Array.from({ length: ACCOUNTS }, (_, index) => {
    const last = sent - 1 - ((sent - 1 - index) % ACCOUNTS);
    return START + last * MINUTE_MS;
  });
  return newest.every((at, index) => times[index] === at);
}

async function becomes(what: string, isSo: () => Promise<boolean>, withinMs = 240_000): Promise<void> {
  for (const giveUpAt = Date.now() + withinMs; !(await isSo().catch(() => false)); ) {
    if (Date.now() > giveUpAt) throw new Error(`not within ${withinMs / 1_000} s: ${what}`);
    await sleep(500);
  }
}
const runs = async (): Promise<boolean> => (await activeJob(jobs, JOB))?.state === 'running';

test('submitting ends, and again starts no second copy', async () => {
  await broker.ensureTopics(
    [ON_FLINK, EMBEDDED].flatMap((name) => [
      { name: `${name}.raw-events`, partitions: 4 },
      { name: `${name}.feature-events`, partitions: 4 },
      { name: `${name}.dead-letter-queue`, partitions: 4 },
    ]),
  );
  await send();
  expect(JSON.parse(await headwater('jobs', 'submit', ...submission(4)))).toMatchObject({ submission: 'submitted' });
  expect(JSON.parse(await headwater('jobs', 'submit', ...submission(4)))).toMatchObject({ submission: 'unchanged' });
  expect(JSON.parse(await headwater('jobs', 'list', '--json', ...atCluster()))).toHaveLength(1);
  await becomes('the first events are in Redis', () => isCaughtUp());
}, 600_000);

test('a worker and a task manager are killed while events come', async () => {
  const workers = processesOf(pool.pid);
  expect(workers.length).toBeGreaterThan(0);
  await send();
  process.kill(workers[0]?.pid as number, 'SIGKILL');
  await becomes('the job has another worker, and is caught up', () => isCaughtUp());
  await send();
  await cluster.taskManagers[0]?.kill();
  await becomes('the job runs on the other task manager, and is caught up', () => isCaughtUp());
  await becomes('all of its tasks run', runs);
  const job = JSON.parse(await headwater('jobs', 'status', JOB, '--json', ...atCluster()));
  expect(job.snapshots.completed).toBeGreaterThan(0);
  expect(job.snapshots.restored).toBeGreaterThan(0);
  expect(job.transforms.every(({ parallelism }: { parallelism: number }) => parallelism <= 4)).toBe(true);
  expect(await headwater('jobs', 'logs', JOB, ...atCluster())).toMatch(/failure/);
}, 900_000);

test('stopped with a savepoint, and rescaled from it, it loses and doubles nothing', async () => {
  const savepoint = (await headwater('jobs', 'stop', JOB, ...atCluster())).trim();
  expect(savepoint).toMatch(/savepoint-/);
  expect(await activeJob(jobs, JOB)).toBeUndefined();
  await send();
  await headwater('jobs', 'submit', ...submission(4), '--savepoint', savepoint);
  await becomes('events of while it was stopped are in Redis', () => isCaughtUp());
  expect(JSON.parse(await headwater('jobs', 'update', ...submission(2)))).toMatchObject({ submission: 'updated' });
  await send();
  await becomes('it is caught up with two slots', () => isCaughtUp());
  await headwater('jobs', 'cancel', JOB, ...atCluster());

  // The oracle: the same events on the embedded runner.
  const oracle = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), 'pipelines', 'run', 'features'], {
    ...{ cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] },
    env: commandEnvironment(folder, { ...common, NAMESPACE: EMBEDDED, DATA_DIRECTORY: join(folder, 'embedded') }),
  });
  try {
    await becomes('the embedded runner is caught up', () => isCaughtUp(EMBEDDED));
    expect(await rowsOf(ON_FLINK)).toEqual(await rowsOf(EMBEDDED));
    // Into Kafka each row comes at least once, and none that the embedded runner has not.
    const published = await publishedRows(EMBEDDED);
    expect(published.length).toBeGreaterThanOrEqual(sent);
    expect(await publishedRows(ON_FLINK)).toEqual(published);
  } finally {
    oracle.kill('SIGKILL');
  }
}, 900_000);

/** The distinct rows in the topic of features. */
async function publishedRows(namespace: string): Promise<readonly string[]> {
  const rows = new Set<string>();
  const topic = `${namespace}.feature-events`;
  for (const partition of await broker.listPartitions(topic)) {
    const reader = await broker.openPartition(topic, partition, { startAt: 'earliest' });
    try {
      do {
        const signal = AbortSignal.timeout(10_000);
        for (const { value } of await reader.poll({ maxRecords: 1_000, maxWaitMs: 1_000, signal })) {
          if (value !== null) rows.add(String(value));
        }
      } while (reader.lagRecords() > 0n);
    } finally {
      await reader.close();
    }
  }
  return [...rows].sort();
}
