import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { packCommit, packTree, progress, runCommand, secondsSince } from '#scripts/building/installed_package';
import { PlatformProcess } from '../support/platforms/platform_process.ts';

// A project with the package of an earlier release writes state of every kind, installs this package as `npm install headwater@NEXT` does, and finds each value.

interface Release {
  readonly commit: string;
  readonly hasWorkflows: boolean;
}

/** Commits of this repository whose state this one reads, the oldest first. */
const RELEASES = JSON.parse(readFileSync(assetPath('test/data/previous_releases.json'), 'utf8')) as readonly Release[];
const ACCOUNTS = Array.from({ length: 20 }, (_, index) => `a${index}`);
const MARKER = 'measured';
/** Waits for the approval when the package is replaced. */
const WORKFLOW = `import { writeFileSync } from 'node:fs';
import { task, workflow } from 'headwater/workflows';

export const measure = task('measure', async (input: { rows: number }, context) => {
  context.log(\`measured \${input.rows} rows\`);
  return { rows: input.rows };
});
export const announce = task('announce', async () => {
  writeFileSync(\`\${process.env.HEADWATER_PROJECT}/${MARKER}\`, '');
  return { announced: true };
});
export const release = workflow<{ rows: number }>('release', (w) =>
  w.task('Measure', measure, { as: 'measured' }).task('Announce', announce, { as: 'announced' }).approval('Approve', { as: 'approval', timeoutSeconds: 86400 }),
);
`;

let folder: string;
let next: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'upgrade-'));
  next = await packTree(assetPath(''), folder);
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const json = { method: 'POST', headers: { 'content-type': 'application/json' } };

