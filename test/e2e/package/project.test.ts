import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { TEMPLATES } from '#cli/init/templates';
import { freePort } from '#connectors/http/free_port';
import { assetPath } from '#kernel/project_root';
import { byForm } from '../../support/jest/forms.ts';
import { commandEnvironment, runCommand } from '../../support/platforms/command_line.ts';

// A user's project, as `headwater init` writes it, with the package linked as npm would install it (test:package installs it for real).

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'init-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const PROGRAM = assetPath('dist/cli/headwater.js');

async function init(name: string, template: string): Promise<string> {
  const { code, stderr } = await runCommand(folder, ['init', name, '--template', template]);
  expect([code, stderr]).toEqual([0, '']);
  const project = join(folder, name);
  await mkdir(join(project, 'node_modules/@types'), { recursive: true });
  await symlink(assetPath('.'), join(project, 'node_modules/headwater'));
  for (const each of ['zod', '@types/node', 'undici-types']) {
    await symlink(assetPath(`node_modules/${each}`), join(project, 'node_modules', each));
  }
  return project;
}

const inProject = (project: string, ...args: readonly string[]) =>
  runCommand(project, args, { HEADWATER_PROJECT: project });

test.each(byForm<readonly string[]>({ short: ['minimal', 'fraud'], long: TEMPLATES }))(
  'the template %s compiles, its tests pass, and its definitions load',
  async (template) => {
    const project = await init(`app-${template}`, template);
    const tsc = spawn(process.execPath, [assetPath('node_modules/typescript/bin/tsc'), '-p', project], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let problems = '';
    tsc.stdout.on('data', (chunk: Buffer) => (problems += chunk.toString()));
    await once(tsc, 'close');
    expect(problems).toBe('');
    const tested = await inProject(project, 'test');
    expect([tested.code, tested.stdout]).toEqual([0, expect.stringMatching(/^# pass [1-9]/m)]);
    expect(await inProject(project, 'features', 'validate')).toMatchObject({ code: 0 });
  },
  120_000,
);

test('nothing is overwritten, and a folder whose name makes no name of a package is refused', async () => {
  const held = join(folder, 'held');
  await mkdir(held);
  await writeFile(join(held, 'notes.txt'), 'mine');
  expect(await runCommand(folder, ['init', 'held'])).toMatchObject({
    stderr: expect.stringMatching(/held is not empty \(notes\.txt\)/),
  });
  expect(await runCommand(folder, ['init', '__'])).toMatchObject({
    stderr: expect.stringMatching(/cannot be a package's name/),
  });
  const inner = join(folder, 'work/packages');
  await mkdir(inner, { recursive: true });
  await writeFile(join(folder, 'work/package.json'), '{"workspaces":["packages/*"]}');
  const { stdout } = await runCommand(inner, ['init', 'Ünser Shop 2']);
  expect(stdout).toMatch(/^unser-shop-2: [\s\S]*cd 'Ünser Shop 2'[\s\S]*package\.json is a root of workspaces/);
  expect(JSON.parse(await readFile(join(inner, 'Ünser Shop 2/package.json'), 'utf8')).name).toBe('unser-shop-2');
  const { stderr } = await runCommand(folder, ['init', 'ok', '--template', 'fraude']);
  expect(stderr).toMatch(/fraud/);
}, 60_000);

test('--deploy adds to a project what runs its image, keeps what was edited, and replaces it when forced', async () => {
  const deploy = (at: string, ...args: readonly string[]) => runCommand(at, ['init', '--deploy', ...args]);
  expect(await deploy(folder, 'k8s')).toMatchObject({ code: 2, stderr: expect.stringMatching(/no headwater\.config/) });
  const { code, stdout } = await runCommand(folder, ['init', 'shop', '--deploy', 'compose']);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/docker-compose\.prod\.yml[\s\S]*docker build -t shop/)]);
  const shop = join(folder, 'shop');
  const read = (path: string) => readFile(join(shop, path), 'utf8');
  expect(parse(await read('docker-compose.yml'), { merge: true })).toMatchObject({
    name: 'shop',
    services: { gateway: { image: expect.stringContaining('shop:latest'), build: { context: '.' } } },
  });

  await writeFile(join(shop, 'package.json'), JSON.stringify({ name: '@acme/shop.eu' }));
  const written = await deploy(shop, 'k8s');
  expect(written).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/ {2}k8s\/deploy\.sh\n/) });
  // Files of the repository that are no manifests stay there.
  expect(written.stdout).not.toMatch(/\.ts$|tests\//m);
  const production = 'k8s/overlays/production';
  expect(parse(await read(`${production}/kustomization.yaml`))).toMatchObject({
    images: [{ name: 'headwater', newName: 'registry.example.com/acme/shop.eu' }],
  });
  const config = await read(`${production}/config.yaml`);
  await writeFile(
    join(shop, `${production}/config.yaml`),
    config.replace('b-1.kafka.example.com', 'b-1.kafka.acme.eu'),
  );
  expect(await deploy(shop, 'k8s')).toMatchObject({
    stdout: expect.stringMatching(
      /nothing to write\nkept[^\n]*--force[^\n]*\n {2}Dockerfile\n {2}k8s\/overlays\/production\/config\.yaml\n/,
    ),
  });
  expect(await read(`${production}/config.yaml`)).toContain('b-1.kafka.acme.eu');
  expect(await deploy(shop, 'k8s', '--force')).toMatchObject({ code: 0, stdout: expect.not.stringContaining('kept') });
  expect(await read(`${production}/config.yaml`)).toBe(config);
  expect(await deploy(shop, 'k9s')).toMatchObject({ code: 2, stderr: expect.stringMatching(/k8s/) });
}, 60_000);

