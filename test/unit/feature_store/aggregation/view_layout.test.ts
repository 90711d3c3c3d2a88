import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { adaptLayout, type ViewLayout } from '#feature_store/aggregation/view_layout';
import { count, distinct, last, max, sum } from '#feature_store/definitions/aggregations';
import { type Feature, field } from '#feature_store/definitions/feature';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { functionIdentityOf } from '#kernel/functions/function_identity';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';
import { testView } from '../../../support/definitions/test_view.ts';

const LATENESS_MS = HOUR_MS;
const atLeast = (limit: number) => (event: Readonly<Record<string, unknown>>) => Number(event.amount) >= limit;

/** Groups of features, in every order and selection of which a definition may come. All have the same longest window, so that as much is kept. */
const GROUPS: Readonly<Record<string, Readonly<Record<string, Feature>>>> = {
  anchor: { ...count({ as: 'anchor', where: (event) => Number(event.amount) >= 0 }).over('7d') },
  sum: { ...sum('amount').over('1h', '24h') },
  count: { ...count().over('24h') },
  distinct: { ...distinct('merchant_id').over('24h') },
  large: { ...count({ as: 'large', where: atLeast(50), uses: { limit: 50 } }).over('24h') },
  huge: { ...count({ as: 'huge', where: atLeast(90), uses: { limit: 90 } }).over('24h') },
  filtered: { ...sum('amount', { as: 'at_a', where: (event) => event.merchant_id === 'a' }).over('24h') },
  max: { ...max('amount', { as: 'most', where: (event) => event.merchant_id !== 'z' }).over('24h') },
  last: { ...last('merchant_id', 'string').over('24h') },
  twice: {
    twice: { ...field('amount', 'double', 'd'), compute: (event: EventFields) => Number(event.amount) * 2 },
    ...sum('twice').over('24h'),
  },
};

const computationOf = (groups: readonly string[]): ViewComputation =>
  new ViewComputation(
    testView(Object.assign({}, ...groups.map((name) => GROUPS[name])) as Record<string, Feature>),
    LATENESS_MS,
  );

const START = Date.UTC(2026, 0, 1);
const eventsOf = fc.array(
  fc.record({
    gapMs: fc.integer({ min: 0, max: 3 * HOUR_MS }),
    amount: fc.integer({ min: 1, max: 100 }),
    merchant: fc.constantFrom('a', 'b', 'c'),
  }),
  { minLength: 1, maxLength: 30 },
);
const definitions = fc
  .subarray(Object.keys(GROUPS).filter((name) => name !== 'anchor'))
  .chain((names) =>
    fc.shuffledSubarray([...names, 'anchor'], { minLength: names.length + 1, maxLength: names.length + 1 }),
  );

test('after any change of a definition, features that stay go on, and new ones hold what came since', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(definitions, eventsOf), { minLength: 1, maxLength: 5 }), (phases) => {
      let state: EntityState = emptyEntityState();
      let layout: ViewLayout | undefined;
      /** The oracle: each group by itself, from when it was last added. */
      const alone = new Map<string, { computation: ViewComputation; state: EntityState }>();
      let at = START;
      for (const [groups, events] of phases) {
        const computation = computationOf(groups);
        if (layout !== undefined) {
          const adapted = adaptLayout(structuredClone(layout), computation.layout);
          if (typeof adapted === 'string') throw new Error(adapted);
          state = adapted.convert(structuredClone(state));
        }
        layout = computation.layout;
        for (const name of [...alone.keys()]) if (!groups.includes(name)) alone.delete(name);
        for (const name of groups) {
          if (!alone.has(name))
            alone.set(name, { computation: computationOf([...new Set([name, 'anchor'])]), state: emptyEntityState() });
        }
        for (const { gapMs, amount, merchant } of events) {
          at += gapMs;
          const event = { amount, merchant_id: merchant };
          const values = computation.apply(state, event, at);
          for (const [name, one] of alone) {
            const expected = one.computation.apply(one.state, event, at);
            for (const feature of Object.keys(GROUPS[name] as object)) {
              expect({ [feature]: values[feature] }).toEqual({ [feature]: expected[feature] });
            }
          }
        }
      }
    }),
    { numRuns: 200 },
  );
});

