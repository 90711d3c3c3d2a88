import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { PORTS, ROLES, type Role } from '#cli/terminal/choices';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { assetPath } from '#kernel/project_root';
import { Random } from '#kernel/random';
import { DASHBOARDS } from '#monitoring/grafana/dashboards';
import { type Stack, startStack } from '#scripts/services/stack';
import { runCommand } from '../support/platforms/command_line.ts';
import { PlatformProcess, type PlatformUrls } from '../support/platforms/platform_process.ts';
import { trainingLikeRow } from '../support/training_like_rows.ts';
import { type AlertStack, EVALUATION_MS, startAlertStack } from './alert_stack.ts';

// Every role a process of its own, on real servers, watched by a real Prometheus and a real Alertmanager with the repository's rules and routes.

let folder: string;
let stack: Stack;
let alerts: AlertStack;
const processes = {} as Record<Role, PlatformProcess>;
let accounts: readonly string[];
const random = new Random(11);
/** Work that goes on until the tests end. */
let isOver = false;
const working: Promise<void>[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'alerts-'));
  stack = await startStack(folder);
  await runCommand(
    folder,
    ['models', 'register', 'fraud_detector', assetPath('examples/fraud/models/fraud_detector')],
    stack.env,
  );
  await runCommand(folder, ['models', 'promote', 'fraud_detector', '1', '--force'], stack.env);
  for (const role of ROLES) processes[role] = await startRole(role);
  const urls = Object.fromEntries(ROLES.map((role) => [role, urlOf(role)]));
  mkdirSync(join(folder, 'alerts'));
  alerts = await startAlertStack(join(folder, 'alerts'), urls);
  beginTraffic();
}, 300_000);
afterAll(async () => {
  isOver = true;
  await Promise.all(working);
  await alerts?.stop();
  for (const role of ROLES) await processes[role]?.kill();
  await stack?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const startRole = (role: Role): Promise<PlatformProcess> =>
  PlatformProcess.start(join(folder, role), { ...stack.env, ROLES: role, MONITOR_EVERY: '3s', ...portOf(role) });
/** A role that is started again is where it was. */
const portOf = (role: Role): Record<string, string> => {
  const before = processes[role];
  return before === undefined ? {} : { [PORTS[role].variable]: new URL(before.urls[role as keyof PlatformUrls]).port };
};
const urlOf = (role: Role): string => processes[role].urls[role];

const post = (url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response | undefined> =>
  fetch(url, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json', ...headers } },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }).catch(() => undefined);

/** Events, reads and predictions as on any day. */
function beginTraffic(): void {
  const again = async (everyMs: number, work: (index: number) => Promise<unknown>): Promise<void> => {
    for (let index = 0; !isOver; index += 1) {
      await work(index);
      await sleep(everyMs);
    }
  };
  const events = generateTransactions({ seed: 1, events: 5_000, accounts: 50, days: 1, endMs: Date.now() })
    .filter(({ arrival }) => arrival !== 'invalid')
    .map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  accounts = [...new Set(events.map(({ account_id: id }) => id as string))];
  const eventOf = (index: number) => {
    const now = { event_id: `event-${index}`, timestamp: new Date().toISOString() };
    return { ...events[index % events.length], ...now };
  };
  const account = (index: number): string => accounts[index % accounts.length] as string;
  working.push(
    again(10, (index) => post(`${urlOf('gateway')}/ingest`, eventOf(index))),
    again(50, (index) => fetch(`${urlOf('features')}/features/${account(index >> 3)}`).catch(() => {})),
    again(1_000, (index) =>
      post(`${urlOf('serving')}/predict`, { model_name: 'fraud_detector', entity_id: account(index) }),
    ),
    again(5, () =>
      post(`${urlOf('serving')}/predict`, { model_name: 'fraud_detector', features: trainingLikeRow(random) }),
    ),
  );
}

/** @returns how long it took, ms */
async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs: number): Promise<number> {
  const beganMs = Date.now();
  while (!(await holds())) {
    if (Date.now() - beganMs > withinMs) throw new Error(`${what}: not within ${withinMs} ms`);
    await sleep(100);
  }
  return Date.now() - beganMs;
}

/** What is only worth knowing may be so after minutes that were made seconds. */
const firing = async (): Promise<readonly string[]> =>
  (await alerts.query('ALERTS{alertstate="firing", severity!="info"}')).map(({ metric }) => metric.alertname as string);

/** Between a fault and what is told of it lie a scrape and the time that alerts are gathered for, besides evaluations. */
const BESIDES_MS = 4_000;

/** Does what is wrong until somebody is told. @returns in how many evaluations that was */
async function raise(alert: string, fault: () => Promise<unknown>, withinMs: number): Promise<number> {
  const beganMs = Date.now();
  let raisedMs: number | undefined;
  while (raisedMs === undefined) {
    if (Date.now() - beganMs > withinMs) throw new Error(`${alert} did not fire within ${withinMs} ms`);
    await fault();
    await sleep(20);
    raisedMs = alerts.toldOf(alert, 'firing')[0]?.atMs;
  }
  const tookMs = raisedMs - beganMs;
  const evaluations = (tookMs - BESIDES_MS) / EVALUATION_MS;
  process.stdout.write(`${alert}: told ${tookMs} ms after its fault began; ${evaluations.toFixed(1)} evaluations\n`);
  return evaluations;
}

const over = async (alert: string, withinMs = 60_000): Promise<void> => {
  const tookMs = await until(`${alert} is over`, () => alerts.toldOf(alert, 'resolved').length > 0, withinMs);
  process.stdout.write(`${alert}: told to be over ${tookMs} ms after its fault ended\n`);
};

const told = (alert: string) => [...new Set(alerts.toldOf(alert, 'firing').map(({ by }) => by))].sort();

/** Panels whose queries are not answered with data. */
async function emptyPanels(): Promise<readonly string[]> {
  const empty: string[] = [];
  for (const { title, rows } of DASHBOARDS) {
    for (const { title: panel, queries } of rows.flatMap(({ panels }) => panels)) {
      for (const { expr, mayBeEmpty = false } of queries) {
        const found = await alerts.query(expr.replaceAll('[5m]', '[10s]'));
        if (found.length === 0 && !mayBeEmpty) empty.push(`${title}: ${panel}: ${expr}`);
      }
    }
  }
  return empty;
}

test('every role is scraped; what dashboards ask is answered; nothing is wrong', async () => {
  await until('drift is looked at', async () => (await alerts.query('monitored_rows')).length > 0, 90_000);
  await until(
    'each role is scraped',
    async () => (await alerts.targets()).every(({ health }) => health === 'up'),
    20_000,
  );
  const targets = await alerts.targets();
  expect(targets.map(({ job }) => job).sort()).toEqual([...ROLES].sort());
  // A rate takes two scrapes, and what rules record an evaluation.
  let empty = await emptyPanels();
  for (const giveUpAtMs = Date.now() + 60_000; empty.length > 0 && Date.now() < giveUpAtMs; ) {
    await sleep(1_000);
    empty = await emptyPanels();
  }
  expect(empty).toEqual([]);
  expect(await firing()).toEqual([]);
  // What the first of the platform's ancestors asked.
  for (const expr of [
    'sum(rate(events_processed_total[10s]))',
    'histogram_quantile(0.95, sum by (le) (rate(feature_computation_seconds_bucket[10s])))',
    'sum(rate(cache_hits_total[10s])) / (sum(rate(cache_hits_total[10s])) + sum(rate(cache_misses_total[10s])))',
  ]) {
    expect((await alerts.query(expr))[0]?.value).toBeGreaterThan(0);
  }
}, 180_000);

test('events that nobody can use are told to the data team, by mail and chat', async () => {
  const bad = () => post(`${urlOf('gateway')}/ingest`, '{"event_id": "x"}');
  expect(await raise('DeadLetterBurst', bad, 30_000)).toBeLessThan(2);
  await until('both ways', () => told('DeadLetterBurst').length === 2, 10_000);
  expect(told('DeadLetterBurst')).toEqual(['/slack', 'mail']);
  await over('DeadLetterBurst');
}, 120_000);

test('requests that fail wake somebody: a webhook and a message to telephones', async () => {
  const late = { 'x-request-timeout-ms': '0.001' };
  const body = { model_name: 'fraud_detector', features: trainingLikeRow(random) };
  const fail = () => post(`${urlOf('serving')}/predict`, body, late);
  expect(await raise('ErrorBudgetBurnsFast', fail, 30_000)).toBeLessThan(2);
  await until('both ways', () => told('ErrorBudgetBurnsFast').length === 2, 10_000);
  expect(told('ErrorBudgetBurnsFast')).toEqual(['/sns', '/webhook']);
  // What follows from it is not told beside it.
  expect(alerts.toldOf('ErrorBudgetBurnsSlowly', 'firing')).toEqual([]);
  await over('ErrorBudgetBurnsFast', 90_000);
}, 180_000);

test('inputs that drift are told to the model team', async () => {
  const shifted = () => ({ ...trainingLikeRow(random), amount: 5_000 + random.next() * 1_000 });
  const predict = (rows: number, row: () => object) =>
    post(`${urlOf('serving')}/predict/batch`, {
      model_name: 'fraud_detector',
      instances: Array.from({ length: rows }, row),
    });
  const usual = () => trainingLikeRow(random);
  await predict(1_500, shifted);
  await raise('InputsDrifted', () => sleep(100), 60_000);
  expect(alerts.toldOf('InputsDrifted', 'firing')[0]?.text).toMatch(/1 columns of fraud_detector 1/);
  // Enough others, and the window is as in training again.
  for (let batch = 0; batch < 60; batch += 1) await predict(2_000, usual);
  for (let round = 0; round < 30 && alerts.toldOf('InputsDrifted', 'resolved').length === 0; round += 1) {
    await predict(2_000, usual);
    await sleep(2_000);
  }
  await over('InputsDrifted', 10_000);
}, 240_000);

test('a pipeline that cannot write lags, and is stalled: told once PostgreSQL is away, over when it is back', async () => {
  const back = stack.servers.postgres.restart(25_000);
  await raise('PipelineStalled', () => sleep(200), 40_000);
  await back;
  await over('PipelineStalled', 90_000);
}, 200_000);

test('a process that is gone is told, and is over when it is back', async () => {
  await processes.features.kill();
  await raise('ServiceDown', () => sleep(200), 30_000);
  expect(alerts.toldOf('ServiceDown', 'firing')[0]?.text).toMatch(/features/);
  processes.features = await startRole('features');
  await over('ServiceDown');
}, 120_000);
