import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectRoot } from '#kernel/project_root';
import { Region } from '#scripts/drills/region';
import {
  type Accepted,
  eventsWithoutRow,
  featureRows,
  newestRowMs,
  post,
  rowKey,
  sendEvents,
  Transactions,
} from '#scripts/drills/traffic';
import { run } from '#scripts/services/install';
import { startMirror } from '#scripts/services/mirror';
import { startRoles } from '#scripts/services/roles';
import { percentile } from './tools/quantiles.ts';
import { report } from './tools/result.ts';

// Features in a second region, in two ways beside each other: computed from mirrored events, or replicated by the stores (Redis' replica, PostgreSQL's standby). How far rows are behind, whether they
// are equal, and when a region that takes over computes the next event.
const bench = 'regions';
const SECONDS = 20;
const LAG_EVERY_MS = 100;
const WITHIN_MS = 180_000;

const base = await mkdtemp(join(tmpdir(), 'headwater-bench-regions-'));
const regions: Region[] = [];
try {
  // PostgreSQL runs as another user.
  await chmod(base, 0o755);
  await measure();
} finally {
  for (const { processes } of regions) await Promise.all(processes.map((each) => each.stop()));
  await rm(base, { recursive: true, force: true });
}
process.exit();

async function measure(): Promise<void> {
  const [east, west, replica] = [await makeRegion('east'), await makeRegion('west'), await makeRegion('replica')];
  for (const region of [east, west]) {
    await Promise.all([region.startBroker(), region.startOnline(), region.startDatabase()]);
  }
  const mirror = await startMirror(west.folder, west.env.KAFKA_BROKERS as string, {
    ...{ region: 'east', brokers: east.env.KAFKA_BROKERS as string },
  });
  west.processes.push(mirror);
  const ports = await start(east);
  const others = await start(west);
  await replicate(east, replica);

  const accepted: Accepted[] = [];
  const traffic = new AbortController();
  const sending = sendEvents(traffic.signal, async (events) => {
    accepted.push(...((await post(ports.gateway, events)) ?? []));
  });
  // The first rows are of a job that starts.
  await sleep((SECONDS * 1_000) / 2);
  const lags = { own: [] as number[], computed: [] as number[], replicated: [] as number[] };
  for (const endMs = Date.now() + SECONDS * 1_000; Date.now() < endMs; await sleep(LAG_EVERY_MS)) {
    lags.own.push(Date.now() - (await newestRowMs(east)));
    lags.computed.push(Date.now() - (await newestRowMs(west)));
    lags.replicated.push(Date.now() - (await newestRowMs(replica)));
  }
  traffic.abort();
  await sending;
  for (const [name, all] of Object.entries(lags)) {
    const what = { own: 'the region itself', computed: 'computed again', replicated: 'replicated' }[name] as string;
    for (const share of [0.5, 0.95]) {
      report({
        bench,
        case: what,
        metric: `age of the newest row, p${share * 100}`,
        value: percentile(all, share),
        unit: 'ms',
      });
    }
  }
  for (const region of [east, west]) await eventsWithoutRow(region, accepted, WITHIN_MS);
  const rows = {
    own: await featureRows(east),
    computed: await featureRows(west),
    replicated: await featureRows(replica),
  };
  for (const name of ['computed', 'replicated'] as const) {
    const equal = accepted.filter((event) => rows[name].get(rowKey(event)) === rows.own.get(rowKey(event))).length;
    const what = name === 'computed' ? 'computed again' : name;
    report({
      bench,
      case: what,
      metric: 'rows equal',
      value: equal,
      unit: 'rows',
      peer: 'accepted',
      peerValue: accepted.length,
    });
  }

  const killedMs = Date.now();
  await Promise.all(east.processes.map((each) => each.kill()));
  await nextEvent('computed again', west, others.gateway, killedMs, accepted);
  await Promise.all([replica.sql('SELECT pg_promote()'), redis(replica, 'replicaof', 'no', 'one')]);
  await replica.recovered();
  replica.env.KAFKA_BROKERS = west.env.KAFKA_BROKERS as string;
  const takingOverMs = Date.now();
  const taken = await start(replica);
  await nextEvent('replicated', replica, taken.gateway, takingOverMs, accepted);
}

async function makeRegion(name: string): Promise<Region> {
  const region = await Region.make(join(base, name), {
    ...{ ENVIRONMENT: 'services', HEADWATER_PROJECT: projectRoot, NODE_OPTIONS: '', LOG_LEVEL: 'warn' },
  });
  regions.push(region);
  return region;
}

async function start(region: Region) {
  const { roles, ports } = await startRoles(region.folder, region.env, ['gateway', 'pipeline']);
  region.processes.push(roles.gateway, roles.pipeline);
  return ports;
}

function redis({ env }: Region, ...command: readonly string[]): Promise<string> {
  return run('redis-cli', ['-p', env.REDIS_PORT as string, ...command]);
}

/** Makes stores of a region followers of those of another one. */
async function replicate(from: Region, to: Region): Promise<void> {
  const data = join(to.folder, 'postgres/data');
  await mkdir(data, { mode: 0o700 });
  const { DATABASE_HOST: host, DATABASE_PORT: port, DATABASE_USER: user } = from.env;
  await run('/usr/lib/postgresql/15/bin/pg_basebackup', [
    ...['-h', host as string, '-p', port as string, '-U', user as string, '-D', data, '-R', '-c', 'fast'],
  ]);
  await to.startOnline();
  await redis(to, 'replicaof', from.env.REDIS_HOST as string, from.env.REDIS_PORT as string);
  await to.startDatabase({}, true);
}

/** Reports how long after a moment a new event has its row, and whether the row counts all events of its account. */
async function nextEvent(
  what: string,
  region: Region,
  port: number,
  sinceMs: number,
  accepted: Accepted[],
): Promise<void> {
  const event = new Transactions(`next-${what.length}`).next(accepted[0]?.account);
  const giveUpAt = Date.now() + WITHIN_MS;
  while (((await post(port, [event])) ?? []).length === 0) await sleep(100);
  accepted.push({ ...event, acceptedMs: Date.now() });
  for (;;) {
    const values = (await featureRows(region)).get(rowKey(event));
    if (values !== undefined) {
      const counted = (JSON.parse(values) as { readonly count_7d: number }).count_7d;
      const known = accepted.filter(({ account }) => account === event.account).length;
      report({ bench, case: what, metric: 'next event has its row', value: (Date.now() - sinceMs) / 1_000, unit: 's' });
      report({
        bench,
        case: what,
        metric: 'events it counts',
        value: counted,
        unit: 'events',
        peer: 'accepted',
        peerValue: known,
      });
      return;
    }
    if (Date.now() > giveUpAt) throw new Error(`${what}: no row within ${WITHIN_MS / 1_000} s`);
    await sleep(50);
  }
}