test('a sum put before another one leaves both right', () => {
  const before = computationOf(['sum', 'anchor']);
  const state = emptyEntityState();
  for (let minute = 0; minute < 50; minute += 1)
    before.apply(state, { amount: 100, merchant_id: 'a' }, START + minute * MINUTE_MS);
  const after = new ViewComputation(
    testView({
      one: { ...field('amount', 'double', 'd'), compute: () => 1 },
      ...sum('one').over('24h'),
      ...sum('amount').over('1h', '24h'),
      ...count({ as: 'anchor', where: (event) => Number(event.amount) >= 0 }).over('7d'),
    }),
    LATENESS_MS,
  );
  const adapted = adaptLayout(before.layout, after.layout);
  if (typeof adapted === 'string') throw new Error(adapted);
  expect(adapted.changes).toEqual([expect.stringMatching(/^moments@1\(one=[0-9a-f]{16}\) starts empty$/)]);
  const values = after.apply(adapted.convert(state), { amount: 1, merchant_id: 'a' }, START + HOUR_MS);
  expect(values).toMatchObject({ sum_one_24h: 1, sum_amount_24h: 5_001, anchor_7d: 51 });
});

test('a filter that changed starts empty, and the log names it; a longer window is reported', () => {
  const layoutOf = (features: Record<string, Feature>): ViewLayout => new ViewComputation(testView(features), 0).layout;
  const before = layoutOf({ ...count({ where: (event) => Number(event.amount) > 100 }).over('24h') });
  const after = layoutOf({ ...count({ where: (event) => Number(event.amount) > 1 }).over('7d') });
  const adapted = adaptLayout(before, after);
  if (typeof adapted === 'string') throw new Error(adapted);
  expect(adapted.changes).toEqual([
    expect.stringMatching(/^counts@1\(\)\[.*\] starts empty$/),
    expect.stringMatching(/^counts@1\(\)\[.*\] is dropped$/),
    expect.stringContaining('windows beyond'),
  ]);
  expect(after.keptMs - before.keptMs).toBeGreaterThanOrEqual(6 * DAY_MS);
});

test('filters of equal source share a slot; those that captured other values do not', () => {
  const slotsOf = (features: Record<string, Feature>) => new ViewComputation(testView(features), 0).layout.slots;
  const over = (as: string, windows: '1h' | '24h', limit: number) =>
    count({ as, where: atLeast(limit), uses: { limit } }).over(windows);
  const inline = () => (event: EventFields) => Number(event.amount) > 50;
  expect(
    slotsOf({ ...count({ as: 'n', where: inline() }).over('1h'), ...count({ as: 'm', where: inline() }).over('24h') }),
  ).toHaveLength(1);
  expect(slotsOf({ ...over('n', '1h', 50), ...over('m', '24h', 50) })).toHaveLength(1);
  expect(slotsOf({ ...over('n', '1h', 50), ...over('m', '24h', 90) })).toHaveLength(2);
  const versioned = (as: string, limit: number) => count({ as, where: atLeast(limit), version: 1 }).over('1h');
  expect(slotsOf({ ...versioned('n', 50), ...versioned('m', 90) })).toHaveLength(2);
});

test('state that named a plain field with its function is found under the name of now', () => {
  const features = { amount: field('amount', 'double', 'd'), ...sum('amount').over('24h') };
  const { layout } = new ViewComputation(testView(features), 0);
  expect(layout.slots).toEqual(['moments@1(amount)']);
  const hash = functionIdentityOf(features.amount.compute).hash;
  const adapted = adaptLayout({ ...layout, slots: [`moments@1(amount=${hash} amount)`] }, layout);
  expect(adapted).toMatchObject({ changes: [] });
  const doubled = { amount: { ...features.amount, compute: (event: EventFields) => 2 * Number(event.amount) } };
  const [slot] = new ViewComputation(testView({ ...doubled, ...sum('amount').over('24h') }), 0).layout.slots;
  expect(slot).toMatch(/^moments@1\(amount=[0-9a-f]{16}\)$/);
});
