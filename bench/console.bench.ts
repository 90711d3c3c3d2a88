import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import { loadPlatformConfig } from '#cli/project/config/platform_config';
import { createConsoleSources } from '#cli/roles/console_sources';
import { account, transactions } from '#examples/fraud/features/transactions';
import { fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { HOUR_MS } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { registerConsole } from '#serving/console/routes';
import { median, percentile } from './tools/quantiles.ts';
import { report } from './tools/result.ts';

// The console's page of features with a thousand of them, a week of windows each, on PGlite.
const VIEWS = 20;
const FEATURES = 50;
const HOURS = 7 * 24;
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
  await offline.statistics.write(
    views.flatMap(({ name: view, version, features }) =>
      Object.keys(features).map((feature) => ({
        ...{ view, version, feature, windowStartMs: hour * HOUR_MS, windowMs: HOUR_MS, statistics },
      })),
    ),
  );
}
const metrics = createMetricsRegistry({ process: false });
const deps = { offline, views, metrics, monitorMetrics: metrics } as unknown as Parameters<
  typeof createConsoleSources
>[0];
const app = fastify();
registerConsole(app, createConsoleSources(deps, loadPlatformConfig({ DATA_DIRECTORY: directory })));
const url = await app.listen({ host: '127.0.0.1', port: 0 });
const times: number[] = [];
let bytes = 0;
for (let round = 0; round < ROUNDS; round += 1) {
  const began = performance.now();
  const text = await (await fetch(`${url}/console/api/features`)).text();
  times.push(performance.now() - began);
  bytes = text.length;
}
const common = {
  bench: 'console',
  case: `${VIEWS * FEATURES} features, a week of hours, ${Math.round(bytes / 1_000)} kB`,
  unit: 'ms',
};
report({ ...common, metric: 'p50', value: median(times), ceiling: 200 });
report({ ...common, metric: 'p95', value: percentile(times, 0.95), ceiling: 200 });
await app.close();
await offline.stop();
