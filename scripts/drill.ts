import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS, ROLES, type Role } from '#cli/terminal/choices';
import { assetPath, projectRoot } from '#kernel/project_root';
import { endChecks, record, say } from './checking/counted_checks.ts';
import { type Env, Region } from './drills/region.ts';
import { type Accepted, eventsWithoutRow, post, recordedEvents, sendEvents } from './drills/traffic.ts';
import { freePort, startProcess } from './services/managed_process.ts';

// npm run drill [-- SECONDS]: a platform on Kafka, Redis, PostgreSQL and MLflow takes events, is backed up, and loses all of its processes and folders at once. A
// second one is made out of the backups alone; what it has is compared with what the first had accepted. The last line holds RPO and RTO.

const CLI = assetPath('dist/cli/headwater.js');
const MODEL = assetPath('examples/fraud/models/fraud_detector');
const SECRET = 'a secret of the drill that is long enough';
const ROWS = 1_000;
const READY_WITHIN_MS = 240_000;
const LONGEST_RPO_SECONDS = 3_600;
const LONGEST_RTO_SECONDS = 1_800;

const seconds = Number(process.argv[2] ?? 30);
const base = await mkdtemp(join(tmpdir(), 'headwater-drill-'));
const backups = join(base, 'backups');
const shared: Env = {
  ...{ ENVIRONMENT: 'services', HEADWATER_PROJECT: projectRoot, NODE_OPTIONS: '', LOG_LEVEL: 'warn' },
  ...{ BACKUP_DIRECTORY: backups, BACKUP_SECRET: SECRET },
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
process.exit();

async function drill(): Promise<void> {
  const first = await makeRegion('first');
  await startServers(first);
  await first.command('models', 'register', 'fraud_detector', MODEL);
  await first.command('models', 'promote', 'fraud_detector', '1', '--force');
  const ports = await startPlatform(first);
  const accepted: Accepted[] = [];
  const traffic = new AbortController();
  const sending = sendEvents(traffic.signal, async (events) => {
    // What was not answered was not accepted: the platform is gone.
    accepted.push(...((await post(ports.gateway, events)) ?? []));
  });
  await sleep((seconds * 1_000) / 3);
  say((await first.command('backup', 'create', '--json')).trim());
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
  record(counted(missing, 'row', byRows), byRows <= LONGEST_RPO_SECONDS);
  record(counted(unrecorded, 'record', byRecords), byRecords <= LONGEST_RPO_SECONDS);
  const answer = await fetch(`http://127.0.0.1:${restored.serving}/health/ready`);
  record(`the restored model serves: ${answer.status}`, answer.ok);
  const online = await fetch(`http://127.0.0.1:${restored.features}/features/${accepted[0]?.account}?view=fraud@1`);
  record(`features are answered from a store that was empty: ${online.status}`, online.ok);
  await restoreTable(hadRowsAt);
  await restoreModel(second);
  record(`RTO is at most ${LONGEST_RTO_SECONDS} s`, rtoSeconds <= LONGEST_RTO_SECONDS);
  endChecks(
    `RPO ${rpoSeconds.toFixed(1)} s (${missing.length} rows and ${unrecorded.length} records of ${accepted.length} events), RTO ${rtoSeconds.toFixed(1)} s`,
  );
}

async function makeRegion(name: string): Promise<Region> {
  const region = await Region.make(join(base, name), shared);
  region.env.BACKUP_FOLDERS = `mlflow=${region.artifacts}`;
  regions.push(region);
  return region;
}

async function startServers(region: Region): Promise<void> {
  await Promise.all([
    region.startBroker(),
    region.startOnline(),
    region.startDatabase({
      ...{ wal_level: 'replica', archive_mode: 'on', archive_timeout: '5' },
      archive_command: `"${process.execPath}" "${CLI}" backup wal-push %p %f`,
    }),
  ]);
  await region.sql('CREATE DATABASE mlflow');
  await region.startModels();
}

/** As the runbook says: brokers, restore, database, the rest. */
async function restoreServers(region: Region): Promise<void> {
  await region.startBroker();
  say((await region.command('restore', '--postgres-data', join(region.folder, 'postgres/data'))).trim());
  await Promise.all([
    region.startDatabase({ archive_mode: 'off' }).then(() => region.startModels()),
    region.startOnline(),
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

/** Returns a moment at which the table had its rows; they are deleted after it. */
async function emptyTable(region: Region): Promise<string> {
  await region.sql(`CREATE TABLE drill_rows AS SELECT generate_series(1, ${ROWS}) AS id`);
  await sleep(1_000);
  const [moment] = await region.sql<{ readonly at: Date }>('SELECT now() AS at');
  await sleep(1_000);
  await region.sql('DELETE FROM drill_rows');
  return (moment as { readonly at: Date }).at.toISOString();
}

async function restoreTable(until: string): Promise<void> {
  const before = await makeRegion('before');
  const data = join(before.folder, 'postgres/data');
  await before.command('restore', '--only', 'mlflow', '--postgres-data', data, '--until', until);
  await before.startDatabase({ archive_mode: 'off' });
  const [found] = await before.sql<{ readonly rows: string }>('SELECT count(*) AS rows FROM drill_rows');
  record(`a table that was emptied has ${found?.rows} of ${ROWS} rows as of ${until}`, Number(found?.rows) === ROWS);
}

async function restoreModel(region: Region): Promise<void> {
  await rm(region.artifacts, { recursive: true });
  const fetched = ['models', 'export', 'fraud_detector', '1', '--out', join(region.folder, 'model')] as const;
  const isLost = await region.command(...fetched).then(
    () => false,
    () => true,
  );
  await region.command('restore', '--only', 'mlflow', '--missing');
  await region.command(...fetched);
  record('a model whose files the registry lost is read after a restore', isLost);
}