async function post(url: string, body: unknown): Promise<{ readonly status: number; readonly body: unknown }> {
  const answer = await fetch(url, { ...json, body: JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
}

async function until<T>(find: () => Promise<T>, isFound: (value: T) => boolean, tries = 1_200): Promise<T> {
  let value = await find();
  for (let tried = 0; tried < tries && !isFound(value); tried += 1) {
    await sleep(50);
    value = await find();
  }
  return value;
}

const transaction = (id: string, account: string, timestamp: string): Record<string, unknown> => ({
  ...{ event_id: `${id}-${account}`, user_id: 'u', event_type: 'transaction', account_id: account, timestamp },
  ...{ amount: 10.25, currency: 'EUR', merchant_id: 'm', merchant_category: 'travel', country: 'DE' },
});

/** Posts a transaction of each account and returns the statuses that occurred. */
async function spend(platform: PlatformProcess, id: string, timestamp: string): Promise<readonly number[]> {
  const statuses = new Set<number>();
  for (const account of ACCOUNTS) {
    statuses.add((await post(`${platform.urls.gateway}/ingest`, transaction(id, account, timestamp))).status);
  }
  return [...statuses];
}

type Values = Readonly<Record<string, unknown>>;

/** Returns the values of an account's features; undefined while it has none. */
async function featuresOf(platform: PlatformProcess, account: string): Promise<Values | undefined> {
  const answer = await fetch(`${platform.urls.features}/features/${account}`);
  if (!answer.ok) return undefined;
  const { features } = (await answer.json()) as { features: Readonly<Record<string, { readonly value: unknown }>> };
  return Object.fromEntries(Object.entries(features).map(([name, { value }]) => [name, value]));
}

async function allFeatures(platform: PlatformProcess, count: number): Promise<Readonly<Record<string, Values>>> {
  const found: Record<string, Values> = {};
  for (const account of ACCOUNTS) {
    const values = await until(
      () => featuresOf(platform, account),
      (values) => values?.count_7d === count,
    );
    expect([account, values?.count_7d]).toEqual([account, count]);
    found[account] = values as Values;
  }
  return found;
}

/** A project with a package in it, and the state that both releases share. */
class Project {
  readonly folder: string;
  readonly data: string;
  readonly #program: string;

  constructor(project: string) {
    this.folder = project;
    this.data = join(project, '.headwater', 'embedded');
    this.#program = join(project, 'node_modules/headwater/dist/cli/headwater.js');
  }

  get #env(): Record<string, string> {
    return { HEADWATER_PROJECT: this.folder, DATA_DIRECTORY: this.data, LOG_LEVEL: 'warn' };
  }

  start(): Promise<PlatformProcess> {
    return PlatformProcess.start(this.data, this.#env, this.#program);
  }

  headwater(...args: string[]): Promise<string> {
    return runCommand(process.execPath, [this.#program, ...args], { cwd: this.folder, env: this.#env });
  }

  async lines(...args: string[]): Promise<readonly unknown[]> {
    const printed = (await this.headwater(...args, '--json')).trim();
    if (printed.startsWith('[')) return JSON.parse(printed) as readonly unknown[];
    // The releases before printed lines.
    return printed === '' ? [] : printed.split('\n').map((line) => JSON.parse(line) as unknown);
  }

  /** Reads what is in files and databases while no platform runs. */
  async state({ hasWorkflows }: Release, set: string): Promise<Readonly<Record<string, unknown>>> {
    await this.headwater('training-set', '--each', 'row', '--service', 'fraud@1', '--out', join(this.folder, set));
    const history = readFileSync(join(this.folder, set, 'data.csv'), 'utf8')
      .trim()
      .split('\n');
    return {
      history: [history[0], ...history.slice(1).sort()],
      predictions: await this.lines('predictions'),
      models: await this.lines('models', 'list'),
      deadLetters: await this.lines('dlq', 'list'),
      keys: await this.lines('keys', 'list'),
      ...(hasWorkflows
        ? {
            runs: await this.lines('workflows', 'list'),
            events: await this.lines('workflows', 'history', 'r1'),
            logs: await this.lines('workflows', 'logs', 'r1'),
          }
        : {}),
    };
  }
}

test.each(RELEASES)(
  'state of the release $commit is read by this one',
  async (release) => {
    const name = release.commit.slice(0, 7);
    const previous = await packCommit(release.commit);
    const home = join(folder, name, 'shop');
    await mkdir(join(folder, name));
    // One installation: a project of the release itself, with the packages that its tarball brings.
    const packages = join(folder, name, 'packages');
    await mkdir(packages);
    await writeFile(join(packages, 'package.json'), '{"private":true,"type":"module"}');
    await writeFile(join(packages, '.npmrc'), 'onnxruntime-node-install=skip\n');
    await runCommand('npm', ['install', previous], { cwd: packages, as: `${name}: npm install of the release` });
    const program = join(packages, 'node_modules/headwater/dist/cli/headwater.js');
    const init = ['init', home, '--template', 'fraud', '--headwater', `file:${previous}`];
    await runCommand(process.execPath, [program, ...init], { cwd: packages, as: `${name}: init` });
    await rename(join(packages, 'node_modules'), join(home, 'node_modules'));
    const project = new Project(home);
    if (release.hasWorkflows) {
      await mkdir(join(home, 'workflows'));
      await writeFile(join(home, 'workflows/release.ts'), WORKFLOW);
      await project.headwater('workflows', 'run', 'release', '--id', 'r1', '--input', '{"rows": 7}', '--by', 'ann');
    }

    let at = performance.now();
    const firstAt = new Date().toISOString();
    const old = await project.start();
    let online: Readonly<Record<string, Values>>;
    let predicted: unknown;
    const fraud = { entity_id: 'a1', model_name: 'fraud_detector', return_probabilities: true };
    try {
      expect(await spend(old, 'first', firstAt)).toEqual([202]);
      expect(
        (await post(`${old.urls.gateway}/ingest`, { ...transaction('bad', 'a1', firstAt), amount: 'much' })).status,
      ).toBe(400);
      online = await allFeatures(old, 1);
      expect(await post(`${old.urls.features}/counters/a1/logins`, { by: 3 })).toMatchObject({
        status: 200,
        body: { value: 3 },
      });
      predicted = (await post(`${old.urls.serving}/predict`, fraud)).body;
      expect(predicted).toMatchObject({ prediction: expect.any(String), model_version: 1 });
      const marker = async (): Promise<boolean> => existsSync(join(home, MARKER));
      if (release.hasWorkflows) expect(await until(marker, Boolean)).toBe(true);
    } finally {
      expect(await old.terminate()).toBe(0);
    }
    await project.headwater(
      'keys',
      'create',
      'reader',
      '--scope',
      'features',
      '--file',
      join(project.data, 'keys.json'),
    );
    const before = await project.state(release, 'set-before');
    expect(before.history).toHaveLength(1 + ACCOUNTS.length);
    for (const kind of ['predictions', 'models', 'deadLetters', 'keys'])
      expect([kind, before[kind]]).toEqual([kind, [expect.anything()]]);
    if (release.hasWorkflows)
      expect(before.runs).toMatchObject([{ id: 'r1', status: 'running', at: [{ state: 'Approve' }] }]);
    progress(`${name}: state written and read in ${secondsSince(at)}`);

    await runCommand('npm', ['install', next, '--omit=dev'], { cwd: home, as: `${name}: npm install of this release` });
    at = performance.now();
    // Files and databases, read before the first start and without one.
    const after = await project.state(release, 'set-after');
    expect(after).toMatchObject(before);
    expect(after.history).toEqual(before.history);
    await project.headwater('log', 'verify');
    if (release.hasWorkflows)
      await project.headwater('workflows', 'approve', 'r1', '--reason', 'measured', '--by', 'ben');
    await rm(join(project.data, 'keys.json'));
    const plan = JSON.parse(await project.headwater('plan', '--json')) as Readonly<Record<string, unknown>>;
    progress(`${name}: plan after the upgrade: ${JSON.stringify(plan).slice(0, 600)}`);

    const now = await project.start();
    try {
      expect(await allFeatures(now, 1)).toEqual(online);
      expect(await post(`${now.urls.features}/counters/a1/logins`, { by: 2 })).toMatchObject({
        status: 200,
        body: { value: 5 },
      });
      const { prediction, probabilities, model_version: version } = predicted as Values;
      const again = (await post(`${now.urls.serving}/predict`, fraud)).body;
      expect(again).toMatchObject({ prediction, probabilities, model_version: version });
      // The same events again are repetitions, at the gateway or in the pipeline; the state of windows continues with new ones.
      for (const status of await spend(now, 'first', firstAt)) expect([200, 202]).toContain(status);
      expect(await spend(now, 'second', new Date().toISOString())).toEqual([202]);
      const counted = await allFeatures(now, 2);
      expect(Object.values(counted).map(({ sum_amount_7d: sum }) => sum)).toEqual(ACCOUNTS.map(() => 20.5));
    } finally {
      expect(await now.terminate()).toBe(0);
    }
    const last = await project.state(release, 'set-last');
    expect(last.history).toHaveLength(1 + 2 * ACCOUNTS.length);
    expect(last.history).toEqual(expect.arrayContaining(before.history as unknown[]));
    expect(last.predictions).toMatchObject([{}, ...(before.predictions as object[])]);
    if (release.hasWorkflows) expect(last.runs).toMatchObject([{ id: 'r1', status: 'succeeded' }]);
    progress(`${name}: every value found again, and counted on, in ${secondsSince(at)}`);
  },
  1_800_000,
);
