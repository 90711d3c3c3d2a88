import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFileSystems } from '#connectors/files/file_systems';
import { MemoryLog } from '#connectors/memory/memory_log';
import { type FeatureRow, viewId } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { fraudView } from '#feature_store/views/fraud';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { EventArchive } from '#pipelines/archive/event_archive';
import { buildBackfillPipeline, buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { handOver } from '#pipelines/jobs/hand_over';
import { createPipeline } from '#pipelines/model/pipeline';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';

// A view that joins a running stream late is back-filled from the archive beside it; its state is handed over. Oracle: all events of the topic, from scratch.

const TOPICS = {
  rawEventsTopic: 'raw-events',
  featureEventsTopic: undefined,
  deadLetterTopic: 'dead-letter-queue',
};
const TIMES = { outOfOrderMs: MINUTE_MS, allowedLatenessMs: 10 * DAY_MS };
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 3 * DAY_MS + 17;
/** The first joins late; the second runs all the time, and is not touched. */
const VIEWS: readonly FeatureView[] = [fraudView, { ...fraudView, view: 'other' }];

const transaction = (id: number, account: string, minute: number): string =>
  JSON.stringify({
    ...{ event_id: `e${id}`, user_id: account, event_type: 'transaction', account_id: account, amount: (id % 7) + 1 },
    timestamp: new Date(START + minute * MINUTE_MS).toISOString(),
    ...{ currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery', country: 'DE' },
    ...{ received_at: new Date().toISOString(), source: 'gateway', schema_version: 1 },
  });

/** Rows of the newest write, by view, entity and time. */
class Rows {
  readonly rows = new Map<string, FeatureRow>();

  readonly stores = {
    online: { write: async (rows: readonly FeatureRow[]) => this.#write(rows) } as unknown as OnlineStore,
    offline: { write: async (rows: readonly FeatureRow[]) => this.#write(rows) } as unknown as OfflineStore,
  };

  #write(rows: readonly FeatureRow[]) {
    for (const row of rows) this.rows.set(`${viewId(row)}|${row.entityKey}|${row.eventTime}`, row);
    return { written: rows.length, stale: 0 };
  }

  values(): Record<string, unknown> {
    return Object.fromEntries(
      [...this.rows].map(([key, { values }]) => [key, values]).sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    );
  }
}

class Platform {
  readonly directory = mkdtempSync(join(tmpdir(), 'hand-over-'));
  readonly broker = new MemoryLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'memory', directory: join(this.directory, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  readonly live = new Rows();
  metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  archive = this.#archive();
  #handle: PipelineHandle | undefined;
  sent = 0;

  #archive(): EventArchive {
    return new EventArchive(
      {
        ...{ broker: this.broker, log: silentLogger, clock: systemClock },
        metrics: createMetricsRegistry({ process: false }),
        ...{ sources: VIEWS.map(({ source }) => source), fileSystems: createFileSystems({}) },
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

  deps(rows: Rows, views: readonly FeatureView[], metrics = this.metrics) {
    return { ...rows.stores, views, metrics, log: silentLogger, clock: systemClock };
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
    await this.#handle?.stop();
  }

  async handOver(views: readonly FeatureView[], restart: readonly FeatureView[]): Promise<void> {
    const directory = join(this.directory, 'backfill');
    const construct =
      (until?: Parameters<Parameters<typeof handOver>[1]['construct']>[0], onCaughtUp?: () => void) =>
      (root: Parameters<typeof buildBackfillPipeline>[0]) =>
        buildBackfillPipeline(
          root,
          {
            ...this.deps(this.live, views, createFeatureMetrics(createMetricsRegistry({ process: false }))),
            producer: this.broker.producer,
          },
          {
            ...{ ...TOPICS, ...TIMES, archive: this.archive.place },
            ...(until === undefined ? {} : { archiveUntil: until }),
            ...(onCaughtUp === undefined ? {} : { onCaughtUp }),
          },
        );
    let drained: Promise<void> | undefined;
    const job = runEmbedded(
      createPipeline(
        construct(undefined, () => {
          drained ??= job.drain();
        }),
      ),
      { snapshots: { directory, intervalMs: 20 } },
    );
    await job.finished;
    await drained;
    // More events come while it goes on.
    await this.send(this.meanwhile.splice(0));
    await handOver(
      {
        ...{ broker: this.broker, archive: this.archive, log: silentLogger },
        pause: async (work) => {
          await this.#handle?.drain();
          const done = await work(this.snapshots);
          await this.start(restart);
          return done;
        },
      },
      { topic: 'raw-events', views: views.map(viewId), directory, construct },
    );
    rmSync(directory, { recursive: true, force: true });
  }

  meanwhile: string[] = [];

  async close(): Promise<void> {
    await this.#handle?.stop();
    await this.archive.stop();
    await this.broker.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function fromScratch(platform: Platform, views: readonly FeatureView[]): Promise<Rows> {
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

/** Rows that events made; those of what leaves a window lie on whole minutes, and the stream tells them when their time comes. */
const ofEvents = (values: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([key]) => Number(key.split('|').at(-1)) % MINUTE_MS !== 0));

test('count_7d is 100 after a back-fill and 101 after the first live event', async () => {
  const platform = new Platform();
  try {
    await platform.open();
    const [fraud, other] = VIEWS as [FeatureView, FeatureView];
    // The stream runs without the view at first.
    await platform.start([other]);
    await platform.send(Array.from({ length: 100 }, (_, index) => transaction(index, 'a', index)));
    await platform.settle();
    await platform.kill();
    await platform.start([other, fraud]);
    await platform.archive.catchUp(20_000);
    await platform.handOver([fraud], [other, fraud]);
    await platform.send([transaction(1_000, 'a', 101), transaction(5, 'a', 5)]);
    await platform.settle();
    const newest = platform.live.rows.get(`fraud@1|account:a|${START + 101 * MINUTE_MS}`);
    expect(newest?.values.count_7d).toBe(101);
    expect(await totalOf(platform.metrics.duplicates)).toBe(1);
  } finally {
    await platform.close();
  }
}, 60_000);

test('rows after a hand-over are those from scratch: late and repeated events, restarts, events that come meanwhile', async () => {
  // An id says what its event is: one that comes again is a repetition.
  const event = fc.record({ id: fc.integer({ min: 0, max: 80 }), delay: fc.integer({ min: 0, max: 120 }) });
  const events = fc.array(event, { minLength: 1, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(
      events,
      events,
      events,
      events,
      fc.boolean(),
      fc.boolean(),
      async (first, second, meanwhile, last, killsBefore, killsAfter) => {
        const platform = new Platform();
        try {
          await platform.open();
          const [fraud, other] = VIEWS as [FeatureView, FeatureView];
          const all = [...first, ...second, ...meanwhile, ...last]
            .map(({ id, delay }) => ({ id, minute: (id * 37) % 2_400, arrives: ((id * 37) % 2_400) + delay }))
            .sort((a, b) => a.arrives - b.arrives)
            .map(({ id, minute }) => transaction(id, `a${id % 3}`, minute));
          const parts = [first, second, meanwhile, last].map(({ length }) => all.splice(0, length));
          const [early, more, during, late] = parts as [string[], string[], string[], string[]];
          await platform.start([other]);
          await platform.send(early);
          await platform.settle();
          await platform.kill();
          await platform.start([other, fraud]);
          await platform.send(more);
          if (killsBefore) {
            await platform.kill();
            await platform.start([other, fraud]);
          }
          await platform.settle();
          await platform.archive.catchUp(20_000);
          platform.meanwhile = during;
          await platform.handOver([fraud], [other, fraud]);
          await platform.send(late);
          if (killsAfter) {
            await platform.kill();
            await platform.start([other, fraud]);
          }
          await platform.settle();
          const expected = await fromScratch(platform, [other, fraud]);
          expect(ofEvents(platform.live.values())).toEqual(ofEvents(expected.values()));
        } finally {
          await platform.close();
        }
      },
    ),
    { numRuns: 4, endOnFailure: true },
  );
}, 300_000);
