import { createHash } from 'node:crypto';
import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { assetPath, projectRoot } from '#kernel/project_root';
import { endChecks, record, say } from '#scripts/checking/counted_checks';
import { run } from '#scripts/services/install';
import type { ManagedProcess } from '#scripts/services/managed_process';
import { startMirror } from '#scripts/services/mirror';
import { startRoles } from '#scripts/services/roles';
import { GroupReader } from './group_reader.ts';
import { Region } from './region.ts';
import {
  type Accepted,
  type Event,
  eventsWithoutRow,
  featureRows,
  newestRowMs,
  post,
  type Rows,
  recordedEvents,
  rowKey,
  sendEvents,
  Transactions,
} from './traffic.ts';

// npm run drill:regions [-- active-passive|active-active] [SECONDS]: two regions with Kafka, Redis, PostgreSQL, MLflow and the platform's roles each. Topics are mirrored by MirrorMaker 2, the registry
// by PostgreSQL's logical replication; features are computed in both. Under load everything of the first is killed; the second serves. Then the first comes back, and takes its events again.

const MODEL = assetPath('examples/fraud/models/fraud_detector');
const ROLES = ['gateway', 'pipeline', 'features', 'serving'] as const;
const REPLICATED = 'TABLE erasure_secret, labels, prediction_feedback, model_routing';
const ARTIFACTS_EVERY_MS = 2_000;
const PROBE_EVERY_MS = 1_000;
const FAILED_PROBES = 3;
const QUIET_ACCOUNTS = 5;
const QUIET_EVENTS = 10;
const REPEATED_EVENTS = 200;
const LAG_EVERY_MS = 250;
const LONGEST_RPO_SECONDS = 60;
const LONGEST_RTO_SECONDS = 300;
/** Of a prediction, what differs from answer to answer. */
const OF_ONE_ANSWER = new Set(['request_id', 'prediction_id', 'latency_ms']);
/** Sums of squared deviations are added in the order of events; sums, means and counts do not depend on it. */
const OF_SQUARES = /^(stddev_|amount_deviation$|risk_score$)/;
const LAST_DIGITS = 1e-9;
const SHOWN = 5;
const CATCH_UP_MS = 120_000;
const MIRROR_STARTS_MS = 30_000;

type Name = 'east' | 'west';
interface Site {
  readonly name: Name;
  readonly region: Region;
  ports: Readonly<Record<(typeof ROLES)[number], number>>;
}

const mode = process.argv[2] ?? 'active-passive';
if (mode !== 'active-passive' && mode !== 'active-active') throw new RangeError(`"${mode}" is no kind of drill`);
const seconds = Number(process.argv[3] ?? 30);
const base = await mkdtemp(join(tmpdir(), 'headwater-regions-'));
const regions: Region[] = [];
const stops: (() => Promise<void>)[] = [];
try {
  // PostgreSQL runs as another user.
  await chmod(base, 0o755);
  await drill();
} finally {
  for (const stop of stops) await stop();
  for (const { processes } of regions) await Promise.all(processes.map((each) => each.stop()));
  await rm(base, { recursive: true, force: true });
}
process.exit();

