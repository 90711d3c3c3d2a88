import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { openBackfillPipeline, rebuildOnline } from './features_pipeline.ts';
import { createProgress } from './progress.ts';
import { shutdownRequested } from './shutdown.ts';

export interface BackfillOptions {
  readonly in: readonly string[];
  readonly view: readonly string[];
  readonly snapshots?: string;
}

/** `headwater backfill`: features of events in files, into both stores; a JSON line of counts at the end. */
export async function backfill({ in: patterns, view, snapshots }: BackfillOptions): Promise<void> {
  const task = createProgress().begin(`compute features from ${patterns.join(', ')}`);
  let read = { file: '', files: 0, rows: 0 };
  const options = { in: patterns.join(','), views: view.join(',') };
  const { construct, metrics, close } = await openBackfillPipeline(options, (progress) => {
    read = progress;
    task.update(progress.rows, progress.file);
  });
  const startedMs = performance.now();
  try {
    const handle = runEmbedded(createPipeline(construct), {
      ...(snapshots === undefined ? {} : { snapshots: { directory: snapshots, intervalMs: 10_000 } }),
    });
    void shutdownRequested().then(() => handle.drain());
    await handle.finished;
  } finally {
    await close();
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  const total = async (counter: { get(): Promise<{ values: { value: number }[] }> }): Promise<number> =>
    (await counter.get()).values.reduce((sum, { value }) => sum + value, 0);
  const { processed, decayed, duplicates, late, failed } = metrics;
  const counts = {
    files: read.files,
    events: read.rows,
    rows_of_events: await total(processed),
    rows_of_windows: await total(decayed),
    duplicates: await total(duplicates),
    late: await total(late),
    dead_lettered: await total(failed),
  };
  task.finish(`${Math.round(read.rows / seconds)} events a second`);
  if (read.files === 0) process.stderr.write(`no file matches ${patterns.join(', ')}\n`);
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}

/** `headwater features rebuild-online`: after the online store was lost. */
export async function rebuildOnlineStore({ view }: { readonly view: readonly string[] }): Promise<void> {
  const task = createProgress().begin('put the newest rows of history online');
  const counts = await rebuildOnline(view.join(','), (rows) => task.update(rows));
  task.finish();
  process.stdout.write(`${JSON.stringify(counts)}\n`);
}
