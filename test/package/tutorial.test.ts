import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';

// Follows docs/tutorial.md as a reader does: writes each file, runs each command, in an empty folder, with the tarball as the package.

interface Step {
  readonly kind: 'file' | 'run' | 'background';
  readonly path: string;
  readonly text: string;
}

const PAGE = readFileSync(assetPath('docs/tutorial.md'), 'utf8');
const steps: readonly Step[] = [...PAGE.matchAll(/^```(\w+)(?: (file=(\S+)|background))?\n([\s\S]*?)^```$/gm)].map(
  ([, , mark, path = '', text = '']) => ({
    kind: mark === undefined ? 'run' : mark === 'background' ? 'background' : 'file',
    path,
    text,
  }),
);
/** In the order in which the platform's own defaults are on the page. */
const PORTS = { GATEWAY_PORT: 8080, FEATURE_API_PORT: 8083, API_PORT: 8000, PIPELINE_PORT: 8082, MONITOR_PORT: 8084 };

let folder: string;
let tarball: string;
let running: ChildProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tutorial-'));
  const packing = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const { stdout } = await promisify(execFile)('npm', packing, { cwd: assetPath(''), maxBuffer: 2 ** 26 });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  tarball = join(folder, filename);
}, 120_000);
afterAll(async () => {
  if (running?.pid !== undefined && running.exitCode === null) {
    process.kill(-running.pid, 'SIGINT');
    await once(running, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
}, 60_000);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

test('the tutorial leads from an empty folder to a prediction', async () => {
  expect(steps.map(({ kind }) => kind).filter((kind) => kind === 'file').length).toBe(4);
  const ports = new Map<string, number>();
  for (const name of Object.keys(PORTS)) ports.set(name, await freePort());
  const env = {
    ...{ ...process.env, NODE_OPTIONS: '', HEADWATER_PROJECT: '', npm_config_fund: 'false', npm_config_audit: 'false' },
    ...Object.fromEntries([...ports].map(([name, port]) => [name, String(port)])),
  };
  /** The tarball instead of the registry's package, and free ports instead of the usual ones. */
  const adapted = (text: string): string =>
    Object.entries(PORTS).reduce(
      (command, [name, port]) => command.replaceAll(`localhost:${port}`, `127.0.0.1:${ports.get(name)}`),
      text.replaceAll('--package=headwater ', `--package=${tarball} `),
    );
  let cwd = folder;
  let printed = '';
  for (const { kind, path, text } of steps) {
    if (kind === 'file') {
      await mkdir(dirname(join(cwd, path)), { recursive: true });
      await writeFile(join(cwd, path), text);
      continue;
    }
    if (kind === 'background') {
      running = spawn('bash', ['-c', `exec ${text}`], {
        cwd,
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      });
      let output = '';
      running.stdout?.on('data', (chunk: Buffer) => {
        output += String(chunk);
      });
      for (let tries = 0; tries < 2_400 && !/^ready;/m.test(output); tries += 1) await sleep(100);
      expect(output).toMatch(/^ready;/m);
      continue;
    }
    for (const command of adapted(text).trim().split('\n')) {
      const started = performance.now();
      const [, changed] = /^cd (\S+)$/.exec(command) ?? [];
      if (changed !== undefined) {
        cwd = join(cwd, changed);
        continue;
      }
      const { stdout } = await promisify(execFile)('bash', ['-c', command], { cwd, env, maxBuffer: 2 ** 26 });
      printed = stdout;
      process.stdout.write(`${((performance.now() - started) / 1_000).toFixed(1)} s  ${command.slice(0, 100)}\n`);
    }
  }
  const answer = JSON.parse(printed) as { prediction: string; probabilities: Record<string, number> };
  expect(['on_time', 'late']).toContain(answer.prediction);
  expect(Object.keys(answer.probabilities).sort()).toEqual(['late', 'on_time']);
}, 1_800_000);
