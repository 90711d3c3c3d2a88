import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { count } from '#feature_store/definitions/aggregations';
import { fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { notNull, satisfies } from '#feature_store/definitions/rules/quality_rule';
import { eventTime } from '#kernel/time';
import { type Logger, silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { DoFn } from '#pipelines/engine/dofn';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import type { DecodedEvent } from '#pipelines/events/decode_events';
import type { Construct } from '#pipelines/model/graph';
import { create, keyBy, parDo, parDoTagged, read } from '#pipelines/model/transforms';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { inProcessShards } from '#pipelines/testing/in_process_shards';
import { testStream } from '#pipelines/testing/test_stream';
import { type ComputedRow, ComputeFeatures, DEAD } from '#pipelines/transforms/compute_features';
import { type FailureCounts, withEvents } from '#pipelines/transforms/failure_limit';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { account, transactions } from '../../../../examples/fraud/features/transactions.ts';
import { keyOf } from '../../../support/entity_keys.ts';

type Usable = Extract<DecodedEvent, { ok: true }>;
const START = Date.UTC(2026, 5, 1);

const viewOf = (name: string) =>
  featureView({
    ...{ name, version: 1, entity: account, source: transactions, ttl: '30d', owner: 'test', description: 'Fails' },
    features: {
      ...count().over('24h'),
      kind: fromEvent(
        'string',
        'kind',
        ({ fails }) => {
          if (fails === name) throw new Error('broken');
          return 'fine';
        },
        { uses: { name } },
      ),
    },
    rules: {
      there: notNull('kind', 'warn'),
      asks: satisfies(['kind'], 'asks', 'warn', () => true),
    },
  });

async function run(events: readonly { readonly id: string; readonly fails?: string }[], minEvents = 100) {
  const registry = createMetricsRegistry({ process: false });
  const metrics = createFeatureMetrics(registry);
  const elements = events.map(
    ({ id, fails }, index): Usable => ({
      ...{
        ok: true,
        source: 'transactions',
        userId: undefined,
        eventId: id,
        event: { account_id: 'a', fails },
        watermark: eventTime(0),
      },
      ...{
        eventTimeMs: START + index,
        receivedAtMs: undefined,
        knownAtMs: START,
        arrivedAtMs: 0,
        payload: id,
        attempt: 1,
      },
    }),
  );
  const found = new Map<string, { rows: Collected<ComputedRow>[]; letters: Collected<DeadLetter>[] }>();
  await runToEnd((root) => {
    const input = root.apply(create(elements)).apply(keyBy(() => keyOf('a'), 'Key'));
    for (const name of ['one', 'two']) {
      const into = { rows: [], letters: [] };
      found.set(name, into);
      const settings = { allowedLatenessMs: 1_000, isLive: false, failureLimit: { share: 0.5, minEvents } };
      const compute = new ComputeFeatures(viewOf(name), { metrics, log: silentLogger }, settings);
      const { main, dead } = input.apply(parDoTagged(compute, { dead: DEAD }, { name: `Compute ${name}` }));
      collectInto(main, into.rows, `Rows ${name}`);
      collectInto(dead, into.letters, `Letters ${name}`);
    }
  });
  const outcome = (name: string) => {
    const { rows, letters } = found.get(name) as { rows: Collected<ComputedRow>[]; letters: Collected<DeadLetter>[] };
    return {
      rows: rows.filter(({ value }) => value.isOfEvent).map(({ value }) => value.row.values.count_24h),
      letters: letters.map(({ value }) => value),
    };
  };
  return { one: outcome('one'), two: outcome('two'), metrics: await registry.metrics() };
}

test('random events fail in one view: each is dead-lettered there, and the others are counted as if it had not been', async () => {
  const events = fc.array(fc.constantFrom(undefined, undefined, 'one', 'two'), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(events, async (fails) => {
      const list = fails.map((name, index) => ({ id: `e${index}`, ...(name === undefined ? {} : { fails: name }) }));
      const { one, two } = await run(list);
      for (const [name, { rows, letters }] of Object.entries({ one, two })) {
        const good = list.filter((event) => event.fails !== name);
        expect(rows).toEqual(good.map((_, index) => index + 1));
        expect(letters.map(({ payload }) => payload)).toEqual(
          list.filter((event) => event.fails === name).map(({ id }) => id),
        );
        for (const { reason, payload } of letters) {
          expect(reason).toBe(`feature "kind" of view ${name}@1: broken; event ${payload} of account:a`);
        }
      }
    }),
    { numRuns: 15 },
  );
}, 60_000);

test('an event that failed is no duplicate when it is replayed', async () => {
  const { one } = await run([{ id: 'x', fails: 'one' }, { id: 'x' }, { id: 'x' }]);
  expect([one.rows, one.letters.length]).toEqual([[1], 1]);
});

/** Events of some accounts, a bundle each time: `undefined` for one that fails in no view. */
type Bundles = readonly (readonly { readonly account: number; readonly fails: string | undefined }[])[];

const LIMIT = { share: 0.5, minEvents: 10 };

interface Outcome {
  /** Payloads of events that were computed, and of those in the dead letters, by view. */
  readonly computed: Readonly<Record<string, readonly string[]>>;
  readonly refused: Readonly<Record<string, readonly string[]>>;
  readonly stopped: readonly string[];
  readonly logged: readonly string[];
}

/** Reads bundles one by one, with time for a snapshot after each. */
class Bundled implements SplittableDoFn<number, Usable, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  readonly #bundles: readonly (readonly Usable[])[];

  constructor(bundles: readonly (readonly Usable[])[]) {
    this.#bundles = bundles;
  }
  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(total: number, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<Usable>) {
    for (const event of this.#bundles[from] ?? []) context.output(event, eventTime(event.eventTimeMs));
    tracker.tryClaim(from);
    return from + 1 >= total ? STOP : resumeAfter(20);
  }
}

function usableOf(bundles: Bundles): readonly (readonly Usable[])[] {
  let next = 0;
  return bundles.map((bundle) =>
    bundle.map(({ account, fails }): Usable => {
      const payload = `e${next}`;
      next += 1;
      return {
        ...{
          ok: true,
          source: 'transactions',
          userId: undefined,
          eventId: payload,
          event: { account_id: `${account}`, fails },
        },
        ...{ watermark: eventTime(0), eventTimeMs: START + next, receivedAtMs: undefined, knownAtMs: START },
        ...{ arrivedAtMs: 0, payload, attempt: 1 },
      };
    }),
  );
}

interface RunSettings {
  /** Where it takes snapshots, and goes on from; a TestStream is its source without it. */
  readonly snapshots?: string;
  /** The job fails at this event. */
  readonly crashAt?: string;
  readonly resumedViews?: readonly string[];
}

async function runBundles(
  bundles: Bundles,
  shards: number,
  { snapshots, crashAt, resumedViews = [] }: RunSettings = {},
): Promise<Outcome> {
  const registry = createMetricsRegistry({ process: false });
  const metrics = createFeatureMetrics(registry);
  const computed: Record<string, string[]> = { one: [], two: [] };
  const refused: Record<string, string[]> = { one: [], two: [] };
  const logged: string[] = [];
  const log: Logger = Object.assign(Object.create(silentLogger), {
    child: () => log,
    error: (fields: { readonly view?: string }, message: string) => logged.push(`${message} ${fields.view}`),
  });
  const events = usableOf(bundles);
  const construct: Construct = (root) => {
    const stream = testStream<Usable>();
    for (const bundle of events) stream.add(...bundle.map((event) => [event, event.eventTimeMs] as const));
    const source =
      snapshots === undefined
        ? root.apply(stream.toInfinity())
        : root.apply(read(events.length, new Bundled(events), 'Events'));
    const input = source
      .map((event) => {
        if (event.payload === crashAt) throw new Error('crash');
        return event;
      })
      .apply(keyBy(({ event }) => keyOf(String((event as { account_id: string }).account_id)), 'Key'));
    for (const name of ['one', 'two']) {
      const settings = { allowedLatenessMs: 1_000, isLive: false, failureLimit: LIMIT, resumedViews };
      const compute = new ComputeFeatures(viewOf(name), { metrics, log }, settings);
      const { main, dead } = input.apply(parDoTagged(compute, { dead: DEAD }, { name: `Compute ${name}` }));
      const rows: DoFn<ComputedRow, never> = {
        process({ isOfEvent, row }) {
          if (isOfEvent) computed[name]?.push(`e${row.eventTime - START - 1}`);
        },
      };
      const letters: DoFn<DeadLetter, never> = {
        process({ payload }) {
          refused[name]?.push(String(payload));
        },
      };
      main.apply(parDo(rows, { name: `Rows ${name}` }));
      dead.apply(parDo(letters, { name: `Letters ${name}` }));
    }
  };
  const finished = runToEnd(construct, {
    ...(shards === 0 ? {} : { shards: { count: shards, launch: inProcessShards(construct) } }),
    ...(snapshots === undefined ? {} : { snapshots: { directory: snapshots, intervalMs: 0 }, maxRetries: 0 }),
    log,
  });
  if (crashAt === undefined) await finished;
  else await expect(finished).rejects.toThrow('crash');
  const text = await registry.metrics();
  const inOrder = (lists: Record<string, string[]>) =>
    Object.fromEntries(Object.entries(lists).map(([name, list]) => [name, [...list].sort()]));
  return {
    computed: inOrder(computed),
    refused: inOrder(refused),
    stopped: ['one', 'two'].filter((name) => text.includes(`feature_view_stopped{view="${name}@1"} 1`)),
    logged: logged.filter((line) => line.startsWith('view.stopped')),
  };
}

/** What must come of it: counts are judged between bundles, over all events. */
function expectedOutcome(bundles: Bundles): Outcome {
  const computed: Record<string, string[]> = { one: [], two: [] };
  const refused: Record<string, string[]> = { one: [], two: [] };
  const stopped: string[] = [];
  for (const name of ['one', 'two']) {
    let counts: FailureCounts = { events: 0, failed: 0, isExceeded: false };
    let next = 0;
    for (const bundle of bundles) {
      const isStopped = counts.isExceeded;
      let failed = 0;
      for (const { fails } of bundle) {
        const payload = `e${next}`;
        next += 1;
        if (isStopped) continue;
        if (fails === name) failed += 1;
        (fails === name ? refused : computed)[name]?.push(payload);
      }
      if (!isStopped) counts = withEvents(counts, { events: bundle.length, failed }, LIMIT);
    }
    if (counts.isExceeded) stopped.push(name);
    computed[name]?.sort();
    refused[name]?.sort();
  }
  return { computed, refused, stopped, logged: stopped.map((name) => `view.stopped ${name}@1`) };
}

const anyBundles = fc.array(
  fc.array(
    fc.record({
      account: fc.integer({ min: 0, max: 7 }),
      fails: fc.constantFrom(undefined, undefined, 'one', 'one', 'two'),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  { minLength: 1, maxLength: 12 },
);
/** All that fails is of one account, so of one thread; the others are good. */
const oneBadAccount: Bundles = Array.from({ length: 12 }, () =>
  Array.from({ length: 8 }, (_, account) => ({ account, fails: account === 3 ? 'one' : undefined })),
);

test('on one thread and on one, two and four shards a view stops at the same bundle, for all of its keys; the other view continues', async () => {
  await fc.assert(
    fc.asyncProperty(anyBundles, async (bundles) => {
      const expected = expectedOutcome(bundles);
      for (const shards of [0, 1, 2, 4]) {
        const outcome = await runBundles(bundles, shards);
        expect({ shards, ...outcome, logged: [...outcome.logged].sort() }).toEqual({ shards, ...expected });
      }
    }),
    { numRuns: 20 },
  );
}, 120_000);

test('a thread whose events all fail does not stop the view while the share of all threads is below the limit', async () => {
  for (const shards of [0, 2, 4]) {
    const { stopped, refused, computed } = await runBundles(oneBadAccount, shards);
    expect([stopped, refused.one?.length, computed.one?.length]).toEqual([[], 12, 84]);
  }
});

test.each([
  ...[[0, 0, 0] as const, [1, 1, 1] as const, [2, 2, 2] as const, [4, 4, 4] as const],
  ...[[0, 4, 2] as const, [1, 4, 2] as const, [4, 2, 0] as const, [2, 0, 4] as const],
])(
  'a stop survives restarts from a snapshot, on %i, %i and %i shards, until the view is resumed',
  async (...shards) => {
    const bundles: Bundles = Array.from({ length: 24 }, (_, bundle) =>
      Array.from({ length: 8 }, (_, account) => ({ account, fails: bundle < 12 ? 'one' : undefined })),
    );
    const snapshots = mkdtempSync(join(tmpdir(), 'failing-views-'));
    try {
      const first = await runBundles(bundles, shards[0], { snapshots, crashAt: 'e100' });
      expect([first.stopped, first.refused.one?.length]).toEqual([['one'], 16]);
      const second = await runBundles(bundles, shards[1], { snapshots, crashAt: 'e150' });
      expect([second.stopped, second.refused.one, second.computed.one]).toEqual([['one'], [], []]);
      expect(second.logged).toEqual(['view.stopped one@1']);
      const third = await runBundles(bundles, shards[2], { snapshots, resumedViews: ['one@1'] });
      expect([third.stopped, third.refused.one]).toEqual([[], []]);
      expect(third.computed.one).toEqual(third.computed.two);
      expect(third.computed.one).toContain('e191');
      expect(
        new Set([...(first.computed.two ?? []), ...(second.computed.two ?? []), ...(third.computed.two ?? [])]).size,
      ).toBe(192);
    } finally {
      rmSync(snapshots, { recursive: true, force: true });
    }
  },
);

const anyShards = fc.constantFrom(0, 1, 2, 4);

test('killed twice and resumed on any numbers of shards, a view stops at the same bundle as without', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyBundles,
      fc.tuple(anyShards, anyShards, anyShards),
      fc.tuple(fc.nat(), fc.nat()),
      async (bundles, [first, second, third], crashes) => {
        const { computed, refused, stopped } = expectedOutcome(bundles);
        const total = bundles.flat().length;
        const [early, late] = crashes.map((at) => at % total).sort((a, b) => a - b) as [number, number];
        const snapshots = mkdtempSync(join(tmpdir(), 'failing-views-'));
        try {
          const runs = [
            await runBundles(bundles, first, { snapshots, crashAt: `e${early}` }),
            await runBundles(bundles, second, { snapshots, crashAt: `e${late}` }),
            await runBundles(bundles, third, { snapshots }),
          ];
          // What is read again after a kill has the same outcome again.
          const all = (of: (run: Outcome) => Outcome['computed'], name: string) =>
            [...new Set(runs.flatMap((run) => of(run)[name] ?? []))].sort();
          for (const name of ['one', 'two']) {
            expect(all((run) => run.computed, name)).toEqual(computed[name]);
            expect(all((run) => run.refused, name)).toEqual(refused[name]);
          }
          expect(runs[2]?.stopped).toEqual(stopped);
        } finally {
          rmSync(snapshots, { recursive: true, force: true });
        }
      },
    ),
    { numRuns: 15 },
  );
}, 120_000);

test('a stopped view counts what it passes over', async () => {
  const list = Array.from({ length: 60 }, (_, index) => ({ id: `e${index}`, fails: 'one' }));
  const { one, two, metrics } = await run(list, 20);
  // One bundle: the view stops with the next.
  expect([one.rows.length, one.letters.length, two.rows.length]).toEqual([0, 60, 60]);
  expect(metrics).toContain('feature_view_stopped{view="one@1"} 1');
  expect(metrics).toContain('feature_view_stopped{view="two@1"} 0');
});

test('the share is of the newest events: failures of long ago do not stop a view, nor do a few', () => {
  let counts: FailureCounts = { events: 0, failed: 0, isExceeded: false };
  const add = (hasFailed: boolean): void => {
    counts = withEvents(counts, { events: 1, failed: hasFailed ? 1 : 0 }, LIMIT);
  };
  for (let index = 0; index < 2; index += 1) add(true);
  for (let index = 0; index < 1_000; index += 1) add(index % 3 === 2);
  expect(counts.isExceeded).toBe(false);
  for (let index = 0; index < 200 && !counts.isExceeded; index += 1) add(true);
  expect(counts.isExceeded).toBe(true);
});
