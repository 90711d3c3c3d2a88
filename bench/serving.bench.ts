import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { runTraffic } from '#cli/demo/traffic';
import { shippedFraudDetector } from '#cli/shipped_model';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { VIEWS } from '#feature_store/views/catalog';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { LocalRegistry } from '#registry/local/local_registry';
import { servingConfigSchema } from '#serving/config';
import { PredictionLog } from '#serving/prediction_log';
import { ModelServer } from '#serving/runtime/model_server';
import { createServing } from '#serving/server';
import { report } from './result.ts';

// POST /predict of the shipped fraud detector, one row, 32 connections from another thread; beside it a Fastify that only parses and answers.
const CONNECTIONS = 32;
const REQUESTS = 30_000;
const WARM_UP = 5_000;

const registry = new LocalRegistry({ kind: 'local', directory: mkdtempSync(join(tmpdir(), 'bench-')) });
const shipped = await shippedFraudDetector();
const { version } = await registry.register(shipped);
await registry.transition('fraud_detector', version, 'Production');
const metrics = createMetricsRegistry();
const config = servingConfigSchema.parse({ port: 0, models: [{ name: 'fraud_detector' }] });
const models = new ModelServer({ registry, log: silentLogger, metrics }, config);
const predictions = new PredictionLog(
  { sink: { write: async () => {} }, log: silentLogger, metrics },
  { maxPending: 100_000 },
);
const online = new MemoryOnlineStore(
  { log: silentLogger, clock: systemClock, ttlMs: new Map() },
  { file: join(mkdtempSync(join(tmpdir(), 'bench-')), 'rows') },
);
const features = new FeatureReader({ online, clock: systemClock }, { views: VIEWS, services: [] });
await models.start();
await predictions.start();
const serving = await createServing(
  { models, features, predictions, clock: systemClock, metrics, log: silentLogger },
  config,
);
await serving.start();

const bare = fastify();
bare.post('/predict', async () => ({ prediction: 'legitimate', model_version: 0 }));
const bareUrl = await bare.listen({ host: '127.0.0.1', port: 0 });

const bodies = shipped.package.examples.map(({ features }) =>
  JSON.stringify({ model_name: 'fraud_detector', features }),
);
const load = (url: string, requests: number) =>
  runTraffic({
    kind: 'predict',
    url,
    path: '/predict',
    bodies: Array.from({ length: requests }, (_, index) => bodies[index % bodies.length] as string),
    connections: CONNECTIONS,
    repeat: false,
    stop: new SharedArrayBuffer(4),
  });

for (const url of [bareUrl, serving.url]) await load(url, WARM_UP);
const peer = await load(bareUrl, REQUESTS);
const ours = await load(serving.url, REQUESTS);
if (ours.failed > 0) throw new Error(`${ours.failed} requests failed: ${ours.firstFailure}`);
const rate = ({ requests, elapsedMs }: typeof ours): number => (requests / elapsedMs) * 1_000;
const common = { bench: 'serving', case: 'POST /predict, 1 row, 32 connections', peer: 'bare Fastify' };
report({ ...common, metric: 'throughput', value: rate(ours), unit: 'requests/s', peerValue: rate(peer), floor: 1_000 });
report({ ...common, metric: 'p99', value: ours.p99Ms, unit: 'ms', peerValue: peer.p99Ms });

await serving.stop();
await predictions.stop();
await models.stop();
await bare.close();
