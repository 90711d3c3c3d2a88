import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { assetPath } from '#kernel/project_root';
import { type Logger, silentLogger } from '#monitoring/log';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import type { StateOptions } from '#pipelines/runner/state_options';
import { cacheFolder, ensureMaven, once, run } from '#scripts/services/install';
import { report } from '../tools/result.ts';
import { rowsByKey } from '../workloads/state_workload.ts';

// State on disk: KEYS keys (STATE_KEYS) of 100 characters, with a cache of CACHE_MB (STATE_CACHE_MB). Loaded, snapshotted after 1 % of them has changed, restored, and worked
// on at random; native Flink with RocksDB does the same job with as much memory for the store.
const BENCH = 'state';
const KEYS = Number(process.env.STATE_KEYS ?? 2_000_000);
const CACHE_MB = Number(process.env.STATE_CACHE_MB ?? 256);
const RANDOM_EVENTS = Math.min(KEYS, 2_000_000);
/** Events by when 1 % has changed. */
const CHANGED = KEYS + KEYS / 100;
const NEVER_MS = 2 ** 31 - 1;
const state: StateOptions = { kind: 'disk', cacheBytes: CACHE_MB * 1_024 * 1_024 };
const millions = `${KEYS / 1e6} M keys of 100 bytes, cache of ${CACHE_MB} MB`;

interface Written {
  readonly elapsedMs: number;
  readonly bytes: number;
}
const written: Written[] = [];
/** Reads what the runner logs about its snapshots. */
const log: Logger = {
  ...silentLogger,
  child: () => log,
  debug(fields: object, message?: string) {
    if (message === 'snapshot.written') written.push(fields as Written);
  },
} as Logger;

const rssAnonMb = (): number =>
  Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) / 1_024;
let peakRssMb = 0;
const sampler = setInterval(() => {
  peakRssMb = Math.max(peakRssMb, rssAnonMb());
}, 200);

interface Started {
  readonly reached: Promise<void>;
  readonly loaded: Promise<void>;
  stop(): Promise<void>;
}

function start(directory: string, until: number, intervalMs: number): Started {
  let onReached = (): void => {};
  const reached = new Promise<void>((resolve) => {
    onReached = resolve;
  });
  const plan = createPipeline(rowsByKey(KEYS, until, () => onReached()));
  const handle = runEmbedded(plan, { log, state, snapshots: { directory, intervalMs }, maxRetries: 0 });
  return {
    reached: Promise.race([reached, handle.finished]),
    loaded: handle.loaded,
    stop: () => handle.stop(),
  };
}

const seconds = (sinceMs: number): number => (performance.now() - sinceMs) / 1_000;
const measure = (name: string, metric: string, value: number, unit: string, bounds: object = {}): void =>
  report({ bench: BENCH, case: name, metric, value, unit, ...bounds });

const directory = mkdtempSync(join(tmpdir(), 'bench-state-'));
let random = 0;
try {
  const loadedMs = performance.now();
  const loading = start(directory, KEYS, NEVER_MS);
  await loading.reached;
  measure(millions, 'loading', KEYS / seconds(loadedMs), 'events/s');
  await loading.stop();
  const [first] = written.splice(0);
  measure(millions, 'first snapshot', first?.elapsedMs ?? Number.NaN, 'ms');
  measure(millions, 'first snapshot, size', (first?.bytes ?? Number.NaN) / 1e6, 'MB');

  // What came before the stop is a few events more than were requested.
  const restoredMs = performance.now();
  const changing = start(directory, CHANGED, 10_000);
  await changing.loaded;
  measure(millions, 'restore', seconds(restoredMs), 's', { ceiling: 60 });
  // The store settles once, as after any load; what is measured is the snapshot after it.
  while (written.length === 0) await sleep(20);
  written.length = 0;
  await changing.reached;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  while (written.length === 0) await sleep(20);
  delay.disable();
  const [changed] = written.splice(0);
  measure(millions, 'snapshot after 1 % changed', changed?.elapsedMs ?? Number.NaN, 'ms', { ceiling: 1_000 });
  measure(millions, 'its size', (changed?.bytes ?? Number.NaN) / 1e6, 'MB');
  measure(millions, 'its longest pause', delay.max / 1e6, 'ms', { ceiling: 100 });
  await changing.stop();

  const working = start(directory, CHANGED + RANDOM_EVENTS, NEVER_MS);
  await working.loaded;
  const workingMs = performance.now();
  const cpu = process.cpuUsage();
  await working.reached;
  random = RANDOM_EVENTS / seconds(workingMs);
  const { user, system } = process.cpuUsage(cpu);
  measure(millions, 'CPU an event', (user + system) / RANDOM_EVENTS, 'µs');
  await working.stop();
} finally {
  clearInterval(sampler);
  rmSync(directory, { recursive: true, force: true });
}
const flink = await flinkWithRocksDb();
measure(millions, 'changes at random', random, 'events/s', {
  ...(flink === undefined ? {} : { peer: 'Flink 1.19 with RocksDB', peerValue: flink, ratioFloor: 0.5 }),
});
measure(millions, 'peak of RssAnon', peakRssMb, 'MB', { ceiling: 1_500 + CACHE_MB });