async function drill(): Promise<void> {
  const [east, west] = await Promise.all([startServers('east'), startServers('west')]);
  await east.region.command('models', 'register', 'fraud_detector', MODEL);
  await east.region.command('models', 'promote', 'fraud_detector', '1', '--force');
  await replicateTables(east.region, west.region);
  copyArtifacts(east.region, west.region);
  await mirror(east, west);
  await mirror(west, east);
  await Promise.all([east, west].map(startPlatform));
  say(`both regions run, ${mode}`);

  const isUp = { east: true };
  const homeOf = ({ account }: Event): Site =>
    isUp.east && (mode === 'active-passive' || isOfEast(account)) ? east : west;
  const accepted = new Map<Name, Accepted[]>([
    ['east', []],
    ['west', []],
  ]);
  let firstAcceptedMs = Number.POSITIVE_INFINITY;
  const send = async (events: readonly Event[]): Promise<void> => {
    // Clients send again what was not accepted, to where the name leads now.
    for (let pending = events; pending.length > 0; ) {
      for (const site of [east, west]) {
        const own = pending.filter((event) => homeOf(event) === site);
        const answered = own.length === 0 ? [] : ((await post(site.ports.gateway, own)) ?? []);
        if (!isUp.east && answered.length > 0) firstAcceptedMs = Math.min(firstAcceptedMs, Date.now());
        accepted.get(site.name)?.push(...answered);
        const ids = new Set(answered.map(({ id }) => id));
        pending = pending.filter(({ id }) => !ids.has(id));
      }
      if (pending.length > 0) await sleep(100);
    }
  };
  const quiet = quietEvents();
  await send(quiet);
  for (const { region } of [east, west]) await eventsWithoutRow(region, quiet, CATCH_UP_MS);
  const before = await answersOf(homeOf, quiet);
  const reader = await GroupReader.start(east.region.env.KAFKA_BROKERS as string);

  const traffic = new AbortController();
  const sending = sendEvents(traffic.signal, send);
  const lags = await lagsDuring(seconds * 1_000, east, west);

  const killedMs = Date.now();
  await Promise.all(east.region.processes.map((each) => each.kill()));
  const readInEast = await reader.stop();
  await untilGivenUp(east);
  isUp.east = false;
  const served = await untilServed(west, quiet[0]?.account ?? '');
  const readInWest = await GroupReader.start(west.region.env.KAFKA_BROKERS as string);
  await sleep((seconds * 1_000) / 3);
  traffic.abort();
  await sending;
  const rtoSeconds = (Math.max(served, firstAcceptedMs) - killedMs) / 1_000;

  const ofEast = [...(accepted.get('east') as Accepted[])];
  const ofWest = [...(accepted.get('west') as Accepted[])];
  const recorded = await recordedEvents(west.region);
  const lost = ofEast.filter(({ id }) => !recorded.has(id));
  const rpoSeconds = (killedMs - Math.min(killedMs, ...lost.map(({ acceptedMs }) => acceptedMs))) / 1_000;
  const counted = `${ofEast.length - lost.length} of ${ofEast.length} events that the lost region had accepted are in the other`;
  record(`${counted}; ${lost.length} are of the last ${rpoSeconds.toFixed(1)} s`, rpoSeconds <= LONGEST_RPO_SECONDS);
  record(
    `the other region accepts and predicts ${rtoSeconds.toFixed(1)} s after the kill, of which ${FAILED_PROBES} probes take ${(FAILED_PROBES * PROBE_EVERY_MS) / 1_000} s`,
    rtoSeconds <= LONGEST_RTO_SECONDS,
  );
  const after = await answersOf(() => west, quiet);
  const differing = before.flatMap((answer, at) => differencesOf(answer, after[at] ?? {}));
  record(
    `${before.length} answers (${Object.keys(before[0] ?? {}).length} fields: features, prediction, version of the model) are the same${differing.map((each) => `; ${each}`).join('')}`,
    before.length === QUIET_ACCOUNTS && differing.length === 0,
  );
  record(`${ofWest.length} events were accepted by the other region`, ofWest.length > 0);
  reportLags(lags);

  const there = ofEast.filter(({ id }) => recorded.has(id)).slice(-REPEATED_EVENTS);
  const repeated = (await post(west.ports.gateway, there)) ?? [];
  const unlisted = await eventsWithoutRow(west.region, [...ofEast.filter(({ id }) => recorded.has(id)), ...ofWest]);
  record(`every event in the region has its row; ${unlisted.length} have none`, unlisted.length === 0);
  const twice = [...(await recordedEvents(west.region)).values()].filter((times) => times > 1).length;
  const known = new Map([...ofEast.filter(({ id }) => recorded.has(id)), ...ofWest].map((event) => [event.id, event]));
  const wrong = await countsThatDiffer(west.region, [...known.values()]);
  record(
    `${repeated.length} events were sent to both regions, ${twice} are in the topic more than once, and counts of ${wrong.length} accounts differ`,
    twice >= repeated.length && wrong.length === 0,
  );
  const [ids, repeats] = await readInWest.untilQuiet().then((inWest) => {
    const all = [...readInEast, ...inWest];
    return [new Set(all), all.length - new Set(all).size] as const;
  });
  const skipped = [...recorded.keys()].filter((id) => !ids.has(id)).length;
  const resumed = `a consumer group that resumes in the other region has skipped ${skipped} events, and read ${repeats} again`;
  // Where both regions accept, an event of this region may lie before the offset and not be in the other one yet.
  if (mode === 'active-active') say(resumed);
  else record(resumed, skipped === 0);
  await promoteRegistry(west.region);
  await comeBack(east, west, { lost, ofEast, ofWest });
  isUp.east = true;
  await failBack(east, west, { lost, quiet, send });
  endChecks(
    `${mode}: RPO ${rpoSeconds.toFixed(1)} s (${lost.length} of ${ofEast.length} events), RTO ${rtoSeconds.toFixed(1)} s`,
  );
}

