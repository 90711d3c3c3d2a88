import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { withBroker } from '#cli/parts/with_broker';
import { loadSettings } from '#cli/project/project';
import { PORTS, ROLES, type Role } from '#cli/terminal/choices';
import { recordsOfTopic } from '#connectors/records/topic_records';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { type EntityKey, idOf } from '#feature_store/definitions/values/entity_key';
import { assetPath, projectRoot } from '#kernel/project_root';
import { run } from './services/install.ts';
import { freePort, type ManagedProcess, type RunningServer, startProcess } from './services/managed_process.ts';
import { startKafka, startMlflow, startPostgres, startRedis } from './services/servers.ts';

// npm run drill [-- SECONDS]: a platform on Kafka, Redis, PostgreSQL and MLflow takes events, is backed up, and loses all of its processes and folders at once. A
// second one is made out of the backups alone; what it has is compared with what the first had accepted. The last line holds RPO and RTO.

const CLI = assetPath('dist/cli/headwater.js');
const MODEL = assetPath('examples/fraud/models/fraud_detector');
const SECRET = 'a secret of the drill that is long enough';
const ROWS = 1_000;
const EVENTS_A_BATCH = 20;
const BATCH_EVERY_MS = 100;
const READY_WITHIN_MS = 240_000;
const CATCH_UP_MS = 120_000;
const LONGEST_RPO_SECONDS = 3_600;
const LONGEST_RTO_SECONDS = 1_800;

type Env = Readonly<Record<string, string>>;

interface Region {
  readonly folder: string;
  readonly env: Record<string, string>;
  readonly processes: ManagedProcess[];
}

interface Accepted {
  readonly id: string;
  readonly account: string;
  readonly timeMs: number;
  readonly acceptedMs: number;
}

const seconds = Number(process.argv[2] ?? 30);
const base = await mkdtemp(join(tmpdir(), 'headwater-drill-'));
const backups = join(base, 'backups');
const shared: Env = {
  ...{ ENVIRONMENT: 'services', HEADWATER_PROJECT: projectRoot, NODE_OPTIONS: '', LOG_LEVEL: 'warn' },
  ...{ BACKUP_DIRECTORY: backups, BACKUP_SECRET: SECRET },
};
const checks: (readonly [string, boolean])[] = [];
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const check = (text: string, holds: boolean): void => {
  checks.push([text, holds]);
  say(`${holds ? 'ok    ' : 'FAILED'} ${text}`);
};

const regions: Region[] = [];
try {
  // PostgreSQL archives as another user.
  await chmod(base, 0o755);
  await mkdir(join(backups, 'wal'), { recursive: true });
  await chmod(join(backups, 'wal'), 0o777);
  await drill();
} finally {
  for (const { processes } of regions) await Promise.all(processes.map((each) => each.stop()));
  await rm(base, { recursive: true, force: true });
}
process.exit(checks.every(([, holds]) => holds) ? 0 : 1);

