import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { runTraffic } from '#cli/demo/traffic';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { LocalRegistry } from '#registry/local/local_registry';
import { servingConfigSchema } from '#serving/config';
import { PredictionLog } from '#serving/prediction_log';
import { LoadedModel } from '#serving/runtime/loaded_model';
import { ModelServer } from '#serving/runtime/model_server';
import { createServing } from '#serving/server';
import { report } from './result.ts';
import { instances, startFastApi, trainBenchModel } from './serving_workload.ts';

// XGBoost with 100 trees on 30 columns over HTTP: ours with validation, metrics, micro-batches and the prediction log; FastAPI with onnxruntime; and
// a Fastify that only reads and answers. In turn, by medians; clients on a thread of this process.
const ROUNDS = 5;
const NAME = 'bench';

const { folder, model } = await trainBenchModel();
const peer = await startFastApi(folder);
const registry = new LocalRegistry({ kind: 'local', directory: mkdtempSync(join(tmpdir(), 'bench-')) });
const { version } = await registry.register({ name: NAME, ...model });
await registry.transition(NAME, version, 'Production');
const metrics = createMetricsRegistry();
const config = servingConfigSchema.parse({ port: 0, models: [{ name: NAME }] });
const models = new ModelServer({ registry, log: silentLogger, metrics }, config);
// Written out as for the topic, and sent nowhere.
const sink = { write: async (rows: readonly object[]) => void rows.map((row) => JSON.stringify(row)) };
const predictions = new PredictionLog({ sink, log: silentLogger, metrics }, { maxPending: 100_000 });
const online = new MemoryOnlineStore(
  { log: silentLogger, clock: systemClock, ttlMs: new Map() },
  { file: join(mkdtempSync(join(tmpdir(), 'bench-')), 'rows') },
);
const features = new FeatureReader({ online, clock: systemClock }, { views: [], services: [] });
await models.start();
await predictions.start();
const deps = { models, features, predictions, clock: systemClock, metrics, log: silentLogger };
const serving = await createServing(deps, config);
await serving.start();

const bare = fastify();
bare.post('/predict', async () => ({ prediction: 'good', model_version: 1 }));
const answers = Array.from({ length: 100 }, () => 'good');
bare.post('/predict/batch', async () => ({ predictions: answers, count: 100 }));
const bareUrl = await bare.listen({ host: '127.0.0.1', port: 0 });

const targets = { ours: serving.url, fastify: bareUrl, fastapi: peer.url } as const;
type Target = keyof typeof targets;
interface Measured {
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}
interface Case {
  readonly title: string;
  readonly path: string;
  readonly bodies: readonly string[];
  readonly connections: number;
  /** Requests in a round; the slowest peer gets a fifth. */
  readonly requests: number;
}

async function load(target: Target, { path, bodies, connections }: Case, requests: number): Promise<Measured> {
  const answered = await runTraffic({
    ...{ kind: 'predict', url: targets[target], path, connections, repeat: false },
    bodies: Array.from({ length: requests }, (_, index) => bodies[index % bodies.length] as string),
    stop: new SharedArrayBuffer(4),
  });
  if (answered.failed > 0) throw new Error(`${target}: ${answered.failed} failed: ${answered.firstFailure}`);
  const { p50Ms, p99Ms } = answered;
  return { rate: (answered.requests / answered.elapsedMs) * 1_000, p50Ms, p99Ms };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] as number;

async function measure(of: Case): Promise<Readonly<Record<Target, Measured>>> {
  const found: Record<Target, Measured[]> = { ours: [], fastify: [], fastapi: [] };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const target of Object.keys(targets) as Target[]) {
      const requests = target === 'fastapi' ? Math.ceil(of.requests / 5) : of.requests;
      const measured = await load(target, of, requests);
      // The first round warms up.
      if (round > 0) found[target].push(measured);
    }
  }
  const of3 = (target: Target): Measured => ({
    rate: median(found[target].map(({ rate }) => rate)),
    p50Ms: median(found[target].map(({ p50Ms }) => p50Ms)),
    p99Ms: median(found[target].map(({ p99Ms }) => p99Ms)),
  });
  return { ours: of3('ours'), fastify: of3('fastify'), fastapi: of3('fastapi') };
}

const single = instances(500, 1).map((values) => JSON.stringify({ model_name: NAME, features: values }));
const peerBatch = (seed: number): string => JSON.stringify({ model_name: NAME, instances: instances(100, seed) });
const batches = Array.from({ length: 20 }, (_, seed) => peerBatch(seed));
const cases = [
  {
    title: '1 row, 32 connections',
    path: '/predict',
    bodies: single,
    connections: 32,
    requests: 20_000,
    floors: [5, 0.8],
  },
  {
    title: '100 rows, 32 connections',
    path: '/predict/batch',
    bodies: batches,
    connections: 32,
    requests: 2_000,
    floors: [3.5, 0.6],
  },
] as const;
for (const { floors, ...of } of cases) {
  const { ours, fastify: limit, fastapi } = await measure(of);
  const common = { bench: 'serving', case: of.title };
  const throughput = { ...common, metric: 'throughput', value: ours.rate, unit: 'requests/s' };
  report({ ...throughput, peer: 'FastAPI + onnxruntime', peerValue: fastapi.rate, ratioFloor: floors[0] });
  report({ ...throughput, peer: 'bare Fastify', peerValue: limit.rate, ratioFloor: floors[1] });
  report({
    ...common,
    metric: 'p99',
    value: ours.p99Ms,
    unit: 'ms',
    peer: 'bare Fastify',
    peerValue: limit.p99Ms,
    ceiling: limit.p99Ms * 1.5,
  });
}
const alone = await measure({ title: '', path: '/predict', bodies: single, connections: 1, requests: 4_000 });
report({
  ...{ bench: 'serving', case: '1 row, 1 connection', metric: 'p50', value: alone.ours.p50Ms, unit: 'ms' },
  ...{ peer: 'bare Fastify', peerValue: alone.fastify.p50Ms, ceiling: alone.fastify.p50Ms * 1.5 },
});

const loaded = await LoadedModel.load(model.package);
const row = new Float32Array(loaded.encoder.width);
const [explainer] = [loaded.explainer];
if (explainer === undefined) throw new Error('the trainer says how many rows came through each node');
const rows = instances(200, 3).map((values) => {
  loaded.encoder.encode(values, row, 0);
  return row.slice();
});
for (const each of rows) explainer.explain(each);
const times = rows.map((each) => {
  const begin = performance.now();
  explainer.explain(each);
  return (performance.now() - begin) * 1_000;
});
report({ bench: 'serving', case: 'TreeSHAP', metric: 'p50', value: median(times), unit: 'µs a row', ceiling: 300 });
report({
  bench: 'serving',
  case: 'memory, client included',
  metric: 'RSS',
  value: process.memoryUsage.rss() / 1e6,
  unit: 'MB',
});

await serving.stop();
await predictions.stop();
await models.stop();
await bare.close();
await peer.stop();