async function startServers(name: Name): Promise<Site> {
  const region = await Region.make(join(base, name), {
    ...{ ENVIRONMENT: 'services', HEADWATER_PROJECT: projectRoot, NODE_OPTIONS: '', LOG_LEVEL: 'warn' },
  });
  regions.push(region);
  await Promise.all([region.startBroker(), region.startOnline(), region.startDatabase({ wal_level: 'logical' })]);
  await region.sql('CREATE DATABASE mlflow');
  await region.startModels();
  // Opens the database, and thereby makes its tables.
  await region.command('workflows', 'list');
  return { name, region, ports: {} as Site['ports'] };
}

/** All of the registry's database, and of the platform's what no region can compute by itself. */
async function replicateTables(from: Region, to: Region): Promise<void> {
  for (const { database, publication, tables } of [
    { database: 'mlflow', publication: 'registry', tables: 'ALL TABLES' },
    { database: 'postgres', publication: 'platform', tables: REPLICATED },
  ]) {
    const { DATABASE_HOST: host, DATABASE_PORT: port, DATABASE_USER: user } = from.env;
    const source = `host=${host} port=${port} user=${user} dbname=${database}`;
    await psql(from, database, 'publish.sql', { publication, tables });
    await psql(to, database, 'subscribe.sql', { publication, tables, source });
  }
}

function psql({ env }: Region, database: string, file: string, variables: Readonly<Record<string, string>>) {
  return run('psql', [
    ...['-X', '-q', '-h', env.DATABASE_HOST as string, '-p', env.DATABASE_PORT as string],
    ...['-U', env.DATABASE_USER as string, '-d', database, '-v', 'ON_ERROR_STOP=1'],
    ...Object.entries(variables).flatMap(([name, value]) => ['-v', `${name}=${value}`]),
    ...['-f', assetPath(`k8s/components/mirror/postgres/${file}`)],
  ]);
}

/** As a bucket does that is replicated. */
function copyArtifacts(from: Region, to: Region): void {
  const ended = new AbortController();
  const copying = (async () => {
    while (!ended.signal.aborted) {
      await cp(from.artifacts, to.artifacts, { recursive: true, force: false }).catch(() => {});
      await sleep(ARTIFACTS_EVERY_MS, undefined, { signal: ended.signal }).catch(() => {});
    }
  })();
  stops.push(async () => {
    ended.abort();
    await copying;
  });
}

async function mirror(from: Site, to: Site): Promise<ManagedProcess> {
  const brokers = to.region.env.KAFKA_BROKERS as string;
  const source = { region: from.name, brokers: from.region.env.KAFKA_BROKERS as string };
  const started = await startMirror(to.region.folder, brokers, source);
  to.region.processes.push(started);
  return started;
}

async function startPlatform(site: Site): Promise<void> {
  const { region } = site;
  const { roles, ports } = await startRoles(region.folder, region.env, ROLES, { serving: '/health/live' });
  region.processes.push(...ROLES.map((role) => roles[role]));
  site.ports = ports;
}

/** Whether east is the home of an account: as docs/regions.md says. */
function isOfEast(account: string): boolean {
  return ((createHash('sha256').update(account).digest()[0] as number) & 1) === 0;
}

/** Events of accounts that get none later: what is answered about them does not change. */
function quietEvents(): readonly Event[] {
  const transactions = new Transactions('quiet');
  return Array.from({ length: QUIET_ACCOUNTS * QUIET_EVENTS }, (_, at) =>
    transactions.next(`quiet-${at % QUIET_ACCOUNTS}`),
  );
}

/** What regions answer about accounts, without what differs from answer to answer. */
async function answersOf(
  siteOf: (event: Event) => Site,
  events: readonly Event[],
): Promise<readonly Record<string, unknown>[]> {
  const newest = new Map(events.map((event) => [event.account, event]));
  return Promise.all(
    [...newest.values()].map(async (event) => {
      const { account } = event;
      const site = siteOf(event);
      const { features } = await read(`http://127.0.0.1:${site.ports.features}/features/${account}?view=fraud@1`);
      const values = Object.entries(features as Record<string, { readonly value: unknown }>).map(
        ([name, { value }]) => [name, value] as const,
      );
      const body = JSON.stringify({ entity_id: account, model_name: 'fraud_detector' });
      const predicted = await read(`http://127.0.0.1:${site.ports.serving}/predict`, body);
      const kept = Object.entries(predicted).filter(([name]) => !OF_ONE_ANSWER.has(name));
      return Object.fromEntries([...kept, ...values]);
    }),
  );
}

