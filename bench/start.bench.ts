import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { report } from './tools/result.ts';
import { startServerProcess } from './tools/server_process.ts';

// All roles of the fraud example in one process, on disk, until they are ready: time and CPU time, of an empty data folder and of one that the first start has filled.

const ROUNDS = 3;
const ports = ['GATEWAY_PORT', 'PIPELINE_PORT', 'FEATURE_API_PORT', 'API_PORT', 'MONITOR_PORT'];

interface Start {
  readonly ms: number;
  readonly cpuMs: number;
}

async function start(folder: string): Promise<Start> {
  const startedMs = performance.now();
  const server = await startServerProcess(assetPath('dist/cli/headwater.js'), ['start'], {
    cwd: assetPath('examples/fraud'),
    env: {
      ...{ NODE_OPTIONS: '', DATA_DIRECTORY: folder, LOG_LEVEL: 'error' },
      ...Object.fromEntries(ports.map((name) => [name, '0'])),
    },
  });
  const ms = performance.now() - startedMs;
  const cpuMs = (await server.cpuMs()) ?? Number.NaN;
  await server.stop();
  return { ms, cpuMs };
}

const starts: { readonly first: Start[]; readonly again: Start[] } = { first: [], again: [] };
for (let round = 0; round < ROUNDS; round += 1) {
  const folder = await mkdtemp(join(tmpdir(), 'start-'));
  try {
    starts.first.push(await start(folder));
    starts.again.push(await start(folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
const median = (values: readonly number[]): number =>
  Math.round([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number);
for (const [name, measured] of Object.entries(starts)) {
  const common = { bench: 'start', case: `all roles, ${name === 'first' ? 'an empty data folder' : 'a filled one'}` };
  report({ ...common, metric: 'time until ready', value: median(measured.map(({ ms }) => ms)), unit: 'ms' });
  report({ ...common, metric: 'CPU time until ready', value: median(measured.map(({ cpuMs }) => cpuMs)), unit: 'ms' });
}
