import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { assetPath } from '#kernel/project_root';
import { report } from './tools/result.ts';

// Files of which every request executes a function, as V8 counts calls (Profiler.takePreciseCoverage): how much has to be read to follow it. What only some of
// the requests met, such as a check of health or a commit that came due, is none of their way.

interface Way {
  readonly way: string;
  readonly most: number;
  readonly work: (n: number) => Promise<unknown>;
}

const SETTLE_MS = 1_500;
const REQUESTS = 5;
/** After those that are sent before the count starts. */
const FIRST = 3;
const folder = await mkdtemp(join(tmpdir(), 'ways-'));
const ports = ['GATEWAY_PORT', 'PIPELINE_PORT', 'FEATURE_API_PORT', 'API_PORT', 'MONITOR_PORT'];
const platform = spawn(
  process.execPath,
  [
    '--import',
    pathToFileURL(assetPath('dist/bench/tools/count_calls.js')).href,
    assetPath('dist/cli/headwater.js'),
    'start',
  ],
  {
    cwd: assetPath('examples/fraud'),
    env: {
      ...{ ...process.env, NODE_OPTIONS: '', DATA_DIRECTORY: folder, LOG_LEVEL: 'error' },
      ...Object.fromEntries(ports.map((name) => [name, '0'])),
    },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  },
);
try {
  const urls = await listening(platform);
  const post = async (url: string, body: unknown): Promise<void> => {
    const answer = await fetch(url, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
    });
    if (!answer.ok) throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`);
  };
  const ingest = (n: number) =>
    post(`${urls.gateway}/ingest`, {
      ...{ event_id: `e${n}`, user_id: 'u1', event_type: 'transaction', timestamp: new Date().toISOString() },
      ...{ account_id: `account${n}`, amount: 120.5, currency: 'EUR', merchant_id: 'm_7', country: 'DE' },
      merchant_category: 'electronics',
    });
  const computed = async (n: number): Promise<void> => {
    for (let tries = 0; tries < 500; tries += 1) {
      if ((await fetch(`${urls.features}/features/account${n}`)).ok) return;
      await sleep(20);
    }
    throw new Error(`account${n} has no features`);
  };
  const predict = (n: number) =>
    post(`${urls.serving}/predict`, { entity_id: `account${n}`, model_name: 'fraud_detector' });
  // What runs once, such as compiled validators, is not part of the way.
  for (const n of [1, 2]) {
    await ingest(n);
    await computed(n);
    await predict(n);
  }
  await sleep(SETTLE_MS);
  const idle = new Set(await filesOf(() => sleep(SETTLE_MS)));
  const ways: readonly Way[] = [
    { way: 'ingest to feature', most: 38, work: (n) => ingest(n).then(() => sleep(SETTLE_MS)) },
    // Its row is in the cache, as that of an entity that is asked about again.
    { way: 'predict by entity', most: 30, work: () => predict(1) },
  ];
  for (const { way, most, work } of ways) {
    let files = (await filesOf(() => work(FIRST))).filter((file) => !idle.has(file));
    for (let n = FIRST + 1; n < FIRST + REQUESTS; n += 1) {
      const others = new Set(await filesOf(() => work(n)));
      files = files.filter((file) => others.has(file));
    }
    report({ bench: 'ways', case: way, metric: 'files', value: files.length, unit: 'files', ceiling: most });
    process.stderr.write(`${way}:\n  ${files.join('\n  ')}\n`);
  }
} finally {
  platform.kill('SIGTERM');
  if (platform.exitCode === null) await once(platform, 'exit');
  await rm(folder, { recursive: true, force: true });
}

async function filesOf(work: () => Promise<unknown>): Promise<readonly string[]> {
  await call('start');
  await work();
  return call('take');
}

function call(message: 'start' | 'take'): Promise<readonly string[]> {
  return new Promise((resolve) => {
    platform.once('message', (files) => resolve(files as readonly string[]));
    platform.send(message);
  });
}

async function listening(child: ChildProcess): Promise<{ gateway: string; features: string; serving: string }> {
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += String(chunk);
  });
  for (let tries = 0; tries < 2_400 && !/^ready;/m.test(output); tries += 1) {
    if (child.exitCode !== null) throw new Error(`the platform did not start:\n${output}`);
    await sleep(50);
  }
  const url = (label: string): string => new RegExp(`^${label}\\s+(http\\S+)$`, 'm').exec(output)?.[1] ?? '';
  return { gateway: url('ingestion gateway'), features: url('feature API'), serving: url('model serving') };
}
