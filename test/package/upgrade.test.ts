import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { PlatformProcess } from '../support/platform_process.ts';

// State that the release before has written is used by this one: snapshots, both stores, the log, the registry, and a project's own files.

const run = promisify(execFile);
const PREVIOUS = readFileSync(assetPath('test/data/previous_release.txt'), 'utf8').trim();
const ACCOUNTS = 20;
let folder: string;
let project: string;
const data = (): string => join(folder, 'data');

/** Packs a source tree as npm would, and unpacks it as npm would install it, beside the packages of this workspace. */
async function installed(source: string, name: string): Promise<string> {
  const packing = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const { stdout } = await run('npm', packing, { cwd: source, maxBuffer: 2 ** 26 });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  const to = join(folder, name, 'node_modules', 'headwater');
  await mkdir(to, { recursive: true });
  await run('tar', ['-xzf', join(folder, filename), '-C', to, '--strip-components=1']);
  await symlink(assetPath('node_modules'), join(to, 'node_modules'));
  return join(to, 'dist/cli/headwater.js');
}

let before: string;
let after: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'upgrade-'));
  project = join(folder, 'shop');
  const source = join(folder, 'source');
  await mkdir(source);
  await run('bash', ['-c', `git archive ${PREVIOUS} | tar -x -C ${source}`], { cwd: assetPath('') });
  await symlink(assetPath('node_modules'), join(source, 'node_modules'));
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { cwd: source });
  await run(process.execPath, ['dist/scripts/copy_templates.js'], { cwd: source });
  before = await installed(source, 'before');
  after = await installed(assetPath(''), 'after');
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const env = (): Record<string, string> => ({ HEADWATER_PROJECT: project, DATA_DIRECTORY: data() });
const headwater = (program: string, ...args: string[]): Promise<{ stdout: string }> =>
  run(process.execPath, [program, ...args], { cwd: folder, env: { ...process.env, NODE_OPTIONS: '', ...env() } });

const json = { method: 'POST', headers: { 'content-type': 'application/json' } };

async function spend(platform: PlatformProcess, id: string): Promise<void> {
  for (let account = 0; account < ACCOUNTS; account += 1) {
    const body = JSON.stringify({
      ...{ event_id: `${id}-${account}`, user_id: 'u', event_type: 'transaction', account_id: `a${account}` },
      ...{ timestamp: new Date().toISOString(), amount: 10, currency: 'EUR', merchant_id: 'm' },
      ...{ merchant_category: 'travel', country: 'DE' },
    });
    const answer = await fetch(`${platform.urls.gateway}/ingest`, { ...json, body });
    expect(answer.status).toBe(202);
  }
}

/** Waits until each account has so many transactions of the last hour. */
async function counted(platform: PlatformProcess, count: number): Promise<void> {
  for (let account = 0; account < ACCOUNTS; account += 1) {
    let found: unknown;
    for (let tries = 0; tries < 400 && found !== count; tries += 1) {
      const answer = await fetch(`${platform.urls.features}/features/a${account}`);
      const { features } = (await answer.json()) as { features?: { count_1h?: { value: unknown } } };
      found = features?.count_1h?.value;
      if (found !== count) await sleep(50);
    }
    expect([account, found]).toEqual([account, count]);
  }
}

async function predicted(platform: PlatformProcess): Promise<unknown> {
  const body = JSON.stringify({ entity_id: 'a1', model_name: 'fraud_detector', return_probabilities: true });
  const answer = await fetch(`${platform.urls.serving}/predict`, { ...json, body });
  const { prediction, model_version: version } = (await answer.json()) as Record<string, unknown>;
  return { status: answer.status, prediction, version };
}

test('what the previous release has written is counted on, read and served by this one', async () => {
  await run(process.execPath, [before, 'init', project, '--template', 'fraud'], {
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  await symlink(join(folder, 'before', 'node_modules'), join(project, 'node_modules'));
  const old = await PlatformProcess.start(data(), env(), before);
  let first: unknown;
  try {
    await spend(old, 'first');
    await counted(old, 1);
    first = await predicted(old);
    expect(first).toMatchObject({ status: 200, version: 1 });
  } finally {
    expect(await old.terminate()).toBe(0);
  }

  // As `npm install headwater@NEXT` does it.
  await rm(join(project, 'node_modules'));
  await symlink(join(folder, 'after', 'node_modules'), join(project, 'node_modules'));
  const { stdout: plan } = await headwater(after, 'plan');
  process.stdout.write(`headwater plan after the upgrade:\n${plan}\n`);
  expect(plan).not.toMatch(/\b(new state|refused|cannot)\b/);
  const now = await PlatformProcess.start(data(), env(), after);
  try {
    expect(await predicted(now)).toEqual(first);
    await counted(now, 1);
    // An id that the previous release has taken in is still a repetition for the pipeline; state goes on from where it was.
    await spend(now, 'second');
    await counted(now, 2);
  } finally {
    expect(await now.terminate()).toBe(0);
  }
}, 600_000);
