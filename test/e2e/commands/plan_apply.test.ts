import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { DAY_MS, HOUR_MS } from '#kernel/time';
import { commandEnvironment, runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';
import { ProjectCopy } from '../../support/platforms/project_copy.ts';

// A team changes its definitions: plan, apply beside a platform that runs, killed and resumed; then a change that breaks a model.

const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
const ACCOUNTS = 50;
const EVENTS = 20_000;
/** Of events of the history: one half from 5 days ago on, the other from 60 hours ago on, each of 28 hours. */
const timeOf = (nth: number): number =>
  NOW - (nth < EVENTS / 2 ? 5 * DAY_MS : 60 * HOUR_MS) + (nth % (EVENTS / 2)) * 10_000;
/** A snapshot of some entities takes more. */
const STATE_BYTES = 4_096;
let folder: string;
let project: ProjectCopy;
let platform: PlatformProcess | undefined;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'plan-apply-'));
  const build = join(folder, 'project');
  mkdirSync(build);
  project = new ProjectCopy(build);
});
afterAll(async () => {
  await platform?.terminate();
  rmSync(folder, { recursive: true, force: true });
});

const data = (): string => join(folder, 'data');
const headwater = (...args: readonly string[]) => runCommand(folder, args, project.env);
const start = () => PlatformProcess.start(data(), project.env);

const transaction = (id: string, account: string, atMs: number) => ({
  ...{ event_id: id, user_id: account, event_type: 'transaction', timestamp: new Date(atMs).toISOString() },
  ...{
    account_id: account,
    amount: 1,
    currency: 'EUR',
    merchant_id: 'm1',
    merchant_category: 'grocery',
    country: 'DE',
  },
});

interface Plan {
  readonly changes: readonly Readonly<Record<string, unknown>>[];
  readonly backfills: readonly Readonly<Record<string, unknown>>[];
  readonly refused_models: readonly { readonly model: string; readonly problems: readonly string[] }[];
  readonly breaking: boolean;
}
const planned = async (...args: readonly string[]): Promise<Plan & { readonly code: number }> => {
  const { code, stdout, stderr } = await headwater('plan', '--json', ...args);
  if (stdout === '') throw new Error(stderr);
  return { code, ...(JSON.parse(stdout) as Plan) };
};

async function featuresOf(account: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(`${platform?.urls.features}/features/${account}?entity=account`);
  if (!answer.ok) return {};
  const { features } = (await answer.json()) as { features: Record<string, { value: unknown }> };
  return Object.fromEntries(Object.entries(features).map(([name, { value }]) => [name, value]));
}

async function becomes(account: string, expected: Readonly<Record<string, unknown>>): Promise<void> {
  const seen = async () => {
    const features = await featuresOf(account);
    return Object.fromEntries(Object.keys(expected).map((name) => [name, features[name]]));
  };
  let last = await seen();
  for (let tries = 0; tries < 150 && JSON.stringify(last) !== JSON.stringify(expected); tries += 1) {
    await sleep(200);
    last = await seen();
  }
  expect(last).toEqual(expected);
}

const ingest = (event: object) =>
  fetch(`${platform?.urls.gateway}/ingest`, { method: 'POST', body: JSON.stringify(event) });

function spawnApply(...args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<unknown> } {
  const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), 'apply', ...args], {
    ...{ cwd: folder, env: commandEnvironment(folder, project.env), stdio: 'ignore' },
  });
  return { child, ended: new Promise((resolve) => child.once('exit', resolve)) };
}

const snapshots = (): readonly string[] => {
  const backfills = join(data(), 'backfills');
  if (!existsSync(backfills)) return [];
  return readdirSync(backfills).flatMap((name) =>
    readdirSync(join(backfills, name))
      .filter((file) => /^snapshot-\d+\.bin$/.test(file))
      .map((file) => join(backfills, name, file)),
  );
};

