import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { optionalPackages } from '#kernel/optional_package';
import { assetPath } from '#kernel/project_root';
import { byForm } from '../../support/jest/forms.ts';

// The package beside its dependencies alone: none of the optional packages is in reach.

const run = promisify(execFile);
const json = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};
let folder: string;
let project: string;
let program: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'core-'));
  project = join(folder, 'shop');
  const modules = join(folder, 'node_modules');
  const installed = join(modules, 'headwater');
  await mkdir(installed, { recursive: true });
  for (const path of ['dist', 'configs', 'feature_store/database/migrations', 'registry/trainers/python']) {
    const filter = (file: string): boolean => !/[\\/]dist[\\/](test|scripts|bench|examples)([\\/]|$)/.test(file);
    await cp(assetPath(path), join(installed, path), { recursive: true, filter });
  }
  await cp(assetPath('package.json'), join(installed, 'package.json'));
  for (const name of Object.keys(json.dependencies)) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(assetPath(`node_modules/${name}`), join(modules, name));
  }
  program = join(installed, 'dist/cli/headwater.js');
  await run(process.execPath, [program, 'init', project, '--template', 'fraud'], { env: envWith({}) });
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const PORTS = ['GATEWAY_PORT', 'PIPELINE_PORT', 'FEATURE_API_PORT', 'API_PORT', 'MONITOR_PORT'];

const envWith = (extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({
  ...process.env,
  NODE_OPTIONS: '',
  HEADWATER_PROJECT: '',
  ...Object.fromEntries(PORTS.map((name) => [name, '0'])),
  ...extra,
});

interface Outcome {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a command until it ends, or until it prints `ready`. */
async function command(args: readonly string[], extra: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const child: ChildProcess = spawn(process.execPath, [program, ...args], {
    ...{ cwd: project, env: envWith(extra), stdio: ['ignore', 'pipe', 'pipe'] },
  });
  let output = '';
  let isReady = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += String(chunk);
      if (isReady || !/^ready;/m.test(output)) return;
      isReady = true;
      child.kill('SIGINT');
    });
  }
  await once(child, 'exit');
  return { code: child.exitCode, output };
}

test('commands, and all roles of the platform, start without them', async () => {
  expect(await command(['--help'])).toMatchObject({ code: 0 });
  expect(await command(['features', 'validate'])).toMatchObject({ code: 0 });
  const started = await command(['start'], { DATA_DIRECTORY: join(folder, 'data') });
  expect(started.output).toMatch(/^ready;/m);
  expect(started.code).toBe(0);
}, 240_000);

// All of them together have started above, with the modules of each.
test.each(byForm({ short: ['features'], long: ['gateway', 'pipeline', 'features', 'serving', 'monitor'] }))(
  'the role %s alone starts without them',
  async (role) => {
    const started = await command(['start', '--role', role], { DATA_DIRECTORY: join(folder, `data-${role}`) });
    expect(started.output).toMatch(/^ready;/m);
  },
  240_000,
);

test('every export but that for apache-beam is imported without them', async () => {
  const exported = ['', '/features', '/pipelines', '/pipelines/testing', '/testing', '/apache-beam'];
  const file = join(project, 'exports.mjs');
  const lines = exported.map((path) => `await import('headwater${path}');`);
  await writeFile(file, `${lines.join('\n')}\nprocess.stdout.write('imported');\n`);
  const { stdout } = await run(process.execPath, [file], { env: envWith({}) });
  expect(stdout).toBe('imported');
}, 120_000);

const installing = (name: string): string => `npm install ${name}@${optionalPackages()[name]?.replace('^', '')}`;

test.each([
  ['broker.kind kinesis', ['start', '--role', 'gateway'], { INGEST_SINK: 'kinesis' }, '@aws-sdk/client-kinesis'],
  [
    'onlineStore.kind dynamodb',
    ['start', '--role', 'features'],
    { FEATURE_STORE_BACKEND: 'dynamodb' },
    '@aws-sdk/client-dynamodb',
  ],
  ['broker.kind pubsub', ['start', '--role', 'gateway'], { INGEST_SINK: 'pubsub' }, '@google-cloud/pubsub'],
  [
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    ['start'],
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' },
    '@opentelemetry/sdk-trace-node',
  ],
  ['metrics.exporter cloudwatch', ['start'], { METRICS_EXPORTER: 'cloudwatch' }, '@aws-sdk/client-cloudwatch'],
  ['metrics.exporter otlp', ['start'], { METRICS_EXPORTER: 'otlp' }, '@opentelemetry/otlp-transformer'],
  ['headwater models bundle', ['models', 'bundle', 'fraud_detector'], {}, 'esbuild'],
])(
  '%s names the package and its install command',
  async (use, args, extra, name) => {
    const { code, output } = await command(args, {
      DATA_DIRECTORY: join(folder, 'data-missing'),
      ...(extra as object),
    });
    expect(output).toContain(`${use} needs ${name}`);
    expect(output).toContain(installing(name));
    expect(code).toBe(1);
  },
  120_000,
);

test('headwater/apache-beam names the install command when a runner is made', async () => {
  const file = join(project, 'beam.mjs');
  await writeFile(
    file,
    "import { createHeadwaterRunner } from 'headwater/apache-beam';\ntry { createHeadwaterRunner(); } catch (error) { process.stdout.write(error.code + ': ' + error.message); }\n",
  );
  const { stdout } = await run(process.execPath, [file], { env: envWith({}) });
  expect(stdout).toContain('KERNEL_PACKAGE_MISSING: headwater/apache-beam needs apache-beam');
  expect(stdout).toContain(installing('apache-beam'));
}, 60_000);

test('the report of a run to SNS is refused with the package and its install command, and the run is not tried again', async () => {
  const notify = join(folder, 'node_modules/headwater/dist/cli/retraining/notify.js');
  const file = join(project, 'notify.mjs');
  const topicArn = 'arn:aws:sns:eu-central-1:123456789012:models';
  await writeFile(
    file,
    `import { sendReport } from ${JSON.stringify(notify)};
const report = { model: 'fraud', run: 'r1', outcome: 'promoted', version: 2, reason: '' };
await sendReport({ webhooks: [], sns: { topicArn: '${topicArn}' } }, report, new AbortController().signal).catch(
  ({ code, message, retryable }) => process.stdout.write(JSON.stringify({ code, message, retryable })),
);`,
  );
  const { stdout } = await run(process.execPath, [file], { env: envWith({}) });
  expect(JSON.parse(stdout)).toEqual({
    ...{ code: 'KERNEL_PACKAGE_MISSING', retryable: false },
    message: expect.stringContaining(installing('@aws-sdk/client-sns')),
  });
  expect((JSON.parse(stdout) as { readonly message: string }).message).toContain('workflows.notify.sns');
});