async function drill(): Promise<void> {
  const first = await makeRegion('first');
  await startServers(first);
  await command(first, 'models', 'register', 'fraud_detector', MODEL);
  await command(first, 'models', 'promote', 'fraud_detector', '1', '--force');
  const ports = await startPlatform(first);
  const accepted: Accepted[] = [];
  const traffic = new AbortController();
  const sending = sendEvents(ports.gateway, traffic.signal, accepted);
  await sleep((seconds * 1_000) / 3);
  say((await command(first, 'backup', 'create', '--json')).trim());
  const hadRowsAt = await emptyTable(first);
  first.processes.push(
    await startProcess({
      ...{ name: 'backup follow', command: process.execPath, args: [CLI, 'backup', 'follow', '--every', '2'] },
      ...{ cwd: first.folder, env: first.env, logFile: join(first.folder, 'follow.log') },
      ...{ isReady: async () => true, readyWithinMs: 1_000 },
    }),
  );
  await sleep((seconds * 2_000) / 3);

  const lostMs = Date.now();
  await Promise.all(first.processes.splice(0).map((each) => each.kill()));
  traffic.abort();
  await sending;
  await rm(first.folder, { recursive: true });
  say(`everything of the first platform is killed and deleted; ${accepted.length} events were accepted`);

  const second = await makeRegion('second');
  const startedMs = performance.now();
  await restoreServers(second);
  const restored = await startPlatform(second);
  const rtoSeconds = (performance.now() - startedMs) / 1_000;

  const missing = await eventsWithoutRow(second, accepted);
  const recorded = await recordedEvents(second);
  const unrecorded = accepted.filter(({ id }) => !recorded.has(id));
  const ageOf = (lost: readonly Accepted[]): number =>
    (lostMs - Math.min(lostMs, ...lost.map(({ acceptedMs }) => acceptedMs))) / 1_000;
  const [byRows, byRecords] = [ageOf(missing), ageOf(unrecorded)];
  const rpoSeconds = Math.max(byRows, byRecords);
  const counted = (lost: readonly Accepted[], what: string, seconds: number): string =>
    `${accepted.length - lost.length} of ${accepted.length} accepted events have their ${what}; what is lost is of the last ${seconds.toFixed(1)} s`;
  check(counted(missing, 'row', byRows), byRows <= LONGEST_RPO_SECONDS);
  check(counted(unrecorded, 'record', byRecords), byRecords <= LONGEST_RPO_SECONDS);
  const answer = await fetch(`http://127.0.0.1:${restored.serving}/health/ready`);
  check(`the restored model serves: ${answer.status}`, answer.ok);
  const online = await fetch(`http://127.0.0.1:${restored.features}/features/${accepted[0]?.account}?view=fraud@1`);
  check(`features are answered from a store that was empty: ${online.status}`, online.ok);
  await restoreTable(hadRowsAt);
  await restoreModel(second);
  check(`RTO is at most ${LONGEST_RTO_SECONDS} s`, rtoSeconds <= LONGEST_RTO_SECONDS);
  const passed = checks.filter(([, holds]) => holds).length;
  say(
    `${passed} passed, ${checks.length - passed} failed; RPO ${rpoSeconds.toFixed(1)} s (${missing.length} rows and ${unrecorded.length} records of ${accepted.length} events), RTO ${rtoSeconds.toFixed(1)} s`,
  );
}

async function makeRegion(name: string): Promise<Region> {
  const folder = join(base, name);
  await mkdir(folder);
  const artifacts = join(folder, 'mlflow/artifacts');
  for (const part of ['redis', 'postgres', 'mlflow', 'kafka']) await mkdir(join(folder, part));
  const env = { ...shared, DATA_DIRECTORY: join(folder, 'data'), BACKUP_FOLDERS: `mlflow=${artifacts}` };
  const region = { folder, env, processes: [] };
  regions.push(region);
  return region;
}

function command({ env, folder }: Region, ...args: readonly string[]): Promise<string> {
  return run(process.execPath, [CLI, ...args], { cwd: folder, env });
}

function use<S extends RunningServer>(region: Region, server: S, env: Env): S {
  region.processes.push(server);
  Object.assign(region.env, env);
  return server;
}

async function startBroker(region: Region): Promise<void> {
  const kafka = await startKafka(join(region.folder, 'kafka'));
  use(region, kafka, { KAFKA_BROKERS: kafka.env.TEST_KAFKA_BROKERS as string });
}

async function startOnline(region: Region): Promise<void> {
  const redis = await startRedis(join(region.folder, 'redis'));
  const { hostname, port } = new URL(redis.env.TEST_REDIS_URL as string);
  use(region, redis, { REDIS_HOST: hostname, REDIS_PORT: port });
}

