import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { z } from 'zod';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { createArchive } from '#cli/parts/open_archive';
import { platformConfigSchema } from '#cli/project/config/platform_config';
import { definitionsOf, type Project } from '#cli/project/project';
import { createMonitorJob } from '#cli/roles/monitor_service';
import { createFeatureJob } from '#cli/roles/pipeline_service';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { createFileSystems } from '#connectors/files/file_systems';
import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';
import type { DriftReport } from '#monitoring/drift/drift_report';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, type Registry } from '#monitoring/metrics';
import { readList } from '#pipelines/archive/archive_list';
import { archivePlace } from '#pipelines/archive/archive_place';
import { BrokerSource } from '#pipelines/io/broker_source';
import type { ModelRegistry } from '#registry/model_registry';
import { SERVICES } from '../../support/definitions/all_definitions.ts';
import { goodEvent } from '../../support/definitions/good_event.ts';
import { testProject } from '../../support/platforms/test_project.ts';
import { turns } from '../../support/turns.ts';

// The rule for saved state (docs/adr/0017), held against every setting that could shape it: state is saved under one value, the job starts under another, and either it runs and
// what it writes is right, or the start is refused and names the difference. It never restarts in a loop.

interface Change {
  readonly from?: unknown;
  readonly to: unknown;
  /** The start is refused with this. */
  readonly refused?: RegExp;
}

/** Settings of the jobs and the archive, each with the changes that are tried. */
const CHANGES: Readonly<Record<string, readonly Change[]>> = {
  'pipeline.group': [{ to: 'others' }],
  'pipeline.snapshotIntervalMs': [{ to: 50 }],
  'pipeline.outOfOrderMs': [{ to: 0 }, { to: 3_600_000 }],
  'pipeline.allowedLatenessMs': [{ to: 3_600_000 }, { to: 2_000_000_000 }],
  'pipeline.idleAfterMs': [{ to: 50 }, { to: 60_000 }],
  'pipeline.deduplication.maxIdsPerEntity': [{ to: 1_000 }],
  'pipeline.offsetOutOfRange': [{ to: 'earliest' }],
  'pipeline.unreadableBatches': [{ to: 'dead_letter' }],
  'pipeline.failureLimit.share': [{ to: 0.1 }],
  'pipeline.failureLimit.minEvents': [{ to: 1 }],
  'pipeline.resumedViews': [{ to: ['fraud@1'] }],
  'features.statisticsWindow': [{ to: '15m' }, { to: '1d' }, { to: 'off' }, { from: 'off', to: '1h' }],
  'features.consistencyInterval': [{ to: 'off' }],
  'features.contractInterval': [{ to: 'off' }],
  'features.views': [
    { to: { 'fraud@1': { without: ['max_amount_7d'] } } },
    { from: { 'fraud@1': { without: ['max_amount_7d'] } }, to: {} },
    { to: { 'fraud@1': { ttl: '1h' } } },
    { to: { 'user_activity@2': { enabled: false } } },
    { from: { 'user_activity@2': { enabled: false } }, to: {} },
  ],
  'topics.partitions': [{ to: 8 }],
  'topics.rawEvents': [{ to: 'raw-events-2' }],
  'topics.featureEvents': [{ to: 'feature-events-2' }],
  'topics.deadLetters': [{ to: 'dead-letters-2' }],
};

const MONITOR_CHANGES: Readonly<Record<string, readonly Change[]>> = {
  'monitor.group': [{ to: 'others' }],
  'monitor.snapshotIntervalMs': [{ to: 50 }],
  'monitor.idleAfterMs': [{ to: 50 }],
  'monitor.window': [{ to: '15m' }, { to: '1d' }],
  'monitor.every': [{ from: '1h', to: '1s' }, { to: '2s' }],
  'monitor.minRows': [{ to: 60 }],
  'monitor.ignore': [{ to: [] }],
  'monitor.thresholds.psi': [{ to: 0.5 }],
  'monitor.thresholds.cramersV': [{ to: 0.5 }],
  'monitor.thresholds.significance': [{ to: 0.5 }],
  'monitor.thresholds.nullShare': [{ to: 0.5 }],
  'monitor.performance': [{ to: '1d' }],
  'monitor.minLabels': [{ to: 1 }],
  'monitor.settle': [{ to: '1m' }],
  'monitor.models': [{ to: { fraud_detector: { minRows: 60, thresholds: { psi: 0.5 } } } }],
  'topics.predictions': [{ to: 'predictions-2' }],
};

