import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createOfflineDatabase } from '#cli/parts/offline_database';
import type { Producer } from '#connectors/connector';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { redisConfigSchema } from '#connectors/redis/config';
import { fraudView } from '#examples/fraud/features/fraud';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { createOnlineStore } from '#feature_store/stores';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { buildBackfillPipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { startServers } from '#scripts/services/start_all';
import { calibrate, shareOf } from '../tools/calibration.ts';
import { report } from '../tools/result.ts';
import { differenceOf, duckdbFraud, type TransactionFiles, writeTransactions } from '../workloads/backfill_workload.ts';

// Back-fill of the fraud view from Parquet into Redis and PostgreSQL, beside the same features by DuckDB's window functions.
const given = process.env.TEST_REDIS_URL !== undefined && process.env.TEST_POSTGRES_URL !== undefined;
const servers = given ? undefined : await startServers(['redis', 'postgres']);
const env = { ...process.env, ...servers?.env } as Record<string, string>;
const redisUrl = new URL(env.TEST_REDIS_URL as string);
const postgresUrl = new URL(env.TEST_POSTGRES_URL as string);
const base = { log: silentLogger, clock: systemClock, views: [fraudView] };
const run = Date.now().toString(36);
const redis = redisConfigSchema.parse({ host: redisUrl.hostname, port: Number(redisUrl.port) });
const postgres = postgresConfigSchema.parse({
  host: postgresUrl.hostname,
  port: Number(postgresUrl.port),
  user: postgresUrl.username,
  database: postgresUrl.pathname.slice(1),
});
const online = createOnlineStore(base, { kind: 'redis', ...redis, keyPrefix: `backfill-${run}` });
const offline = createOfflineDatabase(base, { kind: 'postgres', ...postgres });
const { signal } = new AbortController();
await online.start(signal);
await offline.start(signal);

const bench = 'features_backfill';
const { loop, reads, copies } = await calibrate(bench, { redis, postgres });
/** Of the floors. */
const share = shareOf({ loop, reads, copies });
const events = Number(process.env.BACKFILL_EVENTS ?? 200_000);
const CASES = {
  'busy accounts': { events, accounts: 1_000, everyMs: 400, files: 10 },
  'quiet accounts': { events, accounts: 20_000, everyMs: 5_000, files: 10 },
};
/** One row of so many is compared. */
const COMPARED = 50;

for (const [name, spec] of Object.entries(CASES)) {
  const only = process.env.BACKFILL_CASE;
  if (only === undefined || name.startsWith(only)) await measure(name, { ...spec, prefix: `${run}-${name[0]}` });
}
await online.stop();
await offline.stop();
await servers?.stop();

async function measure(name: string, spec: TransactionFiles): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'backfill-bench-'));
  await writeTransactions(folder, spec);
  const peer = await duckdbFraud(folder, COMPARED);
  const alone = await backfill(folder, undefined);
  let compared = 0;
  for (const row of alone.sampled) {
    const expected = peer.rows.get(`${row.entityKey.slice('account:'.length)}|${row.eventTime}`);
    if (expected === undefined) continue;
    const difference = differenceOf(expected, row.values);
    if (difference !== undefined) throw new Error(`${row.entityKey} at ${row.eventTime}: ${difference}`);
    compared += 1;
  }
  if (compared < peer.rows.size) throw new Error(`${compared} rows of ${peer.rows.size} were found`);
  const rows = `${alone.rowsAnEvent.toFixed(2)} rows an event`;
  const peerOf = { peer: "DuckDB's window functions, into a table", peerValue: spec.events / peer.seconds };
  report({
    ...{ bench, case: `fraud view of ${name} from Parquet, no stores, ${rows}`, metric: 'throughput' },
    ...{ value: spec.events / alone.seconds, unit: 'events/s', ...peerOf, ratioFloor: 0.3 },
  });
  const stored = await backfill(folder, { online, offline: offline.features });
  const throughput = { bench, case: `back-fill of ${name} into Redis and PostgreSQL, ${rows}`, metric: 'throughput' };
  report({
    ...throughput,
    value: spec.events / stored.seconds,
    unit: 'events/s',
    ...peerOf,
    floor: 33_333,
    ratioFloor: 0.3,
  });
  report({
    ...throughput,
    value: (spec.events * stored.rowsAnEvent) / stored.seconds,
    unit: 'rows/s',
    floor: 60_000 * share,
  });
  report({
    ...throughput,
    metric: 'CPU of this process',
    value: (stored.cpuSeconds / spec.events) * 1e6,
    unit: 'µs an event',
  });
  rmSync(folder, { recursive: true, force: true });
}

interface Stores {
  readonly online: Pick<typeof online, 'write'>;
  readonly offline: Pick<typeof offline.features, 'write'>;
}

async function backfill(folder: string, stores: Stores | undefined) {
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const producer: Producer = { send: async () => ({}) as never } as unknown as Producer;
  const sampled: FeatureRow[] = [];
  const sink = { write: async (rows: readonly FeatureRow[]) => void sampled.push(...rows) };
  const to = stores ?? { online: sink, offline: { write: async () => {} } };
  const snapshots = mkdtempSync(join(tmpdir(), 'backfill-snapshots-'));
  const [begin, cpu] = [performance.now(), process.cpuUsage()];
  await runEmbedded(
    createPipeline((root) =>
      buildBackfillPipeline(
        root,
        {
          ...base,
          producer,
          metrics,
          online: { ...online, write: (rows) => to.online.write(rows) } as typeof online,
          offline: {
            ...offline,
            features: { write: (rows: readonly FeatureRow[]) => to.offline.write(rows) },
          } as unknown as typeof offline,
        },
        {
          history: { files: [join(folder, '*.parquet')] },
          ...{ featureEventsTopic: undefined, deadLetterTopic: 'dead' },
          ...{ outOfOrderMs: MINUTE_MS, allowedLatenessMs: DAY_MS, statisticsWindowMs: HOUR_MS },
        },
      ),
    ),
    { snapshots: { directory: snapshots, intervalMs: 10_000 } },
  ).finished;
  const used = process.cpuUsage(cpu);
  const seconds = (performance.now() - begin) / 1_000;
  rmSync(snapshots, { recursive: true, force: true });
  return {
    ...{ seconds, sampled, cpuSeconds: (used.user + used.system) / 1e6 },
    rowsAnEvent: (await totalOf(metrics.decayed)) / events + 1,
  };
}
