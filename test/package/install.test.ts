import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '#connectors/http/free_port';
import { installCommand, optionalPackages } from '#kernel/optional_package';
import { assetPath } from '#kernel/project_root';
import { packTree, progress, secondsSince, userEnvironment } from '#scripts/building/installed_package';

// From a tarball and an empty folder to a prediction, with what npm installs: nothing of the repository is in the project's reach.

const run = promisify(execFile);
let folder: string;
let tarball: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'installed-'));
  tarball = await packTree(assetPath(''), folder);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const env = userEnvironment as NodeJS.ProcessEnv;

const MOST_MEGABYTES = 500;
const MOST_PACKAGES = 420;

interface Installed {
  readonly megabytes: number;
  readonly packages: number;
}

const describe = ({ megabytes, packages }: Installed): string => `${megabytes} MB, ${packages} packages`;

async function installedIn(project: string): Promise<Installed> {
  const { stdout: size } = await run('du', ['-sm', 'node_modules'], { cwd: project });
  const { stdout: tree } = await run('npm', ['ls', '--all', '--parseable'], {
    ...{ cwd: project, env, maxBuffer: 2 ** 26 },
  }).catch((error: { stdout: string }) => error);
  return { megabytes: Number.parseInt(size, 10), packages: new Set(tree.trim().split('\n')).size - 1 };
}

async function prints(child: ChildProcess, pattern: RegExp): Promise<string> {
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += String(chunk);
    });
  for (let tries = 0; tries < 3_000; tries += 1) {
    if (pattern.test(output)) return output;
    if (child.exitCode !== null) break;
    await sleep(100);
  }
  throw new Error(`no ${pattern} in:\n${output}`);
}

test('init, npm install, types, tests, dev, an event, its features, a prediction', async () => {
  let at = performance.now();
  await run(
    'npm',
    [
      'exec',
      '--yes',
      '--ignore-scripts',
      `--package=${tarball}`,
      '--',
      'headwater',
      'init',
      'shop',
      '--template',
      'fraud',
    ],
    {
      ...{ cwd: folder, env, maxBuffer: 2 ** 26 },
    },
  );
  const project = join(folder, 'shop');
  const { dependencies } = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  expect(dependencies.headwater).toMatch(/^file:.*\.tgz$/);
  progress(`npm exec headwater init: ${secondsSince(at)}`);
  at = performance.now();
  await run('npm', ['install'], { cwd: project, env, maxBuffer: 2 ** 26 });
  progress(`npm install: ${secondsSince(at)}, ${describe(await installedIn(project))}`);
  for (const script of ['types', 'test']) {
    at = performance.now();
    await run('npm', ['run', script], { cwd: project, env, maxBuffer: 2 ** 26 });
    progress(`npm run ${script}: ${secondsSince(at)}`);
  }

  at = performance.now();
  const ports: Record<string, string> = {};
  for (const name of ['GATEWAY_PORT', 'PIPELINE_PORT', 'FEATURE_API_PORT', 'API_PORT', 'MONITOR_PORT']) {
    ports[name] = String(await freePort());
  }
  const dev = spawn(process.execPath, ['node_modules/headwater/dist/cli/headwater.js', 'dev'], {
    ...{ cwd: project, stdio: ['ignore', 'pipe', 'pipe'], env: { ...env, ...ports } },
  });
  try {
    await prints(dev, /^ready;/m);
    progress(`headwater dev is ready: ${secondsSince(at)}`);
    const readme = await readFile(join(project, 'README.md'), 'utf8');
    const [, body = ''] = /-d '(\{"event_id"[^\n]*\})'/.exec(readme) ?? [];
    const event = body.replace(/'\$\(date [^)]*\)'/, new Date().toISOString());
    const json = { method: 'POST', headers: { 'content-type': 'application/json' } };
    const posted = await fetch(`http://127.0.0.1:${ports.GATEWAY_PORT}/ingest`, { ...json, body: event });
    expect([posted.status, await posted.json()]).toEqual([202, { event_id: 'e1', status: 'accepted' }]);
    let features: Readonly<Record<string, { value: unknown }>> = {};
    for (let tries = 0; tries < 300 && features.count_1h === undefined; tries += 1) {
      const answer = await fetch(`http://127.0.0.1:${ports.FEATURE_API_PORT}/features/a1`);
      if (answer.ok) features = ((await answer.json()) as { features: typeof features }).features;
      else await sleep(100);
    }
    expect(features.count_1h?.value).toBe(1);
    const predicted = await fetch(`http://127.0.0.1:${ports.API_PORT}/predict`, {
      ...json,
      body: JSON.stringify({ entity_id: 'a1', model_name: 'fraud_detector' }),
    });
    expect([predicted.status, await predicted.json()]).toMatchObject([200, { prediction: expect.any(String) }]);
    // Commands beside it, as README and docs name them.
    const { stdout } = await run('npx', ['headwater', 'check', '--json'], { cwd: project, env: { ...env, ...ports } });
    expect((JSON.parse(stdout) as { passed: boolean }[]).filter(({ passed }) => !passed)).toEqual([]);
  } finally {
    dev.kill('SIGINT');
    if (dev.exitCode === null) await once(dev, 'exit');
  }

  // What production needs, and with everything that is optional.
  await run('npm', ['prune', '--omit=dev'], { cwd: project, env, maxBuffer: 2 ** 26 });
  const core = await installedIn(project);
  progress(`core, without development: ${describe(core)}`);
  expect(core.megabytes).toBeLessThanOrEqual(MOST_MEGABYTES);
  expect(core.packages).toBeLessThanOrEqual(MOST_PACKAGES);
  at = performance.now();
  const command = installCommand(Object.keys(optionalPackages())).split(' ').slice(1);
  await run('npm', [...command, '--omit=dev'], { cwd: project, env, maxBuffer: 2 ** 26 });
  const whole = await installedIn(project);
  progress(`with all optional packages: ${secondsSince(at)}, ${describe(whole)}`);
  expect(whole.packages).toBeGreaterThan(core.packages);
}, 1_200_000);