class Dev {
  output = '';
  readonly child: ChildProcess;
  constructor(project: string, env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, [PROGRAM, 'dev'], {
      ...{ cwd: project, stdio: ['ignore', 'pipe', 'pipe'] },
      env: { ...commandEnvironment(project, env), HEADWATER_PROJECT: '' },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    }
  }
  async prints(pattern: RegExp, from = 0): Promise<number> {
    for (let tries = 0; tries < 1_200; tries += 1) {
      if (pattern.test(this.output.slice(from))) return this.output.length;
      await sleep(100);
    }
    throw new Error(`no ${pattern} in:\n${this.output}`);
  }
}

test('dev: an event becomes a feature; an edited definition is served with the state of before; a mistake leaves what runs', async () => {
  const project = await init('app-dev', 'minimal');
  const names = ['GATEWAY_PORT', 'PIPELINE_PORT', 'FEATURE_API_PORT', 'API_PORT', 'MONITOR_PORT'];
  const ports: Record<string, string> = {};
  for (const name of names) ports[name] = String(await freePort());
  const dev = new Dev(project, ports);
  try {
    await dev.prints(/^ready;/m);
    const at0 = new Date().toISOString();
    const post = async (id: string, amount: number) => {
      const body = { event_type: 'purchase', purchase_id: id, customer_id: 'c1', amount, at: at0 };
      const answer = await fetch(`http://127.0.0.1:${ports.GATEWAY_PORT}/ingest`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      });
      return answer.status;
    };
    const features = async (): Promise<Readonly<Record<string, unknown>>> => {
      const answer = await fetch(`http://127.0.0.1:${ports.FEATURE_API_PORT}/features/c1`);
      if (!answer.ok) return {};
      const held = (await answer.json()) as { features: Record<string, { value: unknown }> };
      return Object.fromEntries(Object.entries(held.features).map(([name, { value }]) => [name, value]));
    };
    const become = async (expected: Readonly<Record<string, unknown>>): Promise<void> => {
      let seen: Readonly<Record<string, unknown>> = {};
      for (let tries = 0; tries < 300; tries += 1) {
        seen = await features();
        if (Object.entries(expected).every(([name, value]) => seen[name] === value)) return;
        await sleep(100);
      }
      expect(seen).toMatchObject(expected);
    };
    expect([await post('p1', 20), await post('p1', 20)]).toEqual([202, 200]);
    await become({ purchases_1h: 1, spent_24h: 20 });

    const file = join(project, 'features/purchases.ts');
    const source = await readFile(file, 'utf8');
    let at = dev.output.length;
    await writeFile(file, source.replace("over('24h', '7d')", "over('24h', '7d', '30d')"));
    at = await dev.prints(/reloaded in [\d.]+ s; state was kept/, at);
    await post('p2', 5);
    await become({ purchases_1h: 2, spent_24h: 25 });
    expect(await features()).toHaveProperty('spent_30d');

    await writeFile(file, source.replace("sum('amount'", "sum('amuont'"));
    at = await dev.prints(/features\/purchases\.ts[\s\S]*amuont[\s\S]*the definitions of before stay in use/, at);
    await post('p3', 1);
    await become({ purchases_1h: 3, spent_24h: 26 });
  } finally {
    dev.child.kill('SIGINT');
    if (dev.child.exitCode === null) await once(dev.child, 'exit');
  }
  expect(dev.child.exitCode).toBe(0);
}, 300_000);