async function startDatabase(region: Region, settings: Env): Promise<void> {
  const postgres = await startPostgres(join(region.folder, 'postgres'), { env: region.env, settings });
  const { hostname, port, username } = new URL(postgres.env.TEST_POSTGRES_URL as string);
  use(region, postgres, {
    ...{ DATABASE_HOST: hostname, DATABASE_PORT: port, DATABASE_USER: username },
    ...{ DATABASE_NAME: 'postgres', DATABASE_PASSWORD: '' },
  });
  const giveUpAt = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const [state] = await sql<{ readonly recovers: boolean }>(region, 'SELECT pg_is_in_recovery() AS recovers');
    if (state?.recovers === false) return;
    if (Date.now() > giveUpAt) throw new Error(`PostgreSQL still recovers after ${READY_WITHIN_MS / 1_000} s`);
    await sleep(200);
  }
}

/** MLflow keeps its runs and versions in the same server, in a database of its own. */
async function startModels(region: Region): Promise<void> {
  const { folder, env } = region;
  const server = await startMlflow(join(folder, 'mlflow'), {
    backendStore: `postgresql+psycopg2://${env.DATABASE_USER}@${env.DATABASE_HOST}:${env.DATABASE_PORT}/mlflow`,
    artifacts: ['--serve-artifacts', '--artifacts-destination', join(folder, 'mlflow/artifacts')],
  });
  // A worker of MLflow outlives a killed MLflow.
  use(region, { ...server, kill: server.stop }, { MLFLOW_TRACKING_URI: server.env.TEST_MLFLOW_URL as string });
}

async function startServers(region: Region): Promise<void> {
  await Promise.all([
    startBroker(region),
    startOnline(region),
    startDatabase(region, {
      ...{ wal_level: 'replica', archive_mode: 'on', archive_timeout: '5' },
      archive_command: `"${process.execPath}" "${CLI}" backup wal-push %p %f`,
    }),
  ]);
  await sql(region, 'CREATE DATABASE mlflow');
  await startModels(region);
}

/** As the runbook says: brokers, restore, database, the rest. */
async function restoreServers(region: Region): Promise<void> {
  await startBroker(region);
  say((await command(region, 'restore', '--postgres-data', join(region.folder, 'postgres/data'))).trim());
  await Promise.all([
    startDatabase(region, { archive_mode: 'off' }).then(() => startModels(region)),
    startOnline(region),
  ]);
}

async function startPlatform(region: Region): Promise<Readonly<Record<Role, number>>> {
  const ports = {} as Record<Role, number>;
  for (const role of ROLES) ports[role] = await freePort();
  const variables = ROLES.map((role) => [PORTS[role].variable, String(ports[role])] as const);
  region.processes.push(
    await startProcess({
      ...{ name: 'platform', command: process.execPath, args: [CLI, 'start'], cwd: region.folder },
      ...{ env: { ...region.env, ...Object.fromEntries(variables) }, logFile: join(region.folder, 'platform.log') },
      isReady: async () => {
        const probes = (['gateway', 'features', 'serving', 'pipeline'] as const).map((role) => ports[role]);
        const answers = await Promise.all(probes.map((port) => fetch(`http://127.0.0.1:${port}/health/ready`)));
        return answers.every(({ ok }) => ok);
      },
      readyWithinMs: READY_WITHIN_MS,
    }),
  );
  return ports;
}