// Where everything fits in memory: CPU of the same job, one backend after the other.
const FITTING_KEYS = 200_000;
const FITTING_EVENTS = 3_000_000;
const times: { readonly heap: number[]; readonly disk: number[] } = { heap: [], disk: [] };
for (let round = 0; round < 3; round += 1) {
  for (const kind of ['heap', 'disk'] as const) {
    const before = process.cpuUsage();
    const options: StateOptions = kind === 'heap' ? { kind } : { kind, cacheBytes: 1e9 };
    await runEmbedded(createPipeline(rowsByKey(FITTING_KEYS, FITTING_EVENTS, () => {}, true)), { state: options })
      .finished;
    const { user, system } = process.cpuUsage(before);
    times[kind].push((user + system) / FITTING_EVENTS);
  }
}
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] as number;
report({
  ...{ bench: BENCH, case: '200,000 keys, all of them cached', metric: 'events by CPU time', unit: 'events/s' },
  ...{ value: 1e6 / median(times.disk), peer: 'state in the heap', peerValue: 1e6 / median(times.heap) },
  ratioFloor: 0.8,
});

/** Changes a second at random; undefined without Java or Maven. */
async function flinkWithRocksDb(): Promise<number | undefined> {
  if (process.env.STATE_PEER === 'none' || spawnSync('javac', ['-version']).status !== 0) return undefined;
  const jars = join(cacheFolder, 'flink-1.19.3-rocksdb');
  await once(jars, 'fetching Flink 1.19 with RocksDB', async () => {
    await ensureMaven();
    const scope = ['-DincludeScope=runtime', `-DoutputDirectory=${jars}`];
    await run('mvn', ['-q', '-B', '-f', assetPath('bench/flink/pom.xml'), 'dependency:copy-dependencies', ...scope]);
  });
  const classes = join(cacheFolder, 'bench-flink-rocksdb');
  mkdirSync(classes, { recursive: true });
  const source = assetPath('bench/flink/KeyedRows.java');
  const compiled = spawnSync('javac', ['-nowarn', '-cp', `${jars}/*`, '-d', classes, source]);
  if (compiled.status !== 0) throw new Error(compiled.stderr.toString());
  const opens = ['java.lang', 'java.util', 'java.nio'].map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`);
  const job = ['KeyedRows', String(KEYS), String(RANDOM_EVENTS), String(CACHE_MB)];
  const ran = spawnSync('java', [...opens, '-Xmx1g', '-cp', `${classes}:${jars}/*`, ...job]);
  const [, load, changes] = /RESULT (\S+) (\S+)/.exec(ran.stdout.toString()) ?? [];
  if (changes === undefined) throw new Error(ran.stderr.toString().slice(-2_000));
  measure(millions, 'loading, Flink 1.19 with RocksDB', Number(load), 'events/s');
  return Number(changes);
}
