import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetter } from '#connectors/dead_letters';
import { count } from '#feature_store/definitions/aggregations';
import { fromEvent } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { notNull, satisfies } from '#feature_store/definitions/quality_rule';
import { account, transactions } from '#examples/fraud/features/transactions';
import { eventTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { create, keyBy, parDoTagged } from '#pipelines/model/transforms';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { type ComputedRow, ComputeFeatures, DEAD } from '#pipelines/transforms/compute_features';
import type { DecodedEvent } from '#pipelines/transforms/decode_events';
import { FailureShare } from '#pipelines/transforms/failure_limit';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
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
      ...{ ok: true, userId: undefined, source: 'transactions', eventId: id, event: { account_id: 'a', fails }, watermark: eventTime(0) },
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

test('a view of which too many events fail stops, with a metric; the other view goes on', async () => {
  const list = Array.from({ length: 60 }, (_, index) => ({ id: `e${index}`, fails: 'one' }));
  const { one, two, metrics } = await run(list, 20);
  expect([one.rows.length, one.letters.length]).toEqual([0, 20]);
  expect(two.rows.length).toBe(60);
  expect(metrics).toContain('feature_view_stopped{view="one@1"} 1');
  expect(metrics).toContain('feature_view_stopped{view="two@1"} 0');
  expect(metrics).toContain('feature_view_events_total{view="one@1",outcome="view_stopped"} 40');
});

test('each instance of a view, as each worker thread has one, counts the failures of its own keys', async () => {
  const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
  const usable = (id: string, fails?: string): Usable => ({
    ...{ ok: true, userId: undefined, source: 'transactions', eventId: id, event: { account_id: 'a', fails }, watermark: eventTime(0) },
    ...{ eventTimeMs: START, receivedAtMs: undefined, knownAtMs: START, arrivedAtMs: 0, payload: id, attempt: 1 },
  });
  const elements = (fails?: string) => Array.from({ length: 30 }, (_, index) => usable(`e${index}`, fails));
  const rows: Record<string, Collected<ComputedRow>[]> = { bad: [], good: [] };
  await runToEnd((root) => {
    for (const [name, events] of Object.entries({ bad: elements('one'), good: elements() })) {
      const settings = { allowedLatenessMs: 1_000, isLive: false, failureLimit: { share: 0.5, minEvents: 10 } };
      const { main, dead } = root
        .apply(create(events, `Events ${name}`))
        .apply(keyBy(() => keyOf(name), `Key ${name}`))
        .apply(
          parDoTagged(
            new ComputeFeatures(viewOf('one'), { metrics, log: silentLogger }, settings),
            { dead: DEAD },
            {
              name: `Compute ${name}`,
            },
          ),
        );
      collectInto(main, rows[name] as Collected<ComputedRow>[], `Rows ${name}`);
      collectInto(dead, [], `Letters ${name}`);
    }
  });
  expect([rows.bad?.length, rows.good?.filter(({ value }) => value.isOfEvent).length]).toEqual([0, 30]);
});

test('the share is of the newest events: failures of long ago do not stop a view, nor do a few', () => {
  const share = new FailureShare({ share: 0.5, minEvents: 10 });
  for (let index = 0; index < 2; index += 1) share.add(true);
  for (let index = 0; index < 1_000; index += 1) share.add(index % 3 === 2);
  expect(share.isExceeded).toBe(false);
  for (let index = 0; index < 200 && !share.isExceeded; index += 1) share.add(true);
  expect(share.isExceeded).toBe(true);
});
