import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { PORTS } from '#cli/terminal/choices';
import { freePort } from '#connectors/http/free_port';
import { assetPath } from '#kernel/project_root';
import { runCommand, userEnvironment } from '#scripts/building/installed_package';

// Scripts of a checkout in which nothing was built yet: those that start containers up to the call of Docker, the others to their end.

const execute = promisify(execFile);
let folder: string;
let checkout: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkout-'));
  checkout = join(folder, 'headwater');
  await mkdir(checkout);
  const files = 'git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null';
  await runCommand(
    'bash',
    ['-c', `${files} | tar --create --files-from=- | tar --extract --directory="$0"`, checkout],
    {
      cwd: assetPath(''),
    },
  );
  await symlink(assetPath('node_modules'), join(checkout, 'node_modules'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number;
  readonly stderr: string;
}

/** Runs a script with the commands named as all that there is. */
async function withoutDocker(script: string, commands: readonly string[]): Promise<Ended> {
  const path = await mkdtemp(join(folder, 'bin-'));
  for (const command of commands) {
    const { stdout } = await execute('bash', ['-c', `command -v ${command}`]);
    await symlink(stdout.trim(), join(path, command));
  }
  return execute(join(path, 'bash'), [script], { cwd: checkout, env: { PATH: path } }).then(
    ({ stderr }) => ({ code: 0, stderr }),
    ({ code, stderr }: Ended) => ({ code, stderr }),
  );
}
const COMMANDS = ['bash', 'dirname', 'od', 'tr'];

test.each(['start-local', 'start-prod'])('scripts/%s.sh says what is missing', async (name) => {
  const { code, stderr } = await withoutDocker(`scripts/${name}.sh`, COMMANDS);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^there is no Docker here.*npm start/)]);
});

test('npm run deploy:local is start-local.sh; its .env has passwords of its own, which others cannot read', async () => {
  const { scripts } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as {
    scripts: Readonly<Record<string, string>>;
  };
  expect(scripts['deploy:local']).toBe('bash scripts/start-local.sh');
  await rm(join(checkout, '.env'), { force: true });
  await withoutDocker('scripts/start-local.sh', COMMANDS);
  const made = await readFile(join(checkout, '.env'), 'utf8');
  const values = [...made.matchAll(/^\w+=([0-9a-f]{32})$/gm)].map(([, value]) => value);
  expect(values).toHaveLength(5);
  expect(new Set(values).size).toBe(5);
  expect((await stat(join(checkout, '.env'))).mode & 0o777).toBe(0o600);
  // A .env that is there stays.
  await withoutDocker('scripts/start-local.sh', COMMANDS);
  expect(await readFile(join(checkout, '.env'), 'utf8')).toBe(made);
});

const npm = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> =>
  runCommand('npm', ['run', '--silent', ...args], { cwd: checkout, env });

test('npm run init, send:test-data and query:results, from nothing built', async () => {
  const shop = join(folder, 'shop');
  expect(await npm(['init', '--', shop])).toContain('shop');
  expect(JSON.parse(await readFile(join(shop, 'package.json'), 'utf8'))).toMatchObject({ name: 'shop' });
  const env = { HEADWATER_PROJECT: join(checkout, 'examples/fraud'), DATA_DIRECTORY: join(folder, 'data') };
  expect(await npm(['send:test-data', '--', '--events', '50'], env)).toMatch(/"accepted":[1-9]/);
  await npm(['query:results'], env);
}, 600_000);

test('npm run demo serves predictions, and ends by a signal', async () => {
  const ports = Object.fromEntries(Object.values(PORTS).map(({ variable }) => [variable, '0']));
  const demo = spawn('npm', ['run', '--silent', 'demo', '--', '--events', '6000', '--accounts', '100'], {
    ...{ cwd: checkout, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    env: { ...(userEnvironment as NodeJS.ProcessEnv), ...ports, DATA_DIRECTORY: join(folder, 'demo') },
  });
  const ended = once(demo, 'exit');
  const output = outputOf(demo);
  while (demo.exitCode === null && !/predictions?/i.test(output())) await sleep(200);
  expect(output()).toMatch(/predictions?/i);
  process.kill(-(demo.pid as number), 'SIGINT');
  await ended;
}, 600_000);

test('development: what is edited is compiled and runs, with the commands of docker-compose.dev.yml', async () => {
  const { services } = parse(
    (await readFile(join(checkout, 'docker-compose.dev.yml'), 'utf8')).replaceAll('!reset ', ''),
    { merge: true },
  ) as {
    services: {
      compile: { command: string[]; healthcheck: { test: string[] } };
      gateway: { entrypoint: string[]; command: string[] };
    };
  };
  const port = await freePort();
  const env = {
    ...(userEnvironment as NodeJS.ProcessEnv),
    ...{ GATEWAY_PORT: String(port), ROLES: 'gateway', DATA_DIRECTORY: join(folder, 'reload') },
    HEADWATER_PROJECT: join(checkout, 'examples/fraud'),
  };
  const { compile, gateway } = services;
  const start = ([command = '', ...args]: readonly string[]): ChildProcess =>
    spawn(command, args, { cwd: checkout, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env });
  await rm(join(checkout, 'dist'), { recursive: true, force: true });
  const compiler = start(compile.command);
  const compiled = outputOf(compiler);
  const ends: Promise<unknown>[] = [once(compiler, 'exit')];
  const started = [compiler];
  try {
    // As the health check of its service.
    await until(() => existsSync(join(checkout, compile.healthcheck.test.at(-1) as string)), compiled);
    const role = start([...gateway.entrypoint, ...gateway.command]);
    ends.push(once(role, 'exit'));
    started.push(role);
    const printed = outputOf(role);
    const live = (): Promise<string | undefined> =>
      fetch(`http://127.0.0.1:${port}/health/live`).then(
        (response) => response.text(),
        () => undefined,
      );
    await until(async () => (await live()) !== undefined, printed);
    const source = join(checkout, 'cli/headwater.ts');
    await appendFile(source, "\nprocess.stdout.write('this line is new\\n');\n");
    let savedMs = Date.now();
    await until(
      async () => {
        // The compiler may have read the file before it watched it: what is saved later it sees.
        if (Date.now() - savedMs > 5_000) {
          await appendFile(source, '// Saved again.\n');
          savedMs = Date.now();
        }
        return /this line is new/.test(printed());
      },
      () => `${compiled()}\n${printed()}`,
    );
    await until(async () => (await live()) !== undefined, printed);
  } finally {
    // npm keeps SIGTERM from what it runs.
    for (const { pid } of started) process.kill(-(pid as number), 'SIGKILL');
    await Promise.all(ends);
  }
}, 600_000);

function outputOf(child: ChildProcess): () => string {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
  }
  return () => output;
}

async function until(holds: () => boolean | Promise<boolean>, output: () => string): Promise<void> {
  const giveUpAt = Date.now() + 240_000;
  while (!(await holds())) {
    if (Date.now() > giveUpAt) throw new Error(`nothing within four minutes:\n${output()}`);
    await sleep(100);
  }
}
