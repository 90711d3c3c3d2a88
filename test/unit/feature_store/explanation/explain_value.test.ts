import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { count, distinct, last, max, session, sum } from '#feature_store/definitions/aggregations';
import { expression, field, sincePrevious } from '#feature_store/definitions/feature';
import { inRange } from '#feature_store/definitions/rules/quality_rule';
import type { EventFields } from '#feature_store/definitions/sources/source';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import type { FoundEvent } from '#feature_store/explanation/entity_replay';
import { explainValue } from '#feature_store/explanation/explain_value';
import type { ValueExplanation } from '#feature_store/explanation/value_explanation';
import { DAY_MS, eventTime, HOUR_MS, MINUTE_MS, processingTime, SECOND_MS } from '#kernel/time';
import { testView } from '../../../support/definitions/test_view.ts';
import { keyOf } from '../../../support/entity_keys.ts';
import { byForm } from '../../../support/jest/forms.ts';

// What a value is of, against plain loops over the events as they were sent.

const START = Date.UTC(2026, 0, 1);
const LATENESS_MS = DAY_MS;
const isLarge = ({ amount }: EventFields): boolean => Number(amount) > 50;
const WINDOWS = ['1h', '24h', '7d'] as const;
const STEPS: Readonly<Record<(typeof WINDOWS)[number], readonly [windowMs: number, stepMs: number]>> = {
  '1h': [HOUR_MS, MINUTE_MS],
  '24h': [DAY_MS, 15 * MINUTE_MS],
  '7d': [7 * DAY_MS, HOUR_MS],
};
const view = testView({
  amount: field('amount', 'double', 'amount'),
  since_previous: sincePrevious('double', 'seconds', (_, at, before) =>
    before === undefined ? null : (at - before.eventTimeMs) / 1_000,
  ),
  ...count().over(...WINDOWS),
  ...count({ as: 'large', where: isLarge }).over(...WINDOWS),
  ...sum('amount').over(...WINDOWS),
  ...max('amount').over(...WINDOWS),
  ...distinct('merchant_id').over(...WINDOWS),
  ...last('merchant_id', 'string', 3).over(...WINDOWS),
  ...session('30m'),
  share_24h: expression(['sum_amount_24h', 'sum_amount_7d'], 'double', 'share', ({ sum_amount_24h, sum_amount_7d }) =>
    Number(sum_amount_7d) > 0 ? Number(sum_amount_24h) / Number(sum_amount_7d) : null,
  ),
});
const KEY = keyOf('a1');

interface Sent {
  readonly id: string;
  readonly at: number;
  readonly delayMs: number;
  readonly amount: number;
  readonly merchant: string | null;
}

/** Few ids and times, so that some repeat and some are in conflict; some arrive out of order, some too late. */
const sent: fc.Arbitrary<readonly Sent[]> = fc
  .array(
    fc.record({
      id: fc.integer({ min: 0, max: 60 }).map((id) => `e${id}`),
      at: fc.integer({ min: 0, max: 9 * 24 * 60 }).map((minutes) => START + minutes * MINUTE_MS + 7),
      delayMs: fc.oneof(
        { weight: 6, arbitrary: fc.constant(0) },
        { weight: 3, arbitrary: fc.integer({ min: 0, max: LATENESS_MS }) },
        { weight: 1, arbitrary: fc.integer({ min: LATENESS_MS + 1, max: 3 * LATENESS_MS }) },
      ),
      amount: fc.integer({ min: 1, max: 100 }),
      merchant: fc.constantFrom('a', 'b', 'c', null),
    }),
    { minLength: 1, maxLength: 50 },
  )
  .chain((list) =>
    fc
      .subarray(list, { maxLength: Math.min(6, list.length) })
      .map((again) => [...list, ...again.map((each) => ({ ...each, delayMs: each.delayMs + 1 }))]),
  )
  // In the order of arrival.
  .map((list) => [...list].sort((a, b) => a.at + a.delayMs - b.at - b.delayMs));