test('a new feature: planned, applied beside the platform, killed with -9, resumed, refused while another apply runs', async () => {
  platform = await start();
  await ingest(transaction('live', 'a0', NOW - HOUR_MS));
  await becomes('a0', { count_7d: 1 });
  const unchanged = await planned('--detailed-exitcode');
  expect(unchanged).toMatchObject({ code: 0, changes: [], backfills: [], breaking: false });

  project.edit('examples/fraud/features/fraud.ts', {
    "count().over('1h', '6h', '24h', '7d')": "count().over('1h', '6h', '24h', '3d', '7d')",
  });
  const history = join(folder, 'history');
  mkdirSync(history);
  for (let file = 0; file < 40; file += 1) {
    const rows = Array.from({ length: 500 }, (_, index) => {
      const nth = file * 500 + index;
      return transaction(`h${nth}`, `a${nth % ACCOUNTS}`, timeOf(nth));
    });
    writeFileSync(
      join(history, `${String(file).padStart(2, '0')}.jsonl`),
      rows.map((row) => `${JSON.stringify(row)}\n`).join(''),
    );
  }
  const inHistory = ['--in', 'history/*.jsonl'];
  // Beside the platform that runs, which has the definitions of before.
  const plan = await planned(...inHistory, '--detailed-exitcode');
  expect(plan.code).toBe(2);
  expect(plan.breaking).toBe(false);
  expect(plan.refused_models).toEqual([]);
  expect(plan.changes).toEqual([
    {
      ...{ kind: 'view', id: 'fraud@1', change: 'changed', breaking: false },
      ...{
        differences: ['feature count_3d of fraud@1 was added'],
        services: [],
        models: ['fraud_detector 1 (Production, @champion)'],
      },
    },
  ]);
  expect(plan.backfills).toMatchObject([
    {
      source: 'transactions',
      possible: true,
      from: expect.stringMatching(/40 files of history/),
      estimated_seconds: expect.any(Number),
    },
  ]);
  expect((await headwater('plan', ...inHistory)).stdout).toMatch(/~ view fraud@1: changed\n\s+feature count_3d/);
  await platform.terminate();
  platform = await start();

  const first = spawnApply(...inHistory);
  // On a slow machine the first snapshots are of before the first event.
  const sizes = () => snapshots().map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0);
  while (!sizes().some((size) => size > STATE_BYTES) && first.child.exitCode === null) await sleep(20);
  const second = await headwater('apply', ...inHistory);
  expect(second).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(`another headwater apply runs: process ${first.child.pid} on `),
  });
  first.child.kill('SIGKILL');
  await first.ended;
  expect((await planned(...inHistory)).changes).toHaveLength(1);
  const resumed = await headwater('apply', ...inHistory, '--json');
  expect(resumed).toMatchObject({ code: 0, stderr: expect.stringMatching(/resumed after|back-fill 1 of 1/) });
  const { backfills } = JSON.parse(resumed.stdout) as {
    backfills: { counts: Record<string, number>; state: string }[];
  };
  expect(backfills[0]?.counts.resumed_after).toBeGreaterThan(0);
  expect(backfills[0]?.state).toBe(`the stream has taken over the state of ${ACCOUNTS} entities`);
  expect(await planned('--detailed-exitcode')).toMatchObject({ code: 0, changes: [] });

  // Of the history one half is of the last three days; the first live event counts on from there.
  await ingest(transaction('live2', 'a0', NOW - HOUR_MS / 2));
  await becomes('a0', { count_3d: EVENTS / ACCOUNTS / 2 + 2, count_7d: EVENTS / ACCOUNTS + 2 });
}, 900_000);

test('a formula that a model was trained on: named as breaking, applied only with --yes, refused at start before', async () => {
  project.edit('examples/fraud/features/fraud.ts', {
    "count().over('1h', '6h', '24h', '7d')": "count().over('1h', '6h', '24h', '3d', '7d')",
    'numberOr0(row.count_24h) / 24)': 'numberOr0(row.count_24h) / 23)',
  });
  const plan = await planned();
  expect(plan).toMatchObject({ breaking: true, changes: [{ id: 'fraud@1', breaking: true }] });
  const [refused] = plan.refused_models;
  expect(refused?.model).toMatch(/^fraud_detector 1/);
  expect(refused?.problems.join()).toMatch(
    /feature velocity of fraud@1 has changed: its function was `.*\/ 24\).*`, is `.*\/ 23\)/,
  );
  const unconfirmed = await headwater('apply');
  expect(unconfirmed).toMatchObject({ code: 1, stderr: expect.stringMatching(/nothing was applied: .*--yes/) });
  expect((await planned()).changes).toHaveLength(1);
  await platform?.terminate();
  platform = undefined;
  await expect(start()).rejects.toThrow(/feature velocity of fraud@1 has changed.*headwater plan/);
  // Without a platform that runs.
  expect(await headwater('apply', '--yes')).toMatchObject({ code: 0 });
  expect(await planned('--detailed-exitcode')).toMatchObject({ code: 0, changes: [] });
  platform = await start();
}, 900_000);
