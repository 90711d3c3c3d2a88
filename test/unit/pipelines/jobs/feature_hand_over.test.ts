import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fraudView } from '#examples/fraud/features/fraud';
import { count, distinct, mean, sum } from '#feature_store/definitions/aggregations';
import { expression, type Feature, sincePrevious } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { MINUTE_MS } from '#kernel/time';
import { byForm } from '../../../support/jest/forms.ts';
import {
  fromScratch,
  ofEvents,
  Platform,
  Rows,
  START,
  transaction,
} from '../../../support/platforms/streaming_platform.ts';

// Features that are added to a live view are computed beside the running job from the archive, and switched at a position; those of before are not touched. Oracle: all events
// of the topic, from scratch.

const large = (event: EventFields): boolean => Number(event.amount) > 3;
const NEW: Readonly<Record<string, Feature>> = {
  // A slot of its own, with a filter.
  ...sum('amount', { where: large, as: 'large' }).over('24h', '7d'),
  // A slot that count_7d has too, with a longer window.
  ...count().over('14d'),
  ...distinct('country').over('7d'),
  amount_change: sincePrevious('double', 'Difference from the amount before', (event, _, previous) =>
    previous === undefined ? null : Number(event.amount) - Number(previous.event.amount),
  ),
  large_share: expression(['large_7d', 'sum_amount_7d'], 'double', 'Share of large amounts', (row) =>
    Number(row.sum_amount_7d) === 0 ? 0 : Number(row.large_7d) / Number(row.sum_amount_7d),
  ),
  ...mean('amount_change').over('24h'),
};
const { name, version, ttl, source, entity, owner, description } = {
  ...{ name: 'fraud', version: 1, ttl: '30d' as const, owner: 'tests', description: 'd' },
  ...{ source: fraudView.source, entity: fraudView.entity },
};
const more: FeatureView = featureView({
  ...{ name, version, ttl, source, entity, owner, description },
  features: { ...(fraudView.features as Readonly<Record<string, Feature>>), ...NEW },
});
const FEATURES = { 'fraud@1': Object.keys(NEW) };

test('a new feature of a live view is right from the first live event after its switch', async () => {
  const platform = new Platform(new Rows());
  try {
    await platform.open();
    await platform.start([fraudView]);
    await platform.send(Array.from({ length: 100 }, (_, index) => transaction(index, 'a', index)));
    await platform.settle();
    await platform.kill();
    await platform.start([more]);
    await platform.send([transaction(100, 'a', 100)]);
    await platform.settle();
    const at = (minute: number) => platform.live.rows.get(`fraud@1|account:a|${START + minute * MINUTE_MS}`)?.values;
    // Until it is switched, it holds what came since it was defined: one event, which is not large.
    expect(at(100)).toMatchObject({ count_14d: 101, distinct_country_7d: 1, large_7d: 0 });
    await platform.archive.catchUp(20_000);
    await platform.handOver([more], [more], FEATURES);
    const large100 = Array.from({ length: 101 }, (_, id) => (id % 7) + 1).filter((amount) => amount > 3);
    const total = large100.reduce((sum, amount) => sum + amount, 0);
    expect(at(100)).toMatchObject({ count_7d: 101, large_7d: total });
    await platform.send([transaction(101, 'a', 101)]);
    await platform.settle();
    expect(at(101)).toMatchObject({ count_7d: 102, count_14d: 102, large_7d: total + (101 % 7) + 1 });
  } finally {
    await platform.close();
  }
}, 60_000);

const event = fc.record({ id: fc.integer({ min: 0, max: 80 }), delay: fc.integer({ min: 0, max: 120 }) });
const events = fc.array(event, { minLength: 1, maxLength: 25 });

/** Events in the order in which they arrive, in four parts. */
function arranged(parts: readonly (readonly { readonly id: number; readonly delay: number }[])[]): string[][] {
  const all = parts
    .flat()
    .map(({ id, delay }) => ({ id, minute: (id * 37) % 2_400, arrives: ((id * 37) % 2_400) + delay }))
    .sort((a, b) => a.arrives - b.arrives)
    .map(({ id, minute }) => transaction(id, `a${id % 3}`, minute));
  return parts.map(({ length }) => all.splice(0, length));
}

test('rows after the switch are those from scratch, of new features and of the others: late, repeated, restarted', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(events, events, events, events),
      fc.boolean(),
      fc.boolean(),
      async (parts, killsBefore, killsAfter) => {
        const platform = new Platform(new Rows());
        try {
          await platform.open();
          const [early, since, meanwhile, late] = arranged(parts) as [string[], string[], string[], string[]];
          await platform.start([fraudView]);
          await platform.send(early);
          await platform.settle();
          await platform.kill();
          await platform.start([more]);
          await platform.send(since);
          if (killsBefore) {
            await platform.kill();
            await platform.start([more]);
          }
          await platform.settle();
          await platform.archive.catchUp(20_000);
          platform.meanwhile = meanwhile;
          await platform.handOver([more], [more], FEATURES);
          await platform.send(late);
          if (killsAfter) {
            await platform.kill();
            await platform.start([more]);
          }
          await platform.settle();
          const expected = await fromScratch(platform, [more]);
          expect(ofEvents(platform.live.values())).toEqual(ofEvents(expected.values()));
        } finally {
          await platform.close();
        }
      },
    ),
    { numRuns: byForm({ short: 2, long: 6 }), endOnFailure: true },
  );
}, 300_000);

test('features of before have the values of a stream without the switch, also where the archive lacks events', async () => {
  const old = Object.keys(fraudView.features);
  const onlyOld = (values: Readonly<Record<string, unknown>>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(values).map(([key, row]) => [
        key,
        Object.fromEntries(old.map((feature) => [feature, (row as Record<string, unknown>)[feature]])),
      ]),
    );
  await fc.assert(
    fc.asyncProperty(fc.tuple(events, events, events, events), async (parts) => {
      const platform = new Platform(new Rows());
      try {
        await platform.open();
        const [early, since, meanwhile, late] = arranged(parts) as [string[], string[], string[], string[]];
        await platform.start([fraudView]);
        await platform.send(early);
        await platform.settle();
        await platform.archive.catchUp(20_000);
        await platform.kill();
        await platform.emptyArchive();
        await platform.start([more]);
        await platform.send(since);
        await platform.settle();
        await platform.archive.catchUp(20_000);
        platform.meanwhile = meanwhile;
        await platform.handOver([more], [more], FEATURES);
        await platform.send(late);
        await platform.settle();
        const expected = await fromScratch(platform, [fraudView]);
        expect(onlyOld(ofEvents(platform.live.values()))).toEqual(onlyOld(ofEvents(expected.values())));
      } finally {
        await platform.close();
      }
    }),
    { numRuns: byForm({ short: 2, long: 4 }), endOnFailure: true },
  );
}, 300_000);
