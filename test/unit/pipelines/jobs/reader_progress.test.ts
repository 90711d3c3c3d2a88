import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { count, session, sum } from '#feature_store/definitions/aggregations';
import { type FeatureRow, replaces } from '#feature_store/definitions/values/feature_row';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, totalOf } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { testView } from '../../../support/definitions/test_view.ts';
import { keyOf } from '../../../support/entity_keys.ts';
import { byForm } from '../../../support/jest/forms.ts';
import { turns, until } from '../../../support/turns.ts';

// What is accepted counts, and what the stores say at any time does not depend on how far who has read when (docs/adr/0020).

const TOPICS = { rawEventsTopic: 'raw', featureEventsTopic: 'features', deadLetterTopic: 'dead' };
const START = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 6 * DAY_MS + 17;
const ALLOWED_LATENESS_MS = 12 * HOUR_MS;
/** A session's end is written once a snapshot covers it: a job that reads to the end waits for the next one. */
const SNAPSHOT_MS = 100;
const VIEW = testView({ ...count().over('1h', '24h'), ...sum('amount').over('6h'), ...session('30m') }, { ttl: '30d' });
type Values = FeatureRow['values'];

interface Sent {
  readonly id: string;
  readonly account: string;
  readonly user: string;
  readonly at: number;
  readonly arrivesAt: number;
  readonly amount: number;
}

const bodyOf = ({ id, account, user, at, arrivesAt, amount }: Sent): string =>
  JSON.stringify({
    ...{ event_id: id, user_id: user, event_type: 'transaction', timestamp: new Date(at).toISOString() },
    ...{ account_id: account, amount, currency: 'EUR', merchant_id: 'm', merchant_category: 'grocery', country: 'DE' },
    ...{ received_at: new Date(arrivesAt).toISOString(), source: 'gateway', schema_version: 1 },
  });