const foundOf = (list: readonly Sent[]): readonly FoundEvent[] =>
  list.map(({ id, at, delayMs, amount, merchant }, index) => ({
    ...{ eventId: id, userId: 'a1', eventTimeMs: at, arrivedAtMs: at + delayMs, knownAtMs: at + delayMs },
    ...{ from: 'archive', place: `0/${index}` },
    event: { account_id: 'a1', amount, merchant_id: merchant, timestamp: at },
  }));

/** The slow way: late ones first, then by id. */
function fatesOf(list: readonly Sent[]): readonly ('counted' | 'late' | 'repeated' | 'conflict')[] {
  const first = new Map<string, Sent>();
  return list.map((event) => {
    if (event.delayMs > LATENESS_MS) return 'late';
    const held = first.get(event.id);
    if (held === undefined) {
      first.set(event.id, event);
      return 'counted';
    }
    const isSame = held.at === event.at && held.amount === event.amount && held.merchant === event.merchant;
    return isSame ? 'repeated' : 'conflict';
  });
}

function explain(
  list: readonly Sent[],
  feature: string,
  atMs: number,
  stored?: Readonly<Record<string, FeatureValue>>,
  limit = 1_000,
  of: typeof view = view,
): ValueExplanation {
  const row = { view: 'v', version: 1, entityKey: KEY, eventTime: eventTime(atMs), computedAt: processingTime(atMs) };
  return explainValue(
    { view: of, feature, entityKey: KEY, page: { offset: 0, limit } },
    {
      atMs,
      stored: stored === undefined ? undefined : { row: { ...row, values: stored }, from: 'online store' },
      found: { events: foundOf(list), refused: [], places: [] },
      usedBy: { models: [], predictions: [] },
      allowedLatenessMs: LATENESS_MS,
    },
  );
}

const placesOf = (items: readonly { readonly place?: string | undefined }[]): readonly string[] =>
  items.map(({ place }) => place as string).sort();
const isInWindow = (window: (typeof WINDOWS)[number], at: number, asOfMs: number): boolean => {
  const [windowMs, stepMs] = STEPS[window];
  return at <= asOfMs && (Math.floor(at / stepMs) + 1) * stepMs + windowMs > asOfMs;
};

test('windows: the value, its events and what would have counted are those of a plain loop, however late and repeated', () => {
  fc.assert(
    fc.property(
      sent,
      fc.constantFrom(...WINDOWS),
      fc.integer({ min: 0, max: 10 * 24 * 60 * 60 }),
      (list, window, laterSeconds) => {
        const fates = fatesOf(list);
        const counted = list.filter((_, index) => fates[index] === 'counted');
        fc.pre(counted.length > 0);
        // From the newest event on, all that was accepted counts (docs/adr/0020).
        const atMs = Math.max(...counted.map(({ at }) => at)) + laterSeconds * SECOND_MS;
        const events = foundOf(list);
        const inside = (fate: (typeof fates)[number]) =>
          list.flatMap((event, index) =>
            fates[index] === fate && isInWindow(window, event.at, atMs)
              ? [{ ...event, place: events[index]?.place }]
              : [],
          );
        const expected = inside('counted');
        const amounts = expected.map(({ amount }) => amount);
        const of = (feature: string) => explain(list, feature, atMs);
        const sums = of(`sum_amount_${window}`);
        expect(sums.recomputed?.value).toBe(amounts.reduce((sum, amount) => sum + amount, 0));
        expect(placesOf(sums.events.items)).toEqual(placesOf(expected));
        expect(sums.events.items.reduce((sum, { contribution }) => sum + Number(contribution), 0)).toBe(
          sums.recomputed?.value,
        );
        expect(sums.window?.tiles.reduce((sum, { value }) => sum + Number(value), 0)).toBe(sums.recomputed?.value);
        expect(sums.window?.tiles.reduce((sum, tile) => sum + tile.events, 0)).toBe(expected.length);
        expect(of(`max_amount_${window}`).recomputed?.value).toBe(amounts.length === 0 ? null : Math.max(...amounts));
        const large = of(`large_${window}`);
        expect(placesOf(large.events.items)).toEqual(placesOf(expected.filter(({ amount }) => amount > 50)));
        expect(large.window?.passedOver).toBe(amounts.filter((amount) => amount <= 50).length);
        const merchants = of(`distinct_merchant_id_${window}`);
        const named = expected.filter(({ merchant }) => merchant !== null);
        expect(merchants.recomputed?.value).toBe(new Set(named.map(({ merchant }) => merchant)).size);
        expect(placesOf(merchants.events.items)).toEqual(placesOf(named));
        for (const fate of ['late', 'repeated', 'conflict'] as const) {
          const uncounted = sums.uncounted.items.filter((event) => event.fate === fate);
          expect(placesOf(uncounted)).toEqual(placesOf(inside(fate)));
        }
      },
    ),
    { numRuns: byForm({ short: 200, long: 5_000 }) },
  );
});

