import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { createFileSystems } from '#connectors/files/file_systems';
import { transactions } from '#examples/fraud/features/transactions';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { completeSince, missingEvents } from '#pipelines/archive/archive_coverage';
import { type ArchiveList, readList, writeList } from '#pipelines/archive/archive_list';
import type { ArchivePosition } from '#pipelines/archive/archive_reader';
import { EventArchive } from '#pipelines/archive/event_archive';
import { type BackfillSettings, buildBackfillPipeline, buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { handOver } from '#pipelines/jobs/hand_over';
import type { Construct } from '#pipelines/model/graph';
import { createPipeline } from '#pipelines/model/pipeline';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import type { MergeCells } from '#pipelines/runner/take_over';
import { mergeOfFeatures } from '#pipelines/transforms/compute_features';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';

// A stream of transactions with its archive, back-fills and hand-overs, and the oracle that computes all of it from scratch.

const TOPICS = {
  rawEventsTopic: 'raw-events',
  featureEventsTopic: undefined,
  deadLetterTopic: 'dead-letter-queue',
};
const TIMES = { outOfOrderMs: MINUTE_MS, allowedLatenessMs: 10 * DAY_MS };
export const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 3 * DAY_MS + 17;
export const transaction = (id: number, account: string, minute: number): string =>
  JSON.stringify({
    ...{ event_id: `e${id}`, user_id: account, event_type: 'transaction', account_id: account, amount: (id % 7) + 1 },
    timestamp: new Date(START + minute * MINUTE_MS).toISOString(),
    ...{ currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery', country: 'DE' },
    ...{ received_at: new Date().toISOString(), source: 'gateway', schema_version: 1 },
  });

/** Where a platform writes its rows. */
export interface RowStores {
  readonly stores: { readonly online: OnlineStore; readonly offline: OfflineDatabase };
}

/** Rows of the newest write, by view, entity and time. */
export class Rows implements RowStores {
  readonly rows = new Map<string, FeatureRow>();

  readonly stores = {
    online: { write: async (rows: readonly FeatureRow[]) => this.#write(rows) } as unknown as OnlineStore,
    offline: {
      features: {
        write: async (rows: readonly FeatureRow[]) => this.#write(rows),
        writeFeatures: async (rows: readonly FeatureRow[], names: readonly string[]) =>
          this.#writeFeatures(rows, names),
      },
    } as unknown as OfflineDatabase,
  };

  #write(rows: readonly FeatureRow[]) {
    for (const row of rows) this.rows.set(`${viewId(row)}|${row.entityKey}|${row.eventTime}`, row);
    return { written: rows.length, stale: 0 };
  }

  /** As the offline store: a row that is new has the other features as of its time. */
  #writeFeatures(rows: readonly FeatureRow[], names: readonly string[]): void {
    const before = rows.map((row) => {
      const known = [...this.rows.values()].filter(
        ({ entityKey, eventTime, ...of }) =>
          viewId(of) === viewId(row) && entityKey === row.entityKey && eventTime <= row.eventTime,
      );
      return known.sort((a, b) => b.eventTime - a.eventTime)[0]?.values ?? row.values;
    });
    this.#write(
      rows.map((row, at) => ({
        ...row,
        values: { ...before[at], ...Object.fromEntries(names.map((name) => [name, row.values[name] ?? null])) },
      })),
    );
  }

  values(): Record<string, unknown> {
    return Object.fromEntries(
      [...this.rows].map(([key, { values }]) => [key, values]).sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    );
  }
}

export class Platform<Live extends RowStores = Rows> {
  readonly live: Live;
  readonly directory = mkdtempSync(join(tmpdir(), 'hand-over-'));
  readonly broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(this.directory, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  archive = this.#archive();
  #handle: PipelineHandle | undefined;
  sent = 0;

  /** @param live - takes what the stream and back-fills write */
  constructor(live: Live) {
    this.live = live;
  }

  #archive(): EventArchive {
    return new EventArchive(
      {
        ...{ broker: this.broker, log: silentLogger, clock: systemClock },
        metrics: createMetricsRegistry({ process: false }),
        ...{ sources: [transactions], fileSystems: createFileSystems({}) },
      },
      { topic: 'raw-events', directory: join(this.directory, 'archive'), flushEveryMs: 60_000, keepMs: 400 * DAY_MS },
    );
  }

  get snapshots(): string {
    return join(this.directory, 'snapshots');
  }

  async open(): Promise<void> {
    await this.broker.start();
    await this.broker.ensureTopics(['raw-events', 'dead-letter-queue'].map((name) => ({ name, partitions: 1 })));
    this.archive = this.#archive();
    await this.archive.start();
  }

  deps(rows: RowStores, views: readonly FeatureView[], metrics = this.metrics) {
    return { ...rows.stores, views, metrics, log: silentLogger, clock: systemClock };
  }

  /** The archive loses the events that it has, as when their days are older than it keeps. */
  async emptyArchive(removedUntilMs?: number): Promise<void> {
    await this.archive.stop();
    const list = await readList(this.archive.place);
    const removed =
      removedUntilMs === undefined ? {} : { removedUntil: new Date(removedUntilMs).toISOString().slice(0, 10) };
    if (list !== undefined) await writeList(this.archive.place, { ...list, ...removed, files: [] }, '');
    this.archive = this.#archive();
    await this.archive.start();
  }

