import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { createPostgresPool } from '#connectors/postgres/pool';
import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { createOnlineStore } from '#feature_store/stores';
import { projectRoot } from '#kernel/project_root';
import { DAY_MS, HOUR_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { startServers } from '#scripts/services/start_all';
import { runTraffic } from '../tools/predict_traffic.ts';
import { median } from '../tools/quantiles.ts';
import { report } from '../tools/result.ts';
import { type ServerProcess, startServerProcess } from '../tools/server_process.ts';
import { entityOf, fifteen, rowOf } from '../workloads/features_workload.ts';
import { instances } from '../workloads/serving_workload.ts';
import { type Costs, planFor, TARGET } from './plan.ts';

// What docs/scale.md calculates with, and whether it may: CPU time of each part by one process on one core and by two on two, and bytes of each store as entities grow tenfold.
// SCALE_ENTITIES=10000000 goes further than a million, with 3.4 GB of Redis, and SCALE_ROWS than 300,000 rows of PostgreSQL; SCALE_ONLY=stores, stream, gateway or serving measures that alone, without a plan.

const bench = 'scale';
const ENTITIES = Number(process.env.SCALE_ENTITIES ?? 1_000_000);
const ONLY = process.env.SCALE_ONLY;
const ROWS_OF_POSTGRES = Number(process.env.SCALE_ROWS ?? 300_000);
const REQUESTS = 8_000;
const BATCH = 1_000;
const BATCHES = 40;
const CONNECTIONS = 32;
const SECONDS = 3;
/** Each way in turn, so often; medians count. */
const ROUNDS = 5;
/** A formula holds when twice the cores, or ten times the entities, change what one costs by no more than this. */
const TOLERANCE = 1.25;
/** docs/benchmarks.md: a process that reads, computes user_activity version 2 and writes both stores; predictions by entity, on a machine twice as busy. */
const BY_OTHER_SUITES = { pipelineUs: 87, predictByEntityUs: 84 };
const execute = promisify(execFile);
const rows = instances(200, 1).map((values) => JSON.stringify({ model_name: 'bench', features: values }));
const predictions = Array.from({ length: REQUESTS }, (_, index) => rows[index % rows.length] as string);
let sent = 0;

const servers = await startServers(['redis', 'postgres', 'kafka']);
const folder = await mkdtemp(join(tmpdir(), 'headwater-scale-'));
try {
  await measure();
} finally {
  await servers.stop();
  await rm(folder, { recursive: true, force: true });
}

async function measure(): Promise<void> {
  const costs: { -readonly [Name in keyof Costs]?: number } = { ...BY_OTHER_SUITES };
  if (measures('stores')) {
    costs.redisBytes = await entitiesInRedis();
    costs.rowBytes = await rowsInPostgres();
  }
  if (measures('stream')) {
    costs.stateBytes = stateOfEntities();
    costs.featuresUs = await features();
  }
  if (measures('gateway')) {
    const alone = 'gateway: POST /ingest, 279 bytes, Kafka acks=all';
    costs.ingestUs = await requests(alone, '/ingest', () => eventsOf(1), gateway);
    const batches = `gateway: POST /ingest/batch, ${BATCH} events`;
    costs.ingestBatchUs = (await requests(batches, '/ingest/batch', () => eventsOf(BATCH), gateway)) / BATCH;
  }
  if (measures('serving')) {
    const name = 'serving: POST /predict, 30 columns, XGBoost';
    costs.predictUs = await requests(name, '/predict', () => predictions, serving);
  }
  if (ONLY !== undefined) return;
  for (const { what, value, unit } of planFor(TARGET, costs as Costs)) {
    report({
      ...{ bench, case: `1 M events/s, 100 M entities, 100,000 predictions/s: ${what}`, metric: 'plan', value, unit },
    });
  }
}

function measures(part: 'stores' | 'stream' | 'gateway' | 'serving'): boolean {
  return ONLY === undefined || ONLY === part;
}

/** Bytes an entity, measured at a tenth and at all of the entities: Redis resizes its table by powers of two, so the second is held against the first. */
async function entitiesInRedis(): Promise<number> {
  const url = new URL(servers.env.TEST_REDIS_URL as string);
  const config = redisConfigSchema.parse({ host: url.hostname, port: Number(url.port) });
  const base = { log: silentLogger, clock: systemClock, views: [fifteen] };
  const store = createOnlineStore(base, { kind: 'redis', ...config, keyPrefix: 'scale' });
  await store.start(new AbortController().signal);
  const redis = createRedis(config, silentLogger);
  await redis.connect();
  // Rows are not written to the disk as well: it need not hold them.
  await redis.config('SET', 'appendonly', 'no');
  const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
  const before = await used();
  const nowMs = Date.now();
  const sizes: number[] = [];
  let written = 0;
  for (const upTo of [ENTITIES / 10, ENTITIES]) {
    for (; written < upTo; written += 1_000) {
      const from = written;
      await store.write(Array.from({ length: 1_000 }, (_, at) => rowOf(entityOf(from + at), nowMs, from + at)));
    }
    sizes.push(((await used()) - before) / upTo);
  }
  const [tenth, all] = sizes as [number, number];
  report({
    ...{
      bench,
      case: `Redis: 15 features, ${ENTITIES} entities`,
      metric: 'memory',
      unit: 'bytes an entity',
      value: all,
    },
    ...{ peer: 'a tenth of them', peerValue: tenth, ceiling: tenth * TOLERANCE },
  });
  redis.disconnect();
  await store.stop();
  return all;
}

async function rowsInPostgres(): Promise<number> {
  const url = new URL(servers.env.TEST_POSTGRES_URL as string);
  const config = postgresConfigSchema.parse({
    ...{ host: url.hostname, port: Number(url.port), user: url.username, database: url.pathname.slice(1) },
  });
  const base = { log: silentLogger, clock: systemClock, views: [fifteen] };
  const offline = createOfflineDatabase(base, { kind: 'postgres', ...config });
  await offline.start(new AbortController().signal);
  const pool = createPostgresPool(config, silentLogger);
  const size = async (): Promise<number> => {
    const { rows } = await pool.query<{ readonly bytes: string }>(
      "SELECT sum(pg_total_relation_size(oid)) AS bytes FROM pg_class WHERE relkind = 'r' AND relname LIKE 'feature_rows%'",
    );
    return Number(rows[0]?.bytes ?? 0);
  };
  const before = await size();
  const nowMs = Date.now();
  const sizes: number[] = [];
  let written = 0;
  for (const upTo of [ROWS_OF_POSTGRES / 10, ROWS_OF_POSTGRES]) {
    for (; written < upTo; written += 1_000) {
      const from = written;
      await offline.features.write(
        Array.from({ length: 1_000 }, (_, at) => rowOf(entityOf((from + at) % 50_000), nowMs + from + at, from + at)),
      );
    }
    sizes.push(((await size()) - before) / upTo);
  }
  const [tenth, all] = sizes as [number, number];
  report({
    ...{ bench, case: `PostgreSQL: 15 features, ${ROWS_OF_POSTGRES} rows with indexes`, metric: 'size' },
    ...{ unit: 'bytes a row', value: all, peer: 'a tenth of them', peerValue: tenth, ceiling: tenth * TOLERANCE },
  });
  await pool.end();
  await offline.stop();
  return all;
}

/** Heap of the state of the fraud view, whose accounts have two payments within a day. */
function stateOfEntities(): number {
  const keys = Math.min(ENTITIES, 1_000_000);
  const startMs = Date.UTC(2026, 10, 1);
  const computation = new ViewComputation(fraudView, DAY_MS);
  const states: EntityState[] = [];
  const sizes: number[] = [];
  const before = usedHeap();
  for (const upTo of [keys / 10, keys]) {
    for (let key = states.length; key < upTo; key += 1) {
      const state = emptyEntityState();
      for (const [index, at] of [0, HOUR_MS].entries()) {
        const fields = { amount: (key * 7_919 + index) % 500, merchant_id: `m${key % 40}`, country: 'DE' };
        computation.apply(state, fields, startMs + at);
      }
      states.push(state);
    }
    sizes.push((usedHeap() - before) / upTo);
  }
  const [tenth, all] = sizes as [number, number];
  report({
    ...{ bench, case: `stream: state of the fraud view, ${keys} accounts with two payments`, metric: 'memory' },
    ...{ unit: 'bytes an account', value: all, peer: 'a tenth of them', peerValue: tenth, ceiling: tenth * TOLERANCE },
  });
  return all;
}

function usedHeap(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

/** Partitions are independent: two processes, each on a core, do twice the work of one, and an event costs the same. */
async function features(): Promise<number> {
  const script = join(projectRoot, 'dist/bench/scale/stream_process.js');
  return onCores('stream: features of the fraud view with rows for what leaves a window', 'event', async (core) => {
    const args = ['--cpu-list', String(core), process.execPath, script, String(SECONDS), String(core + 1)];
    const { stdout } = await execute('taskset', args);
    const { events, cpuSeconds } = JSON.parse(stdout) as { readonly events: number; readonly cpuSeconds: number };
    return (cpuSeconds / events) * 1e6;
  });
}

type Start = (core: number) => Promise<ServerProcess>;

/** Clients and Kafka share the cores, so that CPU time counts and not the clock. */
async function requests(name: string, path: string, bodiesOf: () => readonly string[], start: Start): Promise<number> {
  const started = [await start(0), await start(1)] as const;
  const load = async (core: number): Promise<number> => {
    const server = started[core] as ServerProcess;
    const beforeMs = (await server.cpuMs()) ?? Number.NaN;
    const result = await runTraffic({ url: server.url, path, bodies: bodiesOf(), connections: CONNECTIONS });
    if (result.failed > 0) throw new Error(`${result.failed} requests failed: ${result.firstFailure}`);
    return ((((await server.cpuMs()) ?? Number.NaN) - beforeMs) / result.requests) * 1_000;
  };
  try {
    await Promise.all([load(0), load(1)]);
    return await onCores(name, 'request', load);
  } finally {
    for (const server of started) await server.stop();
  }
}

/**
 * Measures a process on one core, the same beside a loop that keeps the other core busy, and two on two cores, in turn. The loop shares nothing with the process but the machine: what it
 * adds is the machine's, the rest is of two that do the same.
 */
async function onCores(name: string, unit: string, run: (core: number) => Promise<number>): Promise<number> {
  const [one, beside, both]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const core = round % 2;
    one.push(await run(core));
    const loop = spawn('taskset', ['--cpu-list', String(1 - core), process.execPath, '--eval', 'for (;;);']);
    beside.push(await run(core).finally(() => loop.kill('SIGKILL')));
    const each = await Promise.all([run(0), run(1)]);
    both.push((each[0] + each[1]) / 2);
  }
  const two = median(both);
  const peer = { peer: 'one process on one core', peerValue: median(one) };
  const cpu = { bench, metric: 'CPU', unit: `µs a ${unit}`, ...peer, ceiling: peer.peerValue * TOLERANCE };
  report({ ...cpu, case: `${name}: beside a busy loop on the other core`, value: median(beside) });
  report({ ...cpu, case: `${name}: two processes on two cores`, value: two });
  report({ bench, case: name, metric: 'throughput', unit: `${unit}s a core and second`, value: 1e6 / two });
  return two;
}

function gateway(core: number): Promise<ServerProcess> {
  return startServerProcess(join(projectRoot, 'dist/cli/headwater.js'), ['start', '--role', 'gateway'], {
    cores: String(core),
    cwd: projectRoot,
    env: {
      ...{ INGEST_SINK: 'kafka', KAFKA_BROKERS: servers.env.TEST_KAFKA_BROKERS as string, GATEWAY_PORT: '0' },
      ...{ DATA_DIRECTORY: join(folder, `gateway-${core}`), LOG_LEVEL: 'error' },
    },
  });
}

function serving(core: number): Promise<ServerProcess> {
  return startServerProcess(join(projectRoot, 'dist/bench/scale/serving_process.js'), [], { cores: String(core) });
}

/** Bodies of a run: events alone, or lines of so many. */
function eventsOf(batch: number): readonly string[] {
  return Array.from({ length: batch === 1 ? REQUESTS : BATCHES }, () =>
    Array.from({ length: batch }, event).join('\n'),
  );
}

function event(): string {
  sent += 1;
  return JSON.stringify({
    ...{ event_id: `scale-${process.pid}-${sent}`, user_id: `user-${sent % 5_000}`, event_type: 'transaction' },
    ...{ device_type: 'mobile', timestamp: new Date().toISOString(), account_id: `account-${sent % 5_000}` },
    ...{ amount: 1 + (sent % 10_000) / 100, currency: 'EUR', merchant_id: `merchant-${sent % 300}` },
    ...{ merchant_category: 'grocery', country: 'DE' },
  });
}