/** A platform of one run: its broker, its stores, and a job that can be killed. */
class Run {
  readonly history = new Map<string, FeatureRow>();
  readonly metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  readonly #folder = mkdtempSync(join(tmpdir(), 'reader-'));
  readonly broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: join(this.#folder, 'log'), fsync: 'never', segmentBytes: 1e8 },
  );
  readonly online = new MemoryOnlineStore(
    { log: silentLogger, clock: systemClock, ttlMs: new Map() },
    { file: join(this.#folder, 'online', 'rows') },
  );

  async start(): Promise<void> {
    await this.broker.start();
    await this.online.start();
    await this.broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 3 })));
  }

  send(events: readonly Sent[]): Promise<void> {
    return this.broker.producer.send(
      'raw',
      events.map((event) => ({ key: event.user, value: bodyOf(event) })),
    );
  }

  job(bounded: boolean, intervalMs: number): PipelineHandle {
    const write = async (rows: readonly FeatureRow[]) => {
      for (const row of rows) {
        const key = `${row.entityKey}|${row.eventTime}`;
        const held = this.history.get(key);
        if (held === undefined || replaces(row, held)) this.history.set(key, row);
      }
    };
    const offline = { features: { write } } as unknown as OfflineDatabase;
    const deps = { broker: this.broker, online: this.online, offline, views: [VIEW], metrics: this.metrics };
    const times = { outOfOrderMs: MINUTE_MS, allowedLatenessMs: ALLOWED_LATENESS_MS, idleAfterMs: 1 };
    return runEmbedded(
      createPipeline((root) =>
        buildFeaturePipeline(
          root,
          { ...deps, log: silentLogger, clock: systemClock },
          { ...TOPICS, ...times, group: 'g', bounded },
        ),
      ),
      { snapshots: { directory: join(this.#folder, 'snapshots'), intervalMs } },
    );
  }

  rowsOf(account: string): readonly FeatureRow[] {
    return [...this.history.values()]
      .filter(({ entityKey }) => entityKey === keyOf(account))
      .sort((a, b) => a.eventTime - b.eventTime);
  }

  async deadLetters(): Promise<number> {
    let letters = 0;
    for (const partition of await this.broker.listPartitions('dead')) {
      const reader = await this.broker.openPartition('dead', partition, { startAt: 'earliest' });
      letters += Number(reader.lagRecords());
    }
    return letters;
  }

  async stop(): Promise<void> {
    await this.online.stop();
    await this.broker.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const valuesAt = (rows: readonly FeatureRow[], timeMs: number): Values | undefined =>
  rows.findLast(({ eventTime }) => eventTime <= timeMs)?.values;

/** Slow and obvious: the newest session of an account, of all its events. */
function sessionOf(times: readonly number[]): { readonly events: number; readonly seconds: number } {
  const sorted = [...times].sort((a, b) => b - a);
  let at = 0;
  while (at + 1 < sorted.length && (sorted[at] as number) - (sorted[at + 1] as number) < 30 * MINUTE_MS) at += 1;
  return { events: at + 1, seconds: ((sorted[0] as number) - (sorted[at] as number)) / 1_000 };
}

const events = fc.array(
  fc.record({
    account: fc.constantFrom('a', 'b', 'c'),
    user: fc.constantFrom('u1', 'u2', 'u3', 'u4'),
    minute: fc.integer({ min: 0, max: 30 * 60 }),
    // Most come at once, some hours later, a few too late.
    lag: fc.oneof(
      { weight: 4, arbitrary: fc.constant(1) },
      { weight: 3, arbitrary: fc.integer({ min: 1, max: 11 * 60 }) },
      { weight: 1, arbitrary: fc.integer({ min: 12 * 60 + 1, max: 20 * 60 }) },
    ),
    repeats: fc.option(fc.nat(60), { nil: undefined, freq: 5 }),
  }),
  { minLength: 5, maxLength: 60 },
);
const troubles = fc.array(
  fc.record({
    chunk: fc.integer({ min: 1, max: 12 }),
    pauseMs: fc.constantFrom(0, 0, 3, 20),
    isKilled: fc.boolean(),
  }),
  { minLength: 3, maxLength: 20 },
);

test('pauses, rates, kills and backlogs change nothing of what the stores say at any time, and lose no accepted event', async () => {
  await fc.assert(
    fc.asyncProperty(events, troubles, fc.boolean(), async (list, steps, spansPartitions) => {
      const distinct = list.map(
        ({ account, user, minute, lag }, index): Sent => ({
          ...{ id: `e${index}`, account, user: spansPartitions ? user : account, amount: index + 1 },
          ...{ at: START + minute * MINUTE_MS, arrivesAt: START + (minute + lag) * MINUTE_MS },
        }),
      );
      const accepted = distinct.filter(({ at, arrivesAt }) => arrivesAt - at <= ALLOWED_LATENESS_MS);
      const repetitions = list.flatMap(({ repeats }): Sent[] => {
        const of = repeats === undefined ? undefined : accepted[repeats % accepted.length];
        return of === undefined
          ? []
          : [{ ...of, arrivesAt: Math.min(of.arrivesAt + HOUR_MS, of.at + ALLOWED_LATENESS_MS) }];
      });
      const log = [...distinct, ...repetitions].sort((a, b) => a.arrivesAt - b.arrivesAt);
      const [straight, troubled] = [new Run(), new Run()];
      try {
        await straight.start();
        await straight.send(log);
        await straight.job(true, SNAPSHOT_MS).finished;

        await troubled.start();
        let job = troubled.job(false, 2);
        let sent = 0;
        for (let step = 0; sent < log.length; step += 1) {
          const { chunk, pauseMs, isKilled } = steps[step % steps.length] as {
            chunk: number;
            pauseMs: number;
            isKilled: boolean;
          };
          await troubled.send(log.slice(sent, sent + chunk));
          sent += chunk;
          await turns(pauseMs);
          if (isKilled && step < 2 * steps.length) {
            await job.cancel();
            job = troubled.job(false, 2);
          }
        }
        const isComplete = () => accepted.every(({ account, at }) => troubled.history.has(`${keyOf(account)}|${at}`));
        await until(isComplete);
        // Killed once more, and read to the end: nothing is left to come.
        await job.cancel();
        await troubled.job(true, SNAPSHOT_MS).finished;

        const refused = distinct.length - accepted.length;
        expect(await straight.deadLetters()).toBe(refused);
        // Killed before its snapshot, an event is refused again; none more is.
        expect(await troubled.deadLetters()).toBeGreaterThanOrEqual(refused);
        expect(await totalOf(troubled.metrics.uncheckedIds)).toBe(0);
        for (const account of new Set(accepted.map((event) => event.account))) {
          const mine = accepted.filter((event) => event.account === account);
          const newest = Math.max(...mine.map(({ at }) => at));
          const rows = [straight.rowsOf(account), troubled.rowsOf(account)] as const;
          const until = Math.min(...rows.map((of) => of.at(-1)?.eventTime ?? 0));
          // Own rows of events in several partitions depend on the order of reading; the newest does not.
          const from = spansPartitions ? newest : Number.NEGATIVE_INFINITY;
          for (const time of new Set(rows.flat().map(({ eventTime }) => eventTime))) {
            if (time < from || time > until) continue;
            expect({ account, time, ...valuesAt(rows[1], time) }).toEqual({
              account,
              time,
              ...valuesAt(rows[0], time),
            });
          }
          for (const run of [straight, troubled]) {
            const values = valuesAt(run.rowsOf(account), newest) as Values;
            const within = (ms: number) => mine.filter(({ at }) => at > newest - ms);
            expect(values.count_1h).toBeGreaterThanOrEqual(within(HOUR_MS).length);
            expect(values.count_1h).toBeLessThanOrEqual(within(HOUR_MS + 2 * MINUTE_MS).length);
            expect(values.count_24h).toBeGreaterThanOrEqual(within(DAY_MS).length);
            expect(values.count_24h).toBeLessThanOrEqual(within(DAY_MS + 30 * MINUTE_MS).length);
            const { events: inSession, seconds } = sessionOf(mine.map(({ at }) => at));
            expect(values).toMatchObject({ session_event_count: inSession, session_duration_seconds: seconds });
            const [online] = await run.online.read(VIEW, [keyOf(account)]);
            const last = run.rowsOf(account).at(-1) as FeatureRow;
            expect(online).toMatchObject({ eventTime: last.eventTime, values: last.values });
          }
        }
      } finally {
        await straight.stop();
        await troubled.stop();
      }
    }),
    { numRuns: Number(process.env.CHAOS_RUNS ?? byForm({ short: 8, long: 15 })), endOnFailure: true },
  );
}, 240_000);
