import { pathIn } from '#connectors/files/file_system';
import { createFileSystems } from '#connectors/files/file_systems';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { exportRows, importRows } from '#feature_store/offline/row_files';
import { DAY_MS, eventTime } from '#kernel/time';
import { tryParseDuration } from '#kernel/times/duration';
import { compareViews, rebuildOnline } from '../jobs/features_pipeline.ts';
import { PREFIXES } from '../object_store/layout.ts';
import { withOffline } from '../parts/with_offline.ts';
import { definitionsOf, loadProject } from '../project/project.ts';
import { viewOf } from '../project/view_of.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { timeOption } from '../terminal/options.ts';
import { createProgress } from '../terminal/progress.ts';
import { shutdownRequested } from '../terminal/shutdown.ts';
import { UsageError } from '../terminal/usage_error.ts';
import { type BackfillRequest, describeHandOver, describeHistory, runBackfill } from './backfill.ts';

export interface BackfillOptions extends Omit<BackfillRequest, 'views' | 'signal'> {
  readonly view: readonly string[];
  /** Per cent of the events that may break a rule. */
  readonly mostViolations?: number;
}

/** `headwater features backfill`: features of history, into both stores; a JSON line of counts at the end. */
export async function backfill({ view, mostViolations, ...request }: BackfillOptions): Promise<void> {
  const task = createProgress().begin(`compute features from ${describeHistory(request)}`);
  const stop = new AbortController();
  void shutdownRequested().then(() => stop.abort());
  const result = await runBackfill({ ...request, views: view, signal: stop.signal }, ({ rows, from, resumedAfter }) =>
    task.update(rows, resumedAfter === 0 ? from : `${from}, resumed after ${resumedAfter}`),
  );
  const { counts, handedOver, problem } = result;
  const computed = counts.events - counts.resumed_after;
  task.finish(`${computed === 0 ? 0 : Math.round(computed / result.seconds)} events a second`);
  if (handedOver !== undefined) process.stdout.write(`${describeHandOver(handedOver)}\n`);
  process.stdout.write(`${JSON.stringify(counts)}\n`);
  if (problem !== undefined) {
    process.stderr.write(`headwater: ${problem}\n`);
    process.exitCode = 1;
  }
  const limit = ((mostViolations ?? 100) / 100) * counts.events;
  if (counts.violations > limit) {
    process.stderr.write(
      `${counts.violations} broken rules in ${counts.events} events are more than ${mostViolations} %\n`,
    );
    process.exitCode = 1;
  }
}

/** `headwater features materialize`: the same for views computed in batch. */
export async function materialize(settings: BackfillOptions): Promise<void> {
  const inBatch = definitionsOf(await loadProject())
    .views.filter(({ mode }) => mode === 'batch')
    .map(viewId);
  const view = settings.view.length > 0 ? settings.view : inBatch;
  if (view.length === 0) throw new CommandFailedError('no view is computed in batch');
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
  readonly out?: string;
}

/** `headwater features export`: a view's rows as Parquet, a column a feature. @throws {@link UsageError} without a folder, where no object store is set */
export async function exportFeatures({ view: id, from, to, out: given }: ExportOptions): Promise<void> {
  const range = { from: timeOption('--from', from) ?? 0, to: timeOption('--to', to) ?? Date.now() + DAY_MS };
  const project = await loadProject();
  const view = viewOf(project.catalog, id);
  const { directory } = project.objectStore;
  const out = given ?? (directory === undefined ? undefined : pathIn(directory, `${PREFIXES.features}/view=${id}`));
  if (out === undefined)
    throw new UsageError(
      'name a folder with --out, or an object store in objectStore.directory (OBJECT_STORE_DIRECTORY)',
    );
  await withOffline(project, async (offline) => {
    // A range without an end or a beginning is that of the rows there are.
    const bounds = await offline.features.timesOf(view);
    const within = {
      from: eventTime(Math.max(range.from, bounds?.oldest ?? range.to)),
      to: eventTime(Math.min(range.to, (bounds?.newest ?? range.from) + 1)),
    };
    const task = createProgress().begin(`write rows of ${id} to ${out}`);
    const target = { out, fileSystemOf: createFileSystems() };
    const done = await exportRows(offline.features, view, within, target, ({ files, rows }) =>
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
  const project = await loadProject();
  const view = viewOf(project.catalog, id);
  await withOffline(project, async (offline) => {
    const task = createProgress().begin(`read rows of ${id} from ${from}`);
    const source = { from, fileSystemOf: createFileSystems() };
    const done = await importRows(offline.features, view, source, ({ files, rows }) =>
      task.update(rows, `${files} files`),
    );
    task.finish();
    process.stdout.write(`${JSON.stringify(done)}\n`);
  });
}

/** `headwater history prune`: deletes history that is older than it may be. */
export async function applyRetention({
  keep,
  dryRun,
}: {
  readonly keep: string;
  readonly dryRun: boolean;
}): Promise<void> {
  const keepMs = tryParseDuration(keep);
  if (keepMs === undefined) throw new UsageError(`--keep is a duration such as 400d, not "${keep}"`);
  await withOffline(await loadProject(), async (offline) => {
    const deleted = await offline.retention.deleteBefore(eventTime(Date.now() - keepMs), dryRun);
    process.stdout.write(`${JSON.stringify({ ...deleted, dry_run: dryRun })}\n`);
  });
}