const ARCHIVE_CHANGES: Readonly<Record<string, readonly Change[]>> = {
  'archive.enabled': [{ from: false, to: true }],
  'archive.directory': [{ to: 'another-archive' }],
  'archive.flushEvery': [{ to: '1s' }],
  'archive.keep': [{ to: '30d' }],
  'topics.rawEvents': [{ to: 'raw-events-2', refused: /is of topic raw-events, and topics.rawEvents is raw-events-2/ }],
};

/** Of listeners: no job sees them. */
const OF_LISTENERS =
  /^(pipeline|monitor)\.(host|port|tls|apiKeys|keysFile|cors|withoutKeys|keysRefreshMs|access|jwt|[a-zA-Z]*(Keys|Origins|Hosts|Limit|Header)[a-zA-Z]*)(\.|$)|^features\.services/;

function pathsOf(schema: z.core.$ZodType, path: string): readonly string[] {
  const { def } = schema._zod as unknown as {
    def: { readonly shape?: Record<string, z.core.$ZodType>; readonly innerType?: z.core.$ZodType };
  };
  if (def.shape !== undefined)
    return Object.entries(def.shape).flatMap(([key, part]) => pathsOf(part, `${path}.${key}`));
  return def.innerType === undefined ? [path] : pathsOf(def.innerType, path);
}

test('every setting of the jobs and of the archive has its changes here', () => {
  const { shape } = platformConfigSchema;
  const all = (['pipeline', 'features', 'monitor', 'archive', 'topics'] as const).flatMap((section) =>
    pathsOf(shape[section], section),
  );
  const tried = [CHANGES, MONITOR_CHANGES, ARCHIVE_CHANGES].flatMap(Object.keys);
  expect(all.filter((path) => !tried.includes(path) && !OF_LISTENERS.test(path))).toEqual([]);
  expect(tried.filter((path) => !all.includes(path))).toEqual([]);
});

const STARTED = Date.now();
/** All of them lie in one window of any length. */
const HOUR = Math.floor((STARTED - 2 * HOUR_MS) / HOUR_MS) * HOUR_MS;
let root: string;
let broker: DiskLog;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'changed-settings-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const configOf = (directory: string, settings: Readonly<Record<string, unknown>>): Project => {
  const services = Object.fromEntries(SERVICES.map(({ signature }) => [signature.service, { enabled: false }]));
  return testProject(
    { DATA_DIRECTORY: directory },
    {
      'features.services': services,
      'pipeline.snapshotIntervalMs': 200,
      'pipeline.idleAfterMs': 100,
      'monitor.snapshotIntervalMs': 200,
      'monitor.every': '1s',
      'monitor.idleAfterMs': 100,
      'monitor.minRows': 50,
      ...settings,
    },
  );
};

async function openLog(config: Project): Promise<void> {
  if (config.broker.kind !== 'disk_log') throw new Error('the default broker is the log on disk');
  broker = new DiskLog({ log: silentLogger, clock: systemClock }, { ...config.broker, fsync: 'never' });
  await broker.start();
  const { partitions, ...names } = config.topics;
  await broker.ensureTopics(Object.values(names).map((name) => ({ name, partitions })));
}

/** @param what - said when it does not come about */
async function until(isSo: () => boolean | Promise<boolean>, what: () => string): Promise<void> {
  for (const endMs = Date.now() + 20_000; !(await isSo()); await turns())
    if (Date.now() > endMs) throw new Error(what());
}

const startedEmpty = async (metrics: Registry): Promise<boolean> =>
  /pipeline_state_changes_total\{[^}]*change="started_empty"\} [1-9]/.test(await metrics.metrics());

/** What stores have seen. */
const stores = () => {
  const rows = new Map<string, FeatureRow>();
  const statistics: WindowStatistics[] = [];
  const drift: DriftReport[] = [];
  const write = async (written: readonly FeatureRow[]) => {
    for (const row of written) rows.set(`${viewId(row)} ${row.entityKey}`, row);
    return { written: written.length, stale: 0 };
  };
  const offline = {
    features: { write },
    erasures: { read: async () => ({ secret: 'secret', erasures: [] }) },
    statistics: { write: async (some: readonly WindowStatistics[]) => void statistics.push(...some) },
    drift: {
      write: async (some: readonly DriftReport[]) => void drift.push(...some),
      judgedPredictions: async () => [],
    },
  };
  return {
    rows,
    statistics,
    drift,
    online: { write } as unknown as OnlineStore,
    offline: offline as unknown as OfflineDatabase,
  };
};

