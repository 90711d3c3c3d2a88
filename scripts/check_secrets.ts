import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#kernel/errors';
import { assetPath, projectRoot } from '#kernel/project_root';
import { gitleaksBinary } from './deployment/tools.ts';
import { run } from './services/install.ts';

// npm run check:secrets: no credentials in the repository and its history, nor in logs, spans and the configuration shown of runs that were given
// credentials everywhere. gitleaks looks for their forms, and the values that were given are looked for themselves.

const counts = { passed: 0, failed: 0 };
const folder = await mkdtemp(join(tmpdir(), 'headwater-secrets-'));
const SILENT_FOR_MS = 180_000;
const REFUSED_WITHIN_MS = 60_000;

async function check(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    counts.passed += 1;
    process.stdout.write(`ok     ${what}\n`);
  } catch (error) {
    counts.failed += 1;
    process.stdout.write(`FAILED ${what}\n${messageOf(error)}\n`);
  }
}

const given = new Map<string, string>();
/** A credential that is in no other place. */
function secret(name: string): string {
  const value = `${randomBytes(18).toString('base64url')}-Zq7`;
  given.set(`${name} (${given.size + 1})`, value);
  return value;
}

try {
  const gitleaks = await gitleaksBinary();
  const scan = (mode: 'git' | 'dir', path: string): Promise<string> =>
    run(gitleaks, [mode, '--no-banner', '--redact', '--verbose', '--config', assetPath('.gitleaks.toml'), path]);
  await check('the scan finds a key where there is one', async () => {
    const planted = join(folder, 'planted');
    await mkdir(planted);
    // In two parts: this file is scanned as well.
    const key = `AKIA${'Q3EGWJ5DNXK2LB7T'}`;
    await writeFile(join(planted, 'line.log'), `{"access_key":"${key}"}\n`);
    const isFound = await scan('dir', planted).then(
      () => false,
      () => true,
    );
    await rm(planted, { recursive: true });
    if (!isFound) throw new Error('gitleaks passes a file that holds a key');
  });
  await check('the repository and its history', () => scan('git', projectRoot));
  const runs = join(folder, 'runs');
  await mkdir(runs);
  await check('a run is given credentials, serves, and is asked with wrong ones', () => serveEmbedded(runs));
  await check('a run is given credentials of servers that are away', () => failServices(runs));
  await check('its configuration is shown', async () => {
    const { output } = await platform(['config'], { ENVIRONMENT: 'services', ...credentials() }, REFUSED_WITHIN_MS)
      .ended;
    if (!output.includes('(set)')) throw new Error(`it shows no credential as set:\n${output}`);
    await writeFile(join(runs, 'config.yaml'), output);
  });
  await check('logs, spans and configuration: by form', () => scan('dir', runs));
  await check('logs, spans and configuration: by value', async () => {
    const files = await readdir(runs);
    const texts = await Promise.all(files.map((file) => readFile(join(runs, file), 'utf8')));
    if (files.length < 4 || texts.some((text) => text.length === 0))
      throw new Error(`a run left nothing: ${files.join(', ')}`);
    const found = [...given].filter(([, value]) => texts.some((text) => text.includes(value)));
    if (found.length > 0) throw new Error(`they hold ${found.map(([name]) => name).join(', ')}`);
    process.stdout.write(
      `       ${given.size} credentials, ${texts.join('').length} characters of ${files.join(', ')}\n`,
    );
  });
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
process.exitCode = counts.failed > 0 ? 1 : 0;

function credentials(): Record<string, string> {
  return {
    ...{ DATABASE_PASSWORD: secret('database'), REDIS_PASSWORD: secret('redis') },
    ...{ KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: secret('kafka') },
    MLFLOW_TRACKING_URI: `http://ann:${secret('mlflow address')}@127.0.0.1:1`,
    MLFLOW_TRACKING_TOKEN: secret('mlflow token'),
    PROMETHEUS_URL: `http://127.0.0.1:1/?token=${secret('prometheus')}`,
    ...{ API_KEYS: secret('serving'), GATEWAY_API_KEYS: secret('gateway'), FEATURE_API_KEYS: secret('features') },
  };
}

interface Running {
  readonly child: ReturnType<typeof spawn>;
  readonly output: () => string;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
}

function platform(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  killAfterMs: number,
  whileSilent = false,
): Running {
  const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LOG_LEVEL: 'trace', DATA_DIRECTORY: join(folder, 'data'), ...env },
  });
  let text = '';
  const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  const collect = (chunk: Buffer): void => {
    text += chunk.toString('utf8');
    // A slow machine is no failure: a run that makes progress continues.
    if (whileSilent) timer.refresh();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const ended = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output: text });
    });
  });
  return { child, output: () => text, ended };
}

async function serveEmbedded(runs: string): Promise<void> {
  const spans: string[] = [];
  const collector = createServer((request, response) => {
    request.setEncoding('utf8').on('data', (chunk: string) => spans.push(chunk));
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  const { port } = collector.address() as AddressInfo;
  const ports = ['GATEWAY', 'PIPELINE', 'FEATURE_API', 'MONITOR', 'API'].map((name) => [`${name}_PORT`, '0']);
  const given = credentials();
  const env = { ...given, ...Object.fromEntries(ports), OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` };
  const running = platform(['start'], env, SILENT_FOR_MS, true);
  while (!/^ready;/m.test(running.output())) {
    if (running.child.exitCode !== null || running.child.signalCode !== null)
      throw new Error(`it did not start:\n${running.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const urls = [...running.output().matchAll(/(http:\/\/\S+:\d+)$/gm)].map(([, url]) => url as string);
  let answers = 0;
  for (const url of urls) {
    for (const path of [
      '/health',
      `/predict?api_key=${secret('a query')}`,
      '/ingest',
      `/models/x?token=${secret('a token')}`,
    ]) {
      for (const key of [given.API_KEYS, given.GATEWAY_API_KEYS, given.FEATURE_API_KEYS, secret('a wrong key')]) {
        if (await ask(`${url}${path}`, key as string)) answers += 1;
      }
    }
  }
  // A connection that is closed in between is no answer.
  if (answers < urls.length || urls.length < 3) throw new Error(`${answers} answers of ${urls.length} listeners`);
  running.child.kill('SIGTERM');
  await writeFile(join(runs, 'serves.log'), (await running.ended).output);
  collector.close();
  await writeFile(join(runs, 'spans.json'), spans.join('\n'));
}

/** @returns false where the connection was closed in between */
async function ask(url: string, key: string): Promise<boolean> {
  const headers = {
    'content-type': 'application/json',
    'x-api-key': key,
    authorization: `Bearer ${secret('a bearer')}`,
  };
  try {
    const answer = await fetch(url, { method: 'POST', headers, body: '{"model_name":"fraud_detector"}' });
    return (await answer.text()).length > 0;
  } catch {
    return false;
  }
}

async function failServices(runs: string): Promise<void> {
  const away = {
    REDIS_HOST: '127.0.0.1',
    REDIS_PORT: '1',
    DATABASE_HOST: '127.0.0.1',
    DATABASE_PORT: '1',
    KAFKA_BROKERS: '127.0.0.1:1',
  };
  const running = platform(['start'], { ENVIRONMENT: 'services', ...credentials(), ...away }, REFUSED_WITHIN_MS);
  await writeFile(join(runs, 'away.log'), (await running.ended).output);
}
