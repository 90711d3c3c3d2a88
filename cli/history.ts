import { createFileSystems } from '#connectors/files/file_systems';
import { viewId } from '#feature_store/definitions/feature_row';
import { exportRows, importRows } from '#feature_store/offline/row_files';
import { tryParseDuration } from '#kernel/duration';
import { DAY_MS, eventTime } from '#kernel/time';
import { totalOf } from '#monitoring/metrics';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { viewOf } from './features.ts';
import { compareViews, openBackfillPipeline, rebuildOnline } from './features_pipeline.ts';
import { timeOption } from './options.ts';
import { definitionsOf, loadPlatformConfig } from './platform_config.ts';
import { createProgress } from './progress.ts';
import { shutdownRequested } from './shutdown.ts';
import { UsageError } from './usage_error.ts';
import { withOffline } from './with_offline.ts';

export interface BackfillOptions {
  readonly in?: readonly string[];
  readonly query?: string;
  readonly view: readonly string[];
  readonly snapshots?: string;
  /** Per cent of the events that may break a rule. */
  readonly mostViolations?: number;
}

/** What a back-fill came to. */
export interface BackfillCounts {
  readonly files: number;
  readonly events: number;
  readonly rows_of_events: number;
  readonly rows_of_windows: number;
  readonly duplicates: number;
  readonly late: number;
  readonly violations: number;
  readonly dead_lettered: number;
}

/** `headwater backfill`: features of history, into both stores; a JSON line of counts at the end. */
export async function backfill(settings: BackfillOptions): Promise<void> {
  const { mostViolations } = settings;
  const { counts } = await runBackfill(settings);
  process.stdout.write(`${JSON.stringify(counts)}\n`);
  const limit = ((mostViolations ?? 100) / 100) * counts.events;
  if (counts.violations > limit) {
    process.stderr.write(
      `${counts.violations} broken rules in ${counts.events} events are more than ${mostViolations} %\n`,
    );
    process.exitCode = 1;
  }
}

/** Computes features of history into both stores, with progress; stops early where the process is asked to shut down. */
export async function runBackfill(
  settings: Omit<BackfillOptions, 'mostViolations'>,
): Promise<{ readonly counts: BackfillCounts; readonly seconds: number; readonly isWhole: boolean }> {
  const { in: patterns, query, view, snapshots } = settings;
  let isWhole = true;
  const where = patterns?.join(', ') ?? (query === undefined ? 'the histories of the sources' : 'a query');
  const task = createProgress().begin(`compute features from ${where}`);
  let read = { files: 0, rows: 0 };
  const options = {
    ...(patterns === undefined ? {} : { in: patterns.join(',') }),
    ...(query === undefined ? {} : { query }),
    views: view.join(','),
  };
  const { construct, metrics, close } = await openBackfillPipeline(options, (progress) => {
    read = progress;
    task.update(progress.rows, progress.from);
  });
  const startedMs = performance.now();
  try {
    const handle = runEmbedded(createPipeline(construct), {
      ...(snapshots === undefined ? {} : { snapshots: { directory: snapshots, intervalMs: 10_000 } }),
    });
    void shutdownRequested().then(() => {
      isWhole = false;
      return handle.drain();
    });
    await handle.finished;
  } finally {
    await close();
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  const { processed, decayed, duplicates, late, failed, violations } = metrics;
  const counts = {
    files: read.files,
    events: read.rows,
    rows_of_events: await totalOf(processed),
    rows_of_windows: await totalOf(decayed),
    duplicates: await totalOf(duplicates),
    late: await totalOf(late),
    violations: await totalOf(violations),
    dead_lettered: await totalOf(failed),
  };
  task.finish(`${Math.round(read.rows / seconds)} events a second`);
  if (read.rows === 0) process.stderr.write(`nothing was found in ${where}\n`);
  return { counts, seconds, isWhole };
}

/** `headwater materialize`: the same for views computed in batch. */
export async function materialize(settings: BackfillOptions): Promise<void> {
  const inBatch = definitionsOf(loadPlatformConfig(process.env))
    .views.filter(({ mode }) => mode === 'batch')
    .map(viewId);
  const view = settings.view.length > 0 ? settings.view : inBatch;
  if (view.length === 0) throw new UsageError('no view is computed in batch');
  await backfill({ ...settings, view });
}

/** `headwater features rebuild-online`: after the online store was lost. */
export async function rebuildOnlineStore({ view }: { readonly view: readonly string[] }): Promise<void> {
  const task = createProgress().begin('put the newest rows of history online');
  const counts = await rebuildOnline(view.join(','), (rows) => task.update(rows));
  task.finish();
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}

export interface ConsistencyOptions {
  readonly view: readonly string[];
  readonly sample: number;
  readonly least: number;
}

/** `headwater features consistency`: a JSON line a view. */
export async function checkConsistency({ view, sample, least }: ConsistencyOptions): Promise<void> {
  const compared = await compareViews(view.join(','), sample);
  for (const [id, consistency] of Object.entries(compared)) {
    process.stdout.write(`${JSON.stringify({ view: id, ...consistency })}\n`);
    if (consistency.share < least) process.exitCode = 1;
  }
}

export interface ExportOptions {
  readonly view: string;
  readonly from?: string;
  readonly to?: string;
  readonly out: string;
}

/** `headwater features export`: a view's rows as Parquet, a column a feature. */
export async function exportFeatures({ view: id, from, to, out }: ExportOptions): Promise<void> {
  const range = { from: timeOption('--from', from) ?? 0, to: timeOption('--to', to) ?? Date.now() + DAY_MS };
  await withOffline(async (offline) => {
    // A range without an end or a beginning is that of the rows there are.
    const bounds = await offline.timesOf(viewOf(id));
    const within = {
      from: eventTime(Math.max(range.from, bounds?.oldest ?? range.to)),
      to: eventTime(Math.min(range.to, (bounds?.newest ?? range.from) + 1)),
    };
    const task = createProgress().begin(`write rows of ${id} to ${out}`);
    const target = { out, fileSystemOf: createFileSystems() };
    const done = await exportRows(offline, viewOf(id), within, target, ({ files, rows }) =>
      task.update(rows, `${files} files`),
    );
    task.finish();
    process.stdout.write(`${JSON.stringify(done)}\n`);
  });
}

/** `headwater features import`: what export has written. */
export async function importFeatures({
  view: id,
  from,
}: {
  readonly view: string;
  readonly from: string;
}): Promise<void> {
  await withOffline(async (offline) => {
    const task = createProgress().begin(`read rows of ${id} from ${from}`);
    const source = { from, fileSystemOf: createFileSystems() };
    const done = await importRows(offline, viewOf(id), source, ({ files, rows }) =>
      task.update(rows, `${files} files`),
    );
    task.finish();
    process.stdout.write(`${JSON.stringify(done)}\n`);
  });
}

/** `headwater retention`: deletes history that is older than it may be. */
export async function applyRetention({
  keep,
  dryRun,
}: {
  readonly keep: string;
  readonly dryRun: boolean;
}): Promise<void> {
  const keepMs = tryParseDuration(keep);
  if (keepMs === undefined) throw new UsageError(`--keep is a duration such as 400d, not "${keep}"`);
  await withOffline(async (offline) => {
    const deleted = await offline.deleteBefore(eventTime(Date.now() - keepMs), dryRun);
    process.stdout.write(`${JSON.stringify({ ...deleted, dry_run: dryRun })}\n`);
  });
}
