import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { freePort } from '#connectors/http/free_port';
import { assetPath } from '#kernel/project_root';
import { packTree, progress, runCommand, secondsSince, userEnvironment } from '#scripts/building/installed_package';

// Follows pages of docs/ as a reader does: writes each file and runs each command of the page, in order, in an empty folder, with the tarball as the package.

type Step =
  | { readonly kind: 'file'; readonly path: string; readonly content: string }
  | { readonly kind: 'run' | 'background'; readonly commands: readonly string[] };

/** Returns every code block of a page as a step. A block that is neither file nor command cannot be followed. */
function stepsOf(page: string): readonly Step[] {
  return [...page.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map(([, info = '', content = '']) => {
    const [, path] = /^\w+ file=(\S+)$/.exec(info) ?? [];
    if (path !== undefined) return { kind: 'file', path, content };
    const commands = content.trim().split('\n');
    if (info === 'bash') return { kind: 'run', commands };
    if (info === 'bash background') return { kind: 'background', commands };
    throw new Error(`the block "${info}" is neither a file nor a command:\n${content}`);
  });
}

/** Settings of ports, and the ports that the page names. */
const PORTS = { GATEWAY_PORT: 8080, FEATURE_API_PORT: 8083, API_PORT: 8000, PIPELINE_PORT: 8082, MONITOR_PORT: 8084 };

let folder: string;
let tarball: string;
let platform: ChildProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tutorial-'));
  tarball = await packTree(assetPath(''), join(folder, 'registry'));
}, 300_000);
afterEach(async () => {
  if (platform?.pid !== undefined && platform.exitCode === null) {
    process.kill(-platform.pid, 'SIGINT');
    await once(platform, 'exit');
  }
}, 60_000);
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
}, 60_000);

/** Starts a command that stays up, and returns when it is ready. */
async function startInBackground(command: string, cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  const startedMs = performance.now();
  platform = spawn('bash', ['-c', `exec ${command}`], {
    ...{ cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  });
  let output = '';
  for (const stream of [platform.stdout, platform.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += String(chunk);
    });
  }
  for (let tries = 0; tries < 6_000 && !/^ready;/m.test(output) && platform.exitCode === null; tries += 1)
    await sleep(100);
  expect(output).toMatch(/^ready;/m);
  progress(`${command}: ready in ${secondsSince(startedMs)}`);
}

interface Followed {
  /** What each command has printed. */
  readonly printed: ReadonlyMap<string, string>;
  answerOf(part: string): Record<string, unknown>;
}

/** Follows pages in an empty folder, and stops what they have started. */
async function follow(name: string, pages: readonly string[]): Promise<Followed> {
  const steps = pages.flatMap((page) => stepsOf(readFileSync(assetPath(`docs/${page}.md`), 'utf8')));
  const ports = new Map<string, string>();
  for (const name of Object.keys(PORTS)) ports.set(name, String(await freePort()));
  const env = { ...userEnvironment, ...Object.fromEntries(ports) } as NodeJS.ProcessEnv;
  /** The tarball instead of the registry's package, and free ports instead of the usual ones; nothing else of the page is changed. */
  const adapted = (command: string): string =>
    Object.entries(PORTS).reduce(
      (changed, [name, port]) => changed.replaceAll(`localhost:${port}`, `127.0.0.1:${ports.get(name)}`),
      command.replace('--package=headwater ', `--package=${tarball} `),
    );
  let cwd = join(folder, name);
  await mkdir(cwd);
  const printed = new Map<string, string>();
  for (const step of steps) {
    if (step.kind === 'file') {
      expect([step.path, isAbsolute(step.path) || normalize(step.path).startsWith('..')]).toEqual([step.path, false]);
      await mkdir(dirname(join(cwd, step.path)), { recursive: true });
      await writeFile(join(cwd, step.path), step.content);
      continue;
    }
    for (const command of step.commands) {
      const [, changed] = /^cd (\S+)$/.exec(command) ?? [];
      if (changed !== undefined) cwd = join(cwd, changed);
      else if (step.kind === 'background') await startInBackground(adapted(command), cwd, env);
      else
        printed.set(
          command,
          await runCommand('bash', ['-c', adapted(command)], { cwd, env, as: command.slice(0, 110) }),
        );
    }
  }
  const answerOf = (part: string): Record<string, unknown> => {
    const command = [...printed.keys()].find((each) => each.includes(part));
    expect([part, command]).toEqual([part, expect.any(String)]);
    return JSON.parse(printed.get(command as string) as string) as Record<string, unknown>;
  };
  return { printed, answerOf };
}

test('the tutorial leads from an empty folder to a prediction by entity', async () => {
  const { printed, answerOf } = await follow('tutorial', ['tutorial']);
  expect(printed.get('node prepare.mjs')).toMatch(/^10000 flights, 7900 labels$/m);
  expect(answerOf('/ingest/batch')).toMatchObject({ accepted: 100 });
  const { features } = answerOf('/features/ATL') as { features: Record<string, { readonly value: unknown }> };
  expect(features.flights_7d?.value).toBeGreaterThan(10);
  const { prediction, probabilities, ...predicted } = answerOf('/predict') as {
    readonly prediction: string;
    readonly probabilities: Readonly<Record<string, number>>;
  };
  progress(`prediction for ATL: ${JSON.stringify({ prediction, probabilities })}`);
  expect(['on_time', 'late']).toContain(prediction);
  expect(Object.keys(probabilities).sort()).toEqual(['late', 'on_time']);
  expect(predicted).toMatchObject({ model_name: 'late', model_version: 1 });
}, 1_800_000);

test('the quick start and the how-tos that need no servers lead where they say', async () => {
  const pages = ['quick_start', 'how_to/find_why_a_value', 'how_to/erase_a_user', 'how_to/add_a_feature'];
  const { printed, answerOf } = await follow('quick_start', pages);
  const { features } = answerOf('/features/c1') as { features: Record<string, { readonly value: unknown }> };
  expect(features.purchases_1h?.value).toBe(1);
  expect(answerOf('purchases_1h --json')).toMatchObject({ equal: true });
  expect(printed.get('npx headwater features show purchase_size@1')).toContain('mean_amount_7d');
  expect(printed.get('npx headwater plan')).toContain('purchase_size@1');
}, 900_000);