/** @param nearly - names of numbers that may differ in their last digits */
function differencesOf(
  a: Readonly<Record<string, unknown>>,
  b: Readonly<Record<string, unknown>>,
  nearly?: RegExp,
): readonly string[] {
  const differ = (name: string): boolean => {
    const [one, other] = [a[name], b[name]];
    if (nearly?.test(name) !== true || typeof one !== 'number' || typeof other !== 'number') return one !== other;
    return Math.abs(one - other) > LAST_DIGITS * Math.max(Math.abs(one), Math.abs(other));
  };
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(differ);
  return names.map((name) => `${name}: ${String(a[name])}, ${String(b[name])}`);
}

async function read(url: string, body?: string): Promise<Record<string, unknown>> {
  const posted = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
  const giveUpAt = Date.now() + CATCH_UP_MS;
  for (;;) {
    const answer = await fetch(url, body === undefined ? {} : (posted as RequestInit)).catch(() => undefined);
    if (answer?.ok === true) return (await answer.json()) as Record<string, unknown>;
    if (Date.now() > giveUpAt) throw new Error(`${url} answers ${answer?.status}: ${await answer?.text()}`);
    await sleep(100);
  }
}

/** Returns how far the newest row of each region is behind the clock, in ms, while events come. */
async function lagsDuring(ms: number, ...sites: readonly Site[]): Promise<ReadonlyMap<Name, number[]>> {
  const lags = new Map<Name, number[]>(sites.map(({ name }) => [name, []]));
  const endMs = Date.now() + ms;
  // The first rows are of a job that starts.
  await sleep(ms / 3);
  while (Date.now() < endMs) {
    for (const { name, region } of sites) {
      lags.get(name)?.push(Date.now() - (await newestRowMs(region)));
    }
    await sleep(LAG_EVERY_MS);
  }
  return lags;
}

function reportLags(lags: ReadonlyMap<Name, readonly number[]>): void {
  for (const [name, all] of lags) {
    const sorted = [...all].sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    say(`rows of ${name} are ${at(0.5)} ms behind the clock (median of ${all.length}), ${at(0.95)} ms at most in 95 %`);
  }
}

/** As a name server does that probes a region. */
async function untilGivenUp(site: Site): Promise<void> {
  for (let failed = 0; failed < FAILED_PROBES; ) {
    await sleep(PROBE_EVERY_MS);
    const answer = await fetch(`http://127.0.0.1:${site.ports.gateway}/health/ready`).catch(() => undefined);
    failed = answer?.ok === true ? 0 : failed + 1;
  }
}

/** @returns when the region has answered a prediction by entity */
async function untilServed(site: Site, account: string): Promise<number> {
  const body = JSON.stringify({ entity_id: account, model_name: 'fraud_detector' });
  await read(`http://127.0.0.1:${site.ports.serving}/predict`, body);
  return Date.now();
}

/** Accounts whose newest row counts other than as many events as there are ids. */
async function countsThatDiffer(region: Region, events: readonly Event[]): Promise<readonly string[]> {
  const rows = await featureRows(region);
  const byAccount = new Map<string, Event[]>();
  for (const event of events) byAccount.set(event.account, [...(byAccount.get(event.account) ?? []), event]);
  const differ: string[] = [];
  for (const [account, of] of byAccount) {
    const newest = of.reduce((a, b) => (a.timeMs > b.timeMs ? a : b));
    const values = JSON.parse(rows.get(rowKey(newest)) ?? '{}') as { readonly count_7d?: number };
    if (values.count_7d !== of.length) differ.push(`${account}: ${values.count_7d} of ${of.length}`);
  }
  return differ;
}

/** The registry's new home takes versions. */
async function promoteRegistry(region: Region): Promise<void> {
  await psql(region, 'mlflow', 'promote.sql', { publication: 'registry' });
  await psql(region, 'postgres', 'promote.sql', { publication: 'platform' });
  const said = await region.command('models', 'register', 'fraud_detector', MODEL);
  record(`the registry of the other region takes a version: ${said.trim().split('\n').at(-1)}`, /\b2\b/.test(said));
}