async function sql<Row extends pg.QueryResultRow>({ env }: Region, text: string): Promise<readonly Row[]> {
  const [host, port] = [env.DATABASE_HOST as string, Number(env.DATABASE_PORT)];
  const client = new pg.Client({ ...{ host, port }, user: env.DATABASE_USER as string, database: 'postgres' });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/** Returns a moment at which the table had its rows; they are deleted after it. */
async function emptyTable(region: Region): Promise<string> {
  await sql(region, `CREATE TABLE drill_rows AS SELECT generate_series(1, ${ROWS}) AS id`);
  await sleep(1_000);
  const [moment] = await sql<{ readonly at: Date }>(region, 'SELECT now() AS at');
  await sleep(1_000);
  await sql(region, 'DELETE FROM drill_rows');
  return (moment as { readonly at: Date }).at.toISOString();
}

async function restoreTable(until: string): Promise<void> {
  const before = await makeRegion('before');
  const data = join(before.folder, 'postgres/data');
  await command(before, 'restore', '--only', 'mlflow', '--postgres-data', data, '--until', until);
  await startDatabase(before, { archive_mode: 'off' });
  const [found] = await sql<{ readonly rows: string }>(before, 'SELECT count(*) AS rows FROM drill_rows');
  check(`a table that was emptied has ${found?.rows} of ${ROWS} rows as of ${until}`, Number(found?.rows) === ROWS);
}

async function restoreModel(region: Region): Promise<void> {
  await rm(join(region.folder, 'mlflow/artifacts'), { recursive: true });
  const fetched = ['models', 'export', 'fraud_detector', '1', '--out', join(region.folder, 'model')] as const;
  const isLost = await command(region, ...fetched).then(
    () => false,
    () => true,
  );
  await command(region, 'restore', '--only', 'mlflow', '--missing');
  await command(region, ...fetched);
  check('a model whose files the registry lost is read after a restore', isLost);
}

async function sendEvents(port: number, signal: AbortSignal, accepted: Accepted[]): Promise<void> {
  const shapes = generateTransactions({ seed: 1, events: 5_000, accounts: 200, days: 1, endMs: Date.now() })
    .filter(({ arrival }) => arrival !== 'invalid')
    .map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  let timeMs = 0;
  for (let batch = 0; !signal.aborted; batch += 1) {
    const events = Array.from({ length: EVENTS_A_BATCH }, (_, at) => {
      const id = batch * EVENTS_A_BATCH + at;
      timeMs = Math.max(timeMs + 1, Date.now());
      return { ...shapes[id % shapes.length], event_id: `drill-${id}`, timestamp: new Date(timeMs).toISOString() };
    });
    const results = await fetch(`http://127.0.0.1:${port}/ingest/batch`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/x-ndjson' } },
      body: events.map((event) => JSON.stringify(event)).join('\n'),
      signal: AbortSignal.timeout(10_000),
    })
      .then(async (answer) => ((await answer.json()) as { results?: { status: string }[] }).results ?? [])
      // The platform is gone: what was not answered was not accepted.
      .catch(() => []);
    const acceptedMs = Date.now();
    for (const [at, event] of events.entries()) {
      if (results[at]?.status !== 'accepted') continue;
      const { account_id: account, event_id: id, timestamp } = event as typeof event & { account_id?: unknown };
      accepted.push({ id, account: String(account), timeMs: Date.parse(timestamp), acceptedMs });
    }
    await sleep(BATCH_EVERY_MS);
  }
}

/** Returns the ids of the events that the topic of raw events has. */
async function recordedEvents({ env }: Region): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  await withBroker(loadSettings(env), async (broker, { topics }) => {
    for await (const records of recordsOfTopic(broker, topics.rawEvents)) {
      for (const { value } of records) ids.add((JSON.parse(value.toString()) as { event_id: string }).event_id);
    }
  });
  return ids;
}

/** Waits until the stream has read what was restored. */
async function eventsWithoutRow(region: Region, accepted: readonly Accepted[]): Promise<readonly Accepted[]> {
  const giveUpAt = Date.now() + CATCH_UP_MS;
  for (let before = -1; ; ) {
    const rows = await sql<{ readonly entity_key: EntityKey; readonly at: string }>(
      region,
      `SELECT entity_key, (extract(epoch FROM event_time) * 1000)::bigint::text AS at FROM feature_rows WHERE view = 'fraud' AND version = 1`,
    );
    const found = new Set(rows.map(({ entity_key: entity, at }) => `${idOf(entity)} ${at}`));
    const missing = accepted.filter(({ account, timeMs }) => !found.has(`${account} ${timeMs}`));
    if (missing.length === 0 || missing.length === before || Date.now() > giveUpAt) return missing;
    before = missing.length;
    await sleep(5_000);
  }
}
