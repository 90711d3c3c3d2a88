import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { loadPlatformConfig } from '#cli/project/config/platform_config';
import type { Project } from '#cli/project/project';
import { createConsoleSources } from '#cli/roles/console/console_sources';
import { account, transactions } from '#examples/fraud/features/transactions';
import { fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { HOUR_MS } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { registerConsole } from '#serving/console/routes';
import { median, percentile } from './tools/quantiles.ts';
import { report } from './tools/result.ts';

// Pages of the console with a thousand views of fifty features, each with some windows, on PGlite.
const VIEWS = 1_000;
const FEATURES = 50;
const HOURS = 4;
const ROUNDS = 30;

const directory = mkdtempSync(join(tmpdir(), 'bench-console-'));
const views = Array.from({ length: VIEWS }, (_, index) =>
  featureView({
    ...{ name: `view_${index}`, version: 1, entity: account, source: transactions, ttl: '1d', owner: 'bench' },
    description: 'Fifty numbers',
    features: Object.fromEntries(
      Array.from({ length: FEATURES }, (__, feature) => [
        `feature_${feature}`,
        fromEvent('double', 'a number', () => 0),
      ]),
    ),
  }),
);
const offline = createOfflineDatabase({ log: silentLogger, views: [] }, { kind: 'pglite', directory });
await offline.start(new AbortController().signal);
const statistics = {
  ...{ rows: 10_000, nulls: 12, mean: 3.14, stddev: 2.7, min: 0, max: 99, top: [], sampled: 512 },
  quantiles: Array.from({ length: 21 }, (_, step) => step * 4.7123),
};
for (let hour = 0; hour < HOURS; hour += 1) {
  for (const { name: view, version, features } of views) {
    await offline.statistics.write(
      Object.keys(features).map((feature) => ({
        ...{ view, version, feature, windowStartMs: hour * HOUR_MS, windowMs: HOUR_MS, statistics },
      })),
    );
  }
}
const metrics = createMetricsRegistry({ process: false });
const registry = { listModels: async () => [] };
const deps = { offline, registry, metrics, monitorMetrics: metrics, log: silentLogger, health: [] };
const catalog = { views, onDemand: [], services: [], sources: [] };
const config = { ...loadPlatformConfig({ DATA_DIRECTORY: directory }), catalog } as unknown as Project;
const app = fastify();
registerConsole(
  app,
  createConsoleSources(deps as unknown as Parameters<typeof createConsoleSources>[0], config).sources,
);
const url = await app.listen({ host: '127.0.0.1', port: 0 });
const PAGES = {
  features: '/console/api/features',
  'features, the last page': `/console/api/features?offset=${VIEWS * FEATURES - 50}`,
  'features by name': '/console/api/features?text=view_77%20feature_4',
  views: '/console/api/views',
  'one feature': '/console/api/views/view_500@1/features/feature_7',
  search: '/console/api/search?text=feature_49',
};
for (const [name, path] of Object.entries(PAGES)) {
  const times: number[] = [];
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const began = performance.now();
    const answer = await fetch(`${url}${path}`);
    if (!answer.ok) throw new Error(await answer.text());
    bytes = (await answer.text()).length;
    times.push(performance.now() - began);
  }
  const common = {
    bench: 'console',
    case: `${name}: ${VIEWS * FEATURES} features, ${Math.round(bytes / 1_000)} kB`,
    unit: 'ms',
  };
  report({ ...common, metric: 'p50', value: median(times), ceiling: 200 });
  report({ ...common, metric: 'p95', value: percentile(times, 0.95), ceiling: 200 });
}
await app.close();
await offline.stop();