/** Servers and roles of the region that was killed start again on what they had on disk. */
async function comeBack(
  east: Site,
  west: Site,
  { lost, ofEast, ofWest }: Readonly<Record<'lost' | 'ofEast' | 'ofWest', readonly Accepted[]>>,
): Promise<void> {
  const { region } = east;
  for (const each of region.processes) await each.restart(0);
  await region.recovered();
  const all = [...ofEast, ...ofWest];
  const giveUpAt = Date.now() + CATCH_UP_MS;
  for (const site of [west, east]) {
    for (;;) {
      const recorded = await recordedEvents(site.region);
      if (all.every(({ id }) => recorded.has(id)) || Date.now() > giveUpAt) break;
      await sleep(2_000);
    }
  }
  const late = await recordedEvents(west.region);
  const arrived = lost.filter(({ id }) => late.has(id)).length;
  record(`${arrived} of ${lost.length} lost events arrive late, once the region is back`, arrived === lost.length);
  for (const site of [west, east]) {
    const missing = await eventsWithoutRow(site.region, all, MIRROR_STARTS_MS);
    const wrong = await countsThatDiffer(site.region, all);
    record(
      `${site.name}: ${all.length - missing.length} of ${all.length} events have their row, and counts of ${wrong.length} accounts differ`,
      missing.length === 0 && wrong.length === 0,
    );
  }
  await compareRows(east, west, all, lost);
}

/** Names lead to the region that was lost again, and events with them. */
async function failBack(
  east: Site,
  west: Site,
  {
    lost,
    quiet,
    send,
  }: {
    readonly lost: readonly Event[];
    readonly quiet: readonly Event[];
    readonly send: (events: readonly Event[]) => Promise<void>;
  },
): Promise<void> {
  const traffic = new AbortController();
  const events: Event[] = [];
  const sending = sendEvents(
    traffic.signal,
    async (batch) => {
      await send(batch);
      events.push(...batch);
    },
    'back',
  );
  await sleep((seconds * 1_000) / 3);
  traffic.abort();
  await sending;
  const [inEast, inWest] = [await missingIn(east), await missingIn(west)];
  record(
    `names lead back: ${events.length} events, of which ${inEast} have no row in east and ${inWest} none in west`,
    events.length > 0 && inEast + inWest === 0,
  );
  await compareRows(east, west, events, lost);
  const [ours, theirs] = [await answersOf(() => east, quiet), await answersOf(() => west, quiet)];
  const differing = ours.flatMap((answer, at) => differencesOf(answer, theirs[at] ?? {}));
  record(`both regions answer the same of ${ours.length} accounts`, differing.length === 0, ...differing);

  async function missingIn({ region }: Site): Promise<number> {
    return (await eventsWithoutRow(region, events, CATCH_UP_MS)).length;
  }
}

/** Rows have to be equal to the last digit; those of accounts of which an event was late, in each region another one, but for what depends on the order of additions. */
async function compareRows(east: Site, west: Site, events: readonly Event[], late: readonly Event[]): Promise<void> {
  const [ours, theirs] = [await featureRows(east.region), await featureRows(west.region)];
  const isLate = new Set(late.map(({ account }) => account));
  const valuesOf = (rows: Rows, event: Event): Record<string, unknown> => JSON.parse(rows.get(rowKey(event)) ?? '{}');
  const differences = (event: Event): readonly string[] =>
    differencesOf(valuesOf(ours, event), valuesOf(theirs, event), isLate.has(event.account) ? OF_SQUARES : undefined);
  const inOrder = events.filter(({ account }) => !isLate.has(account));
  const different = inOrder.filter((event) => differences(event).length > 0);
  record(
    `${inOrder.length - different.length} of ${inOrder.length} rows of accounts without a late event are equal in both regions, to the last digit`,
    different.length === 0,
    ...different.slice(0, SHOWN).map((event) => `${rowKey(event)}: ${differences(event).join('; ')}`),
  );
  const newest = new Map(events.map((event) => [event.account, event]));
  const compared = [...newest.values()].filter(({ account }) => isLate.has(account));
  if (compared.length === 0) return;
  const wrong = compared.filter((event) => differences(event).length > 0);
  record(
    `${compared.length - wrong.length} of ${compared.length} newest rows of accounts with a late event are equal, standard deviations within ${LAST_DIGITS} of themselves`,
    wrong.length === 0,
    ...wrong.slice(0, SHOWN).map((event) => `${rowKey(event)}: ${differences(event).join('; ')}`),
  );
}