const featureJob = (config: Project) => {
  const seen = stores();
  const metrics = createMetricsRegistry({ process: false });
  const views = definitionsOf(config).views.filter((view) => ['fraud@1', 'user_activity@2'].includes(viewId(view)));
  const { job } = createFeatureJob({ broker, ...seen, views, log: silentLogger, metrics, clock: systemClock }, config);
  return { ...seen, job, metrics };
};

const sendPayments = ({ topics }: Project, first: number, count: number): Promise<void> =>
  broker.producer.send(
    topics.rawEvents,
    Array.from({ length: count }, (_, index) => {
      const at = new Date(HOUR + (first + index) * 1_000).toISOString();
      const event = goodEvent(`e${first + index}`, {
        timestamp: at,
        received_at: at,
        source: 'gateway',
        schema_version: 1,
      });
      return { key: 'u1', value: JSON.stringify(event) };
    }),
  );

const monitorJob = (config: Project) => {
  const seen = stores();
  const metrics = createMetricsRegistry({ process: false });
  const registry = { resolve: async () => undefined } as unknown as ModelRegistry;
  const job = createMonitorJob({ broker, registry, ...seen, log: silentLogger, metrics, clock: systemClock }, config);
  return { ...seen, job, metrics };
};

const sendPredictions = ({ topics }: Project, first: number, count: number): Promise<void> =>
  broker.producer.send(
    topics.predictions,
    Array.from({ length: count }, (_, index) => {
      const of = { modelName: 'm', modelVersion: 1, prediction: 'yes', probabilities: { no: 0.4, yes: 0.6 } };
      const logged = { ...of, requestId: `r${first + index}`, rowIndex: 0, predictedAtMs: HOUR + first + index };
      return { key: 'k', value: JSON.stringify(logged) };
    }),
  );

type Kind = 'features' | 'monitor';
const saved = new Map<string, string>();

/** A folder with the state of a job that has seen three events, or sixty predictions, under a value of a setting. */
async function savedUnder(kind: Kind, settings: Readonly<Record<string, unknown>>): Promise<string> {
  const id = `${kind} ${JSON.stringify(settings)}`;
  const known = saved.get(id);
  if (known !== undefined) return known;
  const directory = join(root, `saved-${saved.size}`);
  const config = configOf(directory, settings);
  await openLog(config);
  const { job, rows, drift } = kind === 'features' ? featureJob(config) : monitorJob(config);
  try {
    await job.start();
    if (kind === 'features') {
      await sendPayments(config, 0, 3);
      await until(
        () => rows.get('fraud@1 account:a1')?.values.count_24h === 3,
        () => `no third row, the job is ${JSON.stringify(job.state())}`,
      );
    } else {
      await sendPredictions(config, 0, 60);
      // With ticks of an hour nothing is reported yet.
      if (config.monitor.every === '1s')
        await until(
          () => drift.length > 0,
          () => `no report, the job is ${JSON.stringify(job.state())}`,
        );
      else
        await until(
          async () =>
            [...(await broker.committed(config.monitor.group, config.topics.predictions)).values()].includes('59'),
          () => `not all are read, the job is ${JSON.stringify(job.state())}`,
        );
    }
    await job.drain();
  } finally {
    await job.stop();
    await broker.stop();
  }
  saved.set(id, directory);
  return directory;
}

async function resumed(kind: Kind, path: string, { from, to }: Change) {
  const directory = join(root, `run-${Math.random().toString(36).slice(2)}`);
  cpSync(await savedUnder(kind, from === undefined ? {} : { [path]: from }), directory, { recursive: true });
  const config = configOf(directory, { [path]: to });
  await openLog(config);
  const run = kind === 'features' ? featureJob(config) : monitorJob(config);
  return { config, directory, ...run };
}

const rowsOf = (changes: Readonly<Record<string, readonly Change[]>>): [string, Change][] =>
  Object.entries(changes).flatMap(([path, list]) => list.map((change): [string, Change] => [path, change]));

const label = ([path, { from, to }]: [string, Change]): [string, string, string, Change] => [
  path,
  JSON.stringify(from ?? 'default'),
  JSON.stringify(to),
  { from, to },
];