test('a value that is stored as computed is equal at every time, and one that is not is shown beside what events give', () => {
  const features = ['sum_amount_7d', 'share_24h', 'is_active_session', 'since_previous', 'amount'];
  fc.assert(
    fc.property(sent, fc.integer({ min: 0, max: 18 * 24 * 60 * 60 }), (list, seconds) => {
      const atMs = START + seconds * SECOND_MS;
      for (const feature of features) {
        const { recomputed, difference } = explain(list, feature, atMs);
        expect(difference === undefined).toBe(recomputed === undefined);
        if (recomputed === undefined) continue;
        expect(explain(list, feature, atMs, { [feature]: recomputed.value }).difference).toBeUndefined();
        expect(explain(list, feature, atMs, { [feature]: 'other' }).difference).toMatch(
          /^"other" is stored as of .*, and events give /,
        );
      }
    }),
    { numRuns: byForm({ short: 60, long: 2_000 }) },
  );
});

const event = (id: string, minutes: number, amount = 1): Sent => ({
  ...{ id, at: START + minutes * MINUTE_MS, delayMs: 0, amount, merchant: 'a' },
});

test('sessions, events, features since the previous event and expressions name what they are of', () => {
  const list = [event('e1', 0, 10), event('e2', 100, 20), event('e3', 110, 30)];
  const atMs = START + 112 * MINUTE_MS;
  const ids = (feature: string): readonly string[] =>
    explain(list, feature, atMs).events.items.map(({ eventId }) => eventId);
  expect(ids('session_event_count')).toEqual(['e3', 'e2']);
  expect(ids('amount')).toEqual(['e3']);
  expect(ids('since_previous')).toEqual(['e3', 'e2']);
  expect(ids('share_24h')).toEqual(['e3', 'e2', 'e1']);
  const { formula, recomputed } = explain(list, 'share_24h', atMs, {
    sum_amount_24h: 60,
    sum_amount_7d: 60,
    share_24h: 1,
  });
  expect(recomputed?.value).toBe(1);
  expect(formula.inputs.map(({ name, formula: text, value }) => [name, text, value])).toEqual([
    ['sum_amount_24h', 'sum(amount) over 1d', 60],
    ['sum_amount_7d', 'sum(amount) over 7d', 60],
  ]);
});

test('pages of events are the newest first, with their total', () => {
  const list = Array.from({ length: 30 }, (_, index) => event(`e${index}`, index));
  const { events } = explain(list, 'count_24h', START + HOUR_MS, undefined, 10);
  expect([events.total, events.items[0]?.eventId, events.items.length]).toEqual([30, 'e29', 10]);
});

test('a row that a rule refuses is named, and the value is that of the row before', () => {
  const guarded = testView(
    { ...sum('amount').over('1h') },
    { rules: { bounded: inRange('sum_amount_1h', { max: 100 }, 'drop') } },
  );
  const list = [event('e1', 0, 90), event('e2', 1, 90)];
  const { recomputed, refusedRow } = explain(
    list,
    'sum_amount_1h',
    START + 2 * MINUTE_MS,
    undefined,
    10,
    guarded as unknown as typeof view,
  );
  expect(recomputed).toEqual({ value: 90, timeMs: START });
  expect(refusedRow).toEqual({ timeMs: START + MINUTE_MS, rule: expect.stringMatching(/^bounded: /) });
});
