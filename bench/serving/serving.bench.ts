import autocannon from 'autocannon';
import { fastify } from 'fastify';
import { LoadedModel } from '#serving/models/loaded_model';
import { serveForBench } from '../tools/bench_serving.ts';
import { median } from '../tools/quantiles.ts';
import { requestTimes } from '../tools/request_times.ts';
import { report } from '../tools/result.ts';
import { instances, startFastApi, trainBenchModel } from '../workloads/serving_workload.ts';

// XGBoost with 100 trees on 30 columns over HTTP: ours with validation, metrics, micro-batches and the prediction log; FastAPI with onnxruntime; and
// a Fastify that only reads and answers. In turn, by medians; clients on a thread of this process.
const ROUNDS = 5;
const SECONDS = 3;
const NAME = 'bench';
const MOST_REFUSED = 0.002;

const { folder, model } = await trainBenchModel();
const peer = await startFastApi(folder);
const { serving, stop } = await serveForBench({ [NAME]: model.package });

const bare = fastify();
bare.post('/predict', async () => ({ prediction: 'good', model_version: 1 }));
const answers = Array.from({ length: 100 }, () => 'good');
bare.post('/predict/batch', async () => ({ predictions: answers, count: 100 }));
const bareUrl = await bare.listen({ host: '127.0.0.1', port: 0 });

/** A Fastify without a model that answers what ours does, headers and all. */
const same = fastify();
{
  const ask = (path: string, body: string) =>
    fetch(`${serving.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const ofBrowsers = /^(content-security-policy|x-content-type-options|referrer-policy|cross-origin-resource-policy)$/;
  for (const [path, body] of [
    ['/predict', JSON.stringify({ model_name: NAME, features: instances(1, 1)[0] })],
    ['/predict/batch', JSON.stringify({ model_name: NAME, instances: instances(100, 1) })],
  ] as const) {
    const answer = await ask(path, body);
    const headers = Object.fromEntries([...answer.headers].filter(([name]) => ofBrowsers.test(name)));
    const told = await answer.json();
    same.post(path, async (_, reply) => {
      reply.headers(headers);
      return told;
    });
  }
}
const sameUrl = await same.listen({ host: '127.0.0.1', port: 0 });

const targets = { ours: serving.url, fastify: bareUrl, same: sameUrl, fastapi: peer.url } as const;
type Target = keyof typeof targets;
interface Measured {
  readonly rate: number;
  readonly p99Ms: number;
}
interface Case {
  readonly title: string;
  readonly path: string;
  readonly bodies: readonly string[];
  readonly connections: number;
}

async function load(target: Target, { path, bodies, connections }: Case, isWarm: boolean): Promise<Measured> {
  const headers = { 'content-type': 'application/json' };
  const requests = bodies.map((body) => ({ method: 'POST' as const, path, headers, body }));
  const found = await autocannon({ url: targets[target], connections, workers: 1, requests, duration: SECONDS });
  const failed = found.errors + found.non2xx - (found.statusCodeStats?.['503']?.count ?? 0);
  // Thirty-two hundreds of rows are near what may wait on a slow machine: a few may be refused.
  const refused = found.non2xx / (found['2xx'] + found.non2xx);
  if (failed > 0 || (isWarm && refused > MOST_REFUSED)) {
    throw new Error(`${target}: ${JSON.stringify(found.statusCodeStats)}, ${found.errors} broken`);
  }
  return { rate: found.requests.average, p99Ms: found.latency.p99 };
}

async function measure(of: Case): Promise<Readonly<Record<Target, Measured>>> {
  const found: Record<Target, Measured[]> = { ours: [], fastify: [], same: [], fastapi: [] };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const target of Object.keys(targets) as Target[]) {
      const measured = await load(target, of, round > 0);
      // The first round warms up.
      if (round > 0) found[target].push(measured);
    }
  }
  const medianOf = (target: Target): Measured => ({
    rate: median(found[target].map(({ rate }) => rate)),
    p99Ms: median(found[target].map(({ p99Ms }) => p99Ms)),
  });
  return {
    ...{ ours: medianOf('ours'), fastify: medianOf('fastify') },
    ...{ same: medianOf('same'), fastapi: medianOf('fastapi') },
  };
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
    floors: [5, 0.8],
  },
  {
    title: '100 rows, 32 connections',
    path: '/predict/batch',
    bodies: batches,
    connections: 32,
    floors: [3.5, 0.6],
  },
] as const;
for (const { floors, ...of } of cases) {
  const { ours, fastify: limit, same: alike, fastapi } = await measure(of);
  const common = { bench: 'serving', case: of.title };
  const throughput = { ...common, metric: 'throughput', value: ours.rate, unit: 'requests/s' };
  report({ ...throughput, peer: 'FastAPI + onnxruntime', peerValue: fastapi.rate, ratioFloor: floors[0] });
  report({ ...throughput, peer: 'bare Fastify', peerValue: limit.rate, ratioFloor: floors[1] });
  report({ ...throughput, peer: 'bare Fastify that answers the same', peerValue: alike.rate });
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
const alone = { ours: [] as number[], fastify: [] as number[] };
for (let round = 0; round <= ROUNDS; round += 1) {
  for (const target of ['ours', 'fastify'] as const) {
    const times = await requestTimes(`${targets[target]}/predict`, single);
    if (round > 0) alone[target].push(median(times));
  }
}
report({
  ...{ bench: 'serving', case: '1 row, 1 connection', metric: 'p50', value: median(alone.ours), unit: 'ms' },
  ...{ peer: 'bare Fastify', peerValue: median(alone.fastify), ceiling: median(alone.fastify) * 1.5 },
});

const loaded = await LoadedModel.load(model.package);
const row = new Float32Array(loaded.encoder.width);
const explainer = await loaded.treeExplainer();
if (explainer === undefined) throw new Error('the trainer writes the covers of its trees');
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

await stop();
await bare.close();
await same.close();
await peer.stop();
