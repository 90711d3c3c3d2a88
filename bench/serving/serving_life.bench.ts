import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { fastify } from 'fastify';
import { redisConfigSchema } from '#connectors/redis/config';
import { entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { createOnlineStore } from '#feature_store/stores';
import { eventTime, processingTime, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { startRedis } from '#scripts/services/servers';
import { serveForBench, WARM_MS } from '../tools/bench_serving.ts';
import { openLoop, posts } from '../tools/open_loop.ts';
import { median, percentile } from '../tools/quantiles.ts';
import { report } from '../tools/result.ts';
import { entityView, FEATURES } from '../workloads/entity_workload.ts';
import { instances, trainBenchModel } from '../workloads/serving_workload.ts';

// What happens around predictions: features looked up in Redis, a model that is changed under load, a start with five models, memory.
const ENTITIES = 10_000;
const ROUNDS = 5;
const SECONDS = 3;

const { model } = await trainBenchModel();
const { model: byEntity } = await trainBenchModel(FEATURES);

// Start to ready, first: nothing is warm.
{
  const names = Array.from({ length: 5 }, (_, index) => `bench_${index}`);
  const beganMs = performance.now();
  const { stop } = await serveForBench(Object.fromEntries(names.map((name) => [name, model.package])));
  const seconds = (performance.now() - beganMs - WARM_MS) / 1_000;
  report({
    bench: 'serving_life',
    case: 'start with 5 models',
    metric: 'until ready',
    value: seconds,
    unit: 's',
    ceiling: 3,
  });
  await stop();
}

// One model after another, while requests come.
{
  const { serving, models, registry, stop } = await serveForBench({ bench: model.package });
  const bodies = instances(200, 1).map((features) => JSON.stringify({ model_name: 'bench', features }));
  const load = { port: Number(new URL(serving.url).port), requests: posts('/predict', bodies), connections: 256 };
  const quiet = await openLoop({ ...load, requestsASecond: 2_000, seconds: 6 });
  const under = openLoop({ ...load, requestsASecond: 2_000, seconds: 6 });
  for (let swap = 0; swap < 4; swap += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const { version } = await registry.register({ name: 'bench', ...model });
    await registry.transition('bench', version, 'Production');
    await models.refresh();
  }
  const during = await under;
  const failures = Object.entries(during.latencies).reduce(
    (sum, [status, all]) => sum + (status === '200' ? 0 : all.length),
    0,
  );
  process.stderr.write(
    `${JSON.stringify({ failures, broken: during.broken, notSent: during.notSent, quiet: quiet.notSent })}\n`,
  );
  const common = { bench: 'serving_life', case: '4 models change in 6 s, 2,000 requests/s' };
  report({
    ...common,
    metric: 'failures',
    value: failures + during.broken + during.notSent,
    unit: 'requests',
    ceiling: 0,
  });
  const [calm, busy] = [percentile(quiet.latencies[200], 0.99), percentile(during.latencies[200], 0.99)];
  report({ ...common, metric: 'p99', value: busy, unit: 'ms', peer: 'no change', peerValue: calm, ceiling: 2 * calm });
  const rss = process.memoryUsage.rss() / 1e6;
  report({
    bench: 'serving_life',
    case: 'memory after that, clients included',
    metric: 'RSS',
    value: rss,
    unit: 'MB',
    ceiling: 300,
  });
  await stop();
}

// By entity, beside a Fastify that looks nothing up.
{
  const redis = await startRedis(mkdtempSync(join(tmpdir(), 'bench-redis-')));
  const url = new URL(redis.env.TEST_REDIS_URL as string);
  const base = {
    log: silentLogger,
    clock: systemClock,
    views: [entityView],
    metrics: createMetricsRegistry({ process: false }),
  };
  const online = createOnlineStore(base, {
    ...{ kind: 'redis' as const, keyPrefix: 'bench' },
    ...redisConfigSchema.parse({ host: url.hostname, port: Number(url.port) }),
  });
  await online.start(new AbortController().signal);
  const nowMs = Date.now();
  const rows = instances(ENTITIES, 2).map((values, index) => ({
    ...{ view: entityView.view, version: entityView.version, entityKey: entityKeyFromId(entityView, `user-${index}`) },
    ...{ eventTime: eventTime(nowMs), computedAt: processingTime(nowMs) },
    values: Object.fromEntries(FEATURES.map((name) => [name, values[name] as number])),
  }));
  for (let from = 0; from < rows.length; from += 500) await online.write(rows.slice(from, from + 500));
  const { serving, stop } = await serveForBench({ by_entity: byEntity.package }, { online, views: [entityView] });
  const bare = fastify();
  bare.post('/predict', async () => ({ prediction: 'good', model_version: 1 }));
  const bareUrl = await bare.listen({ host: '127.0.0.1', port: 0 });
  const requests = Array.from({ length: 1_000 }, (_, index) => ({
    ...{ method: 'POST' as const, path: '/predict', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify({ model_name: 'by_entity', entity_id: `user-${(index * 7) % ENTITIES}` }),
  }));
  const found = { ours: [] as autocannon.Result[], bare: [] as autocannon.Result[] };
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, target] of [
      ['ours', serving.url],
      ['bare', bareUrl],
    ] as const) {
      const result = await autocannon({ url: target, connections: 32, workers: 1, requests, duration: SECONDS });
      if (result.non2xx + result.errors > 0)
        throw new Error(`${name}: ${JSON.stringify(result.statusCodeStats)}, ${result.errors} broken`);
      if (round > 0) found[name].push(result);
    }
  }
  const rateOf = (name: keyof typeof found): number => median(found[name].map(({ requests: { average } }) => average));
  const common = { bench: 'serving_life', case: 'by entity, 15 features from Redis, 32 connections' };
  const peer = { peer: 'bare Fastify', peerValue: rateOf('bare') };
  report({ ...common, metric: 'throughput', value: rateOf('ours'), unit: 'requests/s', ...peer, ratioFloor: 0.6 });
  const p99 = median(found.ours.map(({ latency }) => latency.p99));
  report({ ...common, metric: 'p99', value: p99, unit: 'ms', ceiling: 20 });
  await stop();
  await bare.close();
  await online.stop();
  await redis.stop();
}