test.each(rowsOf(CHANGES).map(label))('feature pipeline: %s from %s to %s', async (path, _, __, change) => {
  const { config, job, rows, statistics, metrics } = await resumed('features', path, change);
  try {
    await job.start();
    await sendPayments(config, 3, 2);
    await until(
      () => rows.get('fraud@1 account:a1')?.values.count_24h === 5,
      () => `count is ${rows.get('fraud@1 account:a1')?.values.count_24h}, the job is ${JSON.stringify(job.state())}`,
    );
    expect(rows.get('fraud@1 account:a1')?.values).toMatchObject({ sum_amount_7d: 25, mean_amount_24h: 5 });
    expect(job.state().reason ?? '').not.toMatch(/restart/);
    await job.drain();
    const { statisticsWindow } = config.features;
    const windowMs = statisticsWindow === 'off' ? undefined : durationMs(statisticsWindow);
    for (const window of statistics) expect(window.windowMs).toBe(windowMs);
    const restarts =
      path === 'features.statisticsWindow' && !['off'].includes(String(change.to)) && change.from === undefined;
    if (restarts) expect(await startedEmpty(metrics)).toBe(true);
  } finally {
    await job.stop();
    await broker.stop();
  }
});

test.each(rowsOf(MONITOR_CHANGES).map(label))('monitoring: %s from %s to %s', async (path, _, __, change) => {
  const { config, job, drift, metrics } = await resumed('monitor', path, change);
  // Of another window those from before are not known; of the same they are.
  const rows = path === 'monitor.window' ? 60 : 120;
  try {
    await job.start();
    await sendPredictions(config, 60, 60);
    await until(
      () => drift.some((report) => report.rows === rows),
      () => `reports of ${drift.map((report) => report.rows)} rows, the job is ${JSON.stringify(job.state())}`,
    );
    const windowMs = durationMs(config.monitor.window);
    for (const report of drift) {
      expect([report.windowMs, report.windowStartMs]).toEqual([windowMs, Math.floor(HOUR / windowMs) * windowMs]);
    }
    expect(job.state().reason ?? '').not.toMatch(/restart/);
    expect(await startedEmpty(metrics)).toBe(path === 'monitor.window');
  } finally {
    await job.stop();
    await broker.stop();
  }
});

test.each(rowsOf(ARCHIVE_CHANGES))('archive: %s changes', async (path, { from, to, refused }) => {
  const directory = join(root, `archive-${Math.random().toString(36).slice(2)}`);
  const inFolder = (value: unknown): unknown => (path === 'archive.directory' ? join(directory, String(value)) : value);
  const before = configOf(directory, from === undefined ? {} : { [path]: from });
  await openLog(before);
  try {
    const deps = { broker, log: silentLogger };
    const first = createArchive(deps, before);
    await first?.start();
    await sendPayments(before, 0, 3);
    await first?.catchUp(10_000);
    await first?.stop();
    const config = configOf(directory, { [path]: inFolder(to) });
    await broker.ensureTopics([{ name: config.topics.rawEvents, partitions: 1 }]);
    const second = createArchive(deps, config);
    if (refused !== undefined) {
      await expect(second?.start()).rejects.toThrow(refused);
      return;
    }
    await second?.start();
    await sendPayments(config, 3, 2);
    await second?.catchUp(10_000);
    await second?.stop();
    const place = archivePlace(config.archive.directory ?? join(directory, 'archive'), createFileSystems({}));
    const list = await readList(place);
    expect(list?.files.reduce((sum, file) => sum + file.rows, 0)).toBe(5);
  } finally {
    await broker.stop();
  }
});

test('positions of another broker are refused, and both are named', () => {
  const source = new BrokerSource({ kind: 'kafka', addsPartitions: true } as never, {
    ...{ topics: ['raw-events'], group: 'g', startAt: 'earliest', outOfOrderMs: 0, idleAfterMs: MINUTE_MS },
    decode: () => ({ element: undefined, eventTimeMs: undefined }),
  });
  const part = {
    kind: 'partition',
    broker: 'disk_log',
    topic: 'raw-events',
    partition: '0',
    startAt: 'earliest',
  } as const;
  expect(source.adaptRestrictions([{ ...part, position: '7', newest: 0, remaining: undefined }])).toEqual({
    refused: expect.stringMatching(
      /position 7 of topic raw-events\[0\] of a disk_log broker, and the broker is kafka now/,
    ),
  });
});