  async start(views: readonly FeatureView[]): Promise<void> {
    this.metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
    const plan = createPipeline((root) =>
      buildFeaturePipeline(
        root,
        { ...this.deps(this.live, views), broker: this.broker },
        { ...TOPICS, ...TIMES, group: 'g', idleAfterMs: 600_000 },
      ),
    );
    this.#handle = runEmbedded(plan, {
      ...{ snapshots: { directory: this.snapshots, intervalMs: 20 }, restore: { removed: 'drop' } },
    });
    await this.#handle.loaded;
  }

  async send(values: readonly string[]): Promise<void> {
    this.sent += values.length;
    if (values.length > 0) {
      await this.broker.producer.send(
        'raw-events',
        values.map((value) => ({ value })),
      );
    }
  }

  async settle(): Promise<void> {
    for (let tries = 0; tries < 400; tries += 1) {
      await sleep(25);
      const position = await this.broker.committed('g', 'raw-events');
      if (this.sent === 0 || Number(position.get('0') ?? -1) >= this.sent - 1) return;
    }
    throw new Error('the stream did not read its topic');
  }

  /** As a crash: what the newest snapshot does not cover is done again. */
  async kill(): Promise<void> {
    await this.#handle?.cancel();
  }

  /** The job of a back-fill of all that the archive holds, or up to a position. */
  backfill(rows: RowStores, views: readonly FeatureView[], more: Partial<BackfillSettings> = {}): Construct {
    const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
    const deps = { ...this.deps(rows, views, metrics), producer: this.broker.producer };
    return (root) => buildBackfillPipeline(root, deps, { ...TOPICS, ...TIMES, archive: this.archive.place, ...more });
  }

  /**
   * @param features - by view id, where some features alone are handed over
   * @param newSinceMs - since when the stream computes them: its rows of since then are settled
   */
  async handOver(
    views: readonly FeatureView[],
    restart: readonly FeatureView[],
    features?: Readonly<Record<string, readonly string[]>>,
    newSinceMs?: number,
  ): Promise<void> {
    const merges = views.flatMap((view): [string, MergeCells][] => {
      const names = features?.[viewId(view)];
      return names === undefined ? [] : [[viewId(view), mergeOfFeatures(view, names, TIMES.allowedLatenessMs)]];
    });
    const needs = views.map((view) => ({
      view: viewId(view),
      horizonMs: new ViewComputation(view, TIMES.allowedLatenessMs).horizonMs,
    }));
    const directory = join(this.directory, 'backfill');
    const noted = newSinceMs === undefined ? {} : { backfill: 'backfill' };
    const construct = (archiveUntil: ArchivePosition | undefined, onCaughtUp: () => void): Construct =>
      this.backfill(this.live, views, {
        ...noted,
        ...(features === undefined ? {} : { features }),
        ...(archiveUntil === undefined ? {} : { archiveUntil }),
        onCaughtUp,
      });
    const settle = async (list: ArchiveList): Promise<void> => {
      for (const view of newSinceMs === undefined ? [] : views) {
        await this.live.stores.offline.features.settleBackfill(view, {
          ...{ backfill: 'backfill', sinceMs: newSinceMs as number, computedAt: systemClock.now() },
          features: features?.[viewId(view)],
          completeSinceMs: completeSince(list, Number.NEGATIVE_INFINITY),
        });
      }
    };
    let drained: Promise<void> | undefined;
    const job = runEmbedded(
      createPipeline(
        construct(undefined, () => {
          drained ??= job.stop();
        }),
      ),
      { snapshots: { directory, intervalMs: 20 } },
    );
    await job.finished;
    await drained;
    // More events come while it goes on.
    await this.send(this.meanwhile.splice(0));
    if (this.readsMeanwhile) await this.settle();
    await handOver(
      {
        ...{ broker: this.broker, archive: this.archive, log: silentLogger },
        pause: async (work) => {
          await this.#handle?.stop();
          try {
            return await work(this.snapshots);
          } finally {
            await this.start(restart);
          }
        },
      },
      {
        ...{ topic: 'raw-events', views: views.map(viewId), merges: new Map(merges), directory, construct, settle },
        missing: (list) => missingEvents(list, needs, { nowMs: Date.now(), historyUntilMs: Number.NEGATIVE_INFINITY }),
      },
    );
    rmSync(directory, { recursive: true, force: true });
  }

  meanwhile: string[] = [];
  /** Whether the stream has read what came meanwhile when it is drained. */
  readsMeanwhile = false;

  async close(): Promise<void> {
    await this.#handle?.cancel();
    await this.archive.stop();
    await this.broker.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function fromScratch(platform: Platform<RowStores>, views: readonly FeatureView[]): Promise<Rows> {
  const rows = new Rows();
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const plan = createPipeline((root) =>
    buildFeaturePipeline(
      root,
      { ...platform.deps(rows, views, metrics), broker: platform.broker },
      { ...TOPICS, ...TIMES, group: 'oracle', idleAfterMs: 600_000, bounded: true },
    ),
  );
  const handle = runEmbedded(plan, {});
  await handle.finished;
  return rows;
}

/** Rows that events made; those of what leaves a window lie on whole minutes, and the stream emits them when their time comes. Sums of tiles are added in another order after a restart: nine digits count. */
export const ofEvents = (values: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([key]) => Number(key.split('|').at(-1)) % MINUTE_MS !== 0)
      .map(([key, row]) => [key, rounded(row as FeatureRow['values'])]),
  );

const rounded = (row: FeatureRow['values']): FeatureRow['values'] =>
  Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      typeof value === 'number' ? Number(value.toPrecision(9)) : value,
    ]),
  );
