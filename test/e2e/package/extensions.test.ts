import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath, projectRoot } from '#kernel/project_root';
import { type TestRow, writeTrainingSet } from '../../support/training_folder.ts';

// A project that adds one of each: routes of three roles, a broker, an online store, a trainer, and a training command.

const PROGRAM = assetPath('dist/cli/headwater.js');
const folder = mkdtempSync(join(tmpdir(), 'extensions-'));
const project = join(folder, 'guest');
const data = join(folder, 'data');
const ports = ['GATEWAY_PORT', 'PIPELINE_PORT', 'FEATURE_API_PORT', 'API_PORT', 'MONITOR_PORT'];
const env = {
  ...{ ...process.env, NODE_OPTIONS: '', HEADWATER_PROJECT: '', DATA_DIRECTORY: data, LOG_LEVEL: 'warn' },
  ...Object.fromEntries(ports.map((name) => [name, '0'])),
};
const run = (...args: string[]): Promise<{ stdout: string }> =>
  promisify(execFile)(process.execPath, [PROGRAM, ...args], { cwd: project, env, maxBuffer: 2 ** 26 });

beforeAll(async () => {
  await cp(assetPath('test/data/extensions'), project, { recursive: true });
  // As npm would install it.
  await mkdir(join(project, 'node_modules'));
  await symlink(projectRoot.replace(/\/$/, ''), join(project, 'node_modules/headwater'));
  for (const name of ['zod', '@duckdb'])
    await symlink(assetPath(`node_modules/${name}`), join(project, 'node_modules', name));
  await writeFile(join(project, 'package.json'), '{"name":"guest","type":"module","private":true}');
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

test('its extensions keep the contracts, which its own test runner runs', async () => {
  const { stdout } = await run('test');
  expect(stdout).toMatch(/^# fail 0$/m);
  const [, passed = '0'] = /^# pass (\d+)$/m.exec(stdout) ?? [];
  expect(Number(passed)).toBeGreaterThan(30);
}, 240_000);

function trainingSet(): string {
  const rows: TestRow[] = Array.from({ length: 300 }, (_, at) => {
    const spent = ((at * 37) % 100) / 2;
    return { label: spent > 25 ? 1 : 0, values: [spent / 2, 1, 1, spent] };
  });
  const columns = [
    ['last_amount', 'double'],
    ['purchases_1h', 'double'],
    ['purchases_24h', 'double'],
    ['spent_24h', 'double'],
  ] as const;
  const { directory } = writeTrainingSet(join(folder, 'training-set'), columns, rows);
  const file = join(directory, 'manifest.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as object;
  // Of the project's view; which definitions it was made with is not known.
  const positives = rows.filter(({ label }) => label === 1).length;
  const described = {
    ...manifest,
    ...{ format: 'headwater-training-set-2', service: { service: 'spending@1' }, labels: { source: 'churned' } },
    ...{ rows: rows.length, positives },
  };
  writeFileSync(file, JSON.stringify(described));
  return directory;
}

test('its trainers train, its broker and store carry events, and its routes answer', async () => {
  const set = trainingSet();
  const byCommand = await run('models', 'train', 'churn_by_command', '--training-set', set);
  expect(byCommand.stdout).toContain('trained on spent_24h');
  const written = readFileSync(join(data, 'training/churn_by_command/headwater.json'), 'utf8');
  expect(written).toContain('spending@1');
  expect(byCommand.stdout).toMatch(/judged on the newest 60 rows: .*auc/);
  const trained = await run('models', 'train', 'churn', '--training-set', set, '--register');
  expect(trained.stdout).toContain('300 steps on 240 rows');
  await run('models', 'promote', 'churn', '1');

  const platform = spawn(process.execPath, [PROGRAM, 'start'], {
    cwd: project,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const urls = await listening(platform);
    const post = async (url: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> => {
      const answer = await fetch(url, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    for (const [order, buyer, cents] of [
      ['o1', 'ann', 9_000],
      ['o2', 'bob', 150],
    ] as const) {
      const posted = await post(`${urls.gateway}/hooks/shop`, { order, buyer, cents });
      expect(posted).toEqual({ status: 202, body: { outcome: 'accepted' } });
    }
    // Checked by the schema of the route, and by that of the source.
    expect(await post(`${urls.gateway}/hooks/shop`, { order: 'o3', buyer: 'eve', cents: '1' })).toMatchObject({
      status: 400,
    });
    expect(await post(`${urls.gateway}/hooks/shop`, { order: 'o4', buyer: 'eve', cents: -1 })).toMatchObject({
      ...{ status: 400, body: { code: 'GATEWAY_INVALID_EVENT', fields: [{ field: 'amount' }] } },
    });
    let summary: Record<string, unknown> = {};
    for (let tries = 0; tries < 300 && summary.spent !== 90; tries += 1) {
      await sleep(50);
      summary = (await (await fetch(`${urls.features}/summaries/ann`)).json()) as typeof summary;
    }
    expect(summary).toEqual({ customer: 'ann', spent: 90 });
    const ranked = await post(`${urls.serving}/recommend`, { customers: ['bob', 'ann'] });
    expect(ranked).toMatchObject({
      status: 200,
      body: {
        ranked: [
          { customer: 'ann', modelVersion: 1, purchases: 1 },
          { customer: 'bob', modelVersion: 1, purchases: 1 },
        ],
      },
    });
    expect((await post(`${urls.serving}/recommend`, { customers: ['unknown'] })).status).toBe(404);
    expect((await post(`${urls.serving}/recommend`, { customers: [7] })).status).toBe(400);
    // Commands that load no definitions find the project's broker.
    const { stdout: lag } = await run('lag');
    expect(lag).toContain('raw-events');
    // What the stream wrote is in the project's offline store: commands reach it through the platform that runs.
    const known = JSON.parse((await run('entities', 'export', 'ann')).stdout) as object;
    const row = { table: 'feature_rows', entity_key: 'customer:ann', values: { spent_24h: 90 } };
    expect(known).toMatchObject({ places: { 'offline store': [row, { table: 'predictions' }] } });
  } finally {
    platform.kill('SIGINT');
    if (platform.exitCode === null) await once(platform, 'exit');
  }
  expect(existsSync(join(data, 'lines', 'raw-events'))).toBe(true);
  expect(readFileSync(join(data, 'rows.json'), 'utf8')).toContain('customer:ann');
  // Without a platform they open it themselves: history refills the online store, and leaves as files.
  await writeFile(join(data, 'rows.json'), '{"rows":[],"counters":[]}');
  await run('features', 'rebuild-online');
  expect(readFileSync(join(data, 'rows.json'), 'utf8')).toContain('customer:ann');
  const files = await run('features', 'export', '--view', 'spending@1', '--out', join(folder, 'rows'));
  expect(files.stdout).toContain('"rows":2');
}, 240_000);

async function listening(platform: ChildProcess): Promise<{ gateway: string; features: string; serving: string }> {
  let output = '';
  for (const stream of [platform.stdout, platform.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += String(chunk);
    });
  }
  for (let tries = 0; tries < 2_000 && !/^ready;/m.test(output); tries += 1) {
    if (platform.exitCode !== null) break;
    await sleep(50);
  }
  const url = (label: string): string => new RegExp(`^${label}\\s+(http\\S+)$`, 'm').exec(output)?.[1] ?? '';
  if (!/^ready;/m.test(output)) throw new Error(`the platform did not start:\n${output}`);
  return { gateway: url('ingestion gateway'), features: url('feature API'), serving: url('model serving') };
}

test.each([
  [
    'a connector that the project lacks',
    'use: lines',
    'use: linez',
    'broker.use: no extension is called "linez"; `connectors` in headwater.config.ts has lines',
  ],
  ['settings that its schema refuses', 'directory:', 'folder:', 'broker.settings.directory: '],
])(
  '%s is named',
  async (_, from, to, message) => {
    const file = join(project, 'configs/embedded.yaml');
    const before = readFileSync(file, 'utf8');
    await writeFile(file, before.replace(from, to));
    try {
      await expect(run('start', '--role', 'gateway')).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringContaining(message),
      });
    } finally {
      await writeFile(file, before);
    }
  },
  60_000,
);

test('a route without declared access, and a route that exists, end the start with the name of the plugin or route', async () => {
  const file = join(project, 'extensions/routes.ts');
  const before = readFileSync(file, 'utf8');
  try {
    await writeFile(file, before.replace("config: { access: needs('predict:churn') }, schema", 'schema'));
    await expect(run('start', '--role', 'serving')).rejects.toMatchObject({
      stderr: expect.stringContaining('POST /recommend: set config.access'),
    });
    await writeFile(file, before.replace("'/recommend'", "'/predict'"));
    await expect(run('start', '--role', 'serving')).rejects.toMatchObject({
      stderr: expect.stringContaining('plugin recommend cannot be registered'),
    });
  } finally {
    await writeFile(file, before);
  }
}, 60_000);
