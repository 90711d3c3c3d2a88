import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { z } from 'zod';
import { fromEvent } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { entity, source } from '#feature_store/definitions/sources/source';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow, FeatureValue } from '#feature_store/definitions/values/feature_row';
import type { OwnOfflineStore } from '#feature_store/offline/define_offline_store';
import type { BackfillSettlement, OfflineStore } from '#feature_store/offline/offline_store';
import type { ContractCase } from '#kernel/contract';
import { DAY_MS, eventTime, HOUR_MS, processingTime } from '#kernel/time';

const START = Date.UTC(2026, 4, 30);
const OPEN_MS = 60_000;
/** Of every view that has no definition here: names are new in each case. */
const VERSION = 1;

const at = (hours: number) => eventTime(START + hours * HOUR_MS);
const known = (ms: number) => processingTime(START + 10 * DAY_MS + ms);
const keyOf = (id: string, name = 'account'): EntityKey =>
  entityKeyFromId({ entity: { name, joinKeys: ['id'] }, joinKeyTypes: ['string'] }, id);
const viewOf = (view: string) => ({ view, version: VERSION });
const rowOf = (view: string, id: string, hours: number, value: number, computedAt = 0): FeatureRow => ({
  ...{ view, version: VERSION, entityKey: keyOf(id), eventTime: at(hours), computedAt: known(computedAt) },
  values: { value, name: 'x"y,z', flag: true, nothing: null },
});

const typedView: FeatureView = featureView({
  ...{ name: 'typed_contract', version: VERSION, entity: entity('account', ['id']), ttl: '0s', owner: 'contract' },
  source: source('typed_contract_events', { schema: z.strictObject({ id: z.string() }), key: 'id' }),
  description: '',
  features: {
    integer: fromEvent('long', '', () => null),
    exact: fromEvent('int64', '', () => null),
    price: fromEvent('decimal(20,4)', '', () => null),
    at: fromEvent('timestamp', '', () => null),
    raw: fromEvent('bytes', '', () => null),
    list: fromEvent('array<int64>', '', () => null),
    near: fromEvent('embedding(3)', '', () => null),
  },
});
const typedValues: Readonly<Record<string, FeatureValue>> = {
  ...{ integer: 7, exact: 9_007_199_254_740_993n, price: '1234567890123456.5000', at: '2026-05-30T12:00:00.123456Z' },
  ...{ raw: new Uint8Array([0, 255, 10]), list: [1n, -9_223_372_036_854_775_808n], near: Float32Array.of(0.5, -1, 3) },
};
/** Views that a store under test is opened with. Rows of views that are not defined come as their JSON form. */
export const OFFLINE_CONTRACT_VIEWS: readonly FeatureView[] = [typedView];

/** A copy of plain objects: a store may give objects of another realm, or without a prototype. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return Array.from(value, plain);
  if (value instanceof Map) return Array.from(value, plain).sort();
  if (ArrayBuffer.isView(value)) return [value.constructor.name, ...(value as Uint8Array)];
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}

const assertSame = (actual: unknown, expected: unknown): void => assert.deepEqual(plain(actual), plain(expected));

type Case<Store> = (store: Store) => Promise<void>;

const casesOf = <Store extends OfflineStore>(
  open: () => Promise<Store>,
  close: (store: Store) => Promise<void>,
  all: Readonly<Record<string, Case<Store>>>,
): readonly ContractCase[] =>
  Object.entries(all).map(([name, check]) => ({
    name,
    timeoutMs: 120_000 + OPEN_MS,
    async run() {
      const store = await open();
      try {
        await check(store);
      } finally {
        await close(store);
      }
    },
  }));

const byKey = (rows: readonly FeatureRow[]): ReadonlyMap<EntityKey, FeatureRow> =>
  new Map(rows.map((row) => [row.entityKey, row]));
const firstOf = (rows: readonly FeatureRow[], compare: (a: FeatureRow, b: FeatureRow) => number) =>
  [...rows].sort(compare)[0]?.values;

/** What the features of every offline store do, the platform's own too. */
const FEATURE_CASES: Readonly<Record<string, Case<OfflineStore>>> = {
  'the newest row of every entity comes page by page, by key': async (store) => {
    const view = randomUUID();
    const keys = Array.from({ length: 25 }, (_, index) => `entity-${String(index).padStart(2, '0')}`);
    for (const hours of [0, 5, 40 * 24]) {
      // Not every entity has been seen lately.
      const seen = keys.filter((_, index) => hours === 0 || index % (hours === 5 ? 2 : 3) === 0);
      await store.write(seen.map((key) => rowOf(view, key, hours, hours)));
    }
    const newest: FeatureRow[] = [];
    for (let after: EntityKey | undefined; ; after = newest.at(-1)?.entityKey) {
      const page = await store.newestRows(viewOf(view), { limit: 10, ...(after === undefined ? {} : { after }) });
      if (page.length === 0) break;
      assert.ok(page.length <= 10);
      newest.push(...page);
    }
    const hoursOf = (index: number): number => (index % 3 === 0 ? 40 * 24 : index % 2 === 0 ? 5 : 0);
    assertSame(
      newest,
      keys.map((key, index) => rowOf(view, key, hoursOf(index), hoursOf(index))),
    );
    const sampled = await store.sampleEntities(viewOf(view), 10);
    assert.equal(new Set(sampled).size, 10);
    assert.ok(sampled.every((key) => keys.some((id) => keyOf(id) === key)));
  },

  'the newest rows of some entities; those without one are left out': async (store) => {
    const view = randomUUID();
    const rows = [rowOf(view, 'a', 0, 1), rowOf(view, 'a', 3, 2), rowOf(view, 'b', 1, 3), rowOf(view, 'c', 1, 4)];
    await store.write(rows);
    const found = await store.newestOf(
      viewOf(view),
      ['b', 'none', 'a', 'a'].map((id) => keyOf(id)),
    );
    assert.equal(found.length, 2);
    assertSame(byKey(found), byKey([rows[1], rows[2]] as FeatureRow[]));
  },

  'the newest row of an entity at or before a time; the times and number of a view': async (store) => {
    const view = randomUUID();
    assert.equal(await store.timesOf(viewOf(view)), undefined);
    const rows = [rowOf(view, 'a', 0, 1), rowOf(view, 'a', 3, 2), rowOf(view, 'b', 1, 3)] as const;
    await store.write(rows);
    const newestBy = (ms: number) => store.newestBy(viewOf(view), { entityKey: keyOf('a'), eventTime: eventTime(ms) });
    const [first, last] = rows;
    assert.equal(await newestBy(first.eventTime - 1), undefined);
    assertSame(await newestBy(first.eventTime), first);
    assertSame(await newestBy(last.eventTime - 1), first);
    assertSame(await newestBy(last.eventTime + 1), last);
    assertSame(await store.timesOf(viewOf(view)), { oldest: first.eventTime, newest: last.eventTime });
    assert.equal(await store.countRows(viewOf(view)), 3);
  },

  'rows of a time, and those computed since one, come by entity and time, page by page': async (store) => {
    const view = randomUUID();
    const rows = ['a', 'b', 'é'].flatMap((id) => [0, 1, 2, 3].map((hours) => rowOf(view, id, hours, hours, hours)));
    await store.write([...rows].reverse());
    const pages = async (next: (after: FeatureRow | undefined) => Promise<readonly FeatureRow[]>) => {
      const read: FeatureRow[] = [];
      for (let page = await next(undefined); page.length > 0; page = await next(read.at(-1))) {
        assert.ok(page.length <= 2);
        read.push(...page);
      }
      return read;
    };
    const range = { from: at(1), to: at(3) };
    assertSame(
      await pages((after) => store.rowsBetween(viewOf(view), range, { limit: 2, after })),
      rows.filter(({ eventTime: ms }) => ms >= range.from && ms < range.to),
    );
    // Ten days lie between these rows' events and when they were computed: more than the two that are looked back.
    const late = { limit: 2, after: undefined };
    assertSame(await store.rowsComputedSince(viewOf(view), known(0), late), []);
    const fresh = rows.map((row) => ({ ...row, computedAt: processingTime(row.eventTime + 1) }));
    const other = randomUUID();
    await store.write(fresh.map((row) => ({ ...row, view: other })));
    const since = at(2) + 1;
    assertSame(
      await pages((after) => store.rowsComputedSince(viewOf(other), since, { limit: 2, after })),
      fresh.filter(({ computedAt }) => computedAt >= since).map((row) => ({ ...row, view: other })),
    );
  },

  'writing again changes nothing; an older computation never replaces a newer one': async (store) => {
    const view = randomUUID();
    const rows = [rowOf(view, 'a', 0, 1), rowOf(view, 'a', 1, 2), rowOf(view, 'b', 0, 3), rowOf(view, 'b', 0, 4, 5)];
    await store.write(rows);
    await store.write(rows);
    await store.write([rowOf(view, 'b', 0, 99, -5)]);
    assert.equal(await store.countRows(viewOf(view)), 3);
    const moments = [{ entityKey: keyOf('b'), eventTime: at(2) }];
    const [joined] = await store.pointInTimeJoin(moments, { view: viewOf(view) });
    assert.equal(joined?.value, 4);
  },

  'of rows with one key in one call the newest counts, or the last': async (store) => {
    const entry = fc.record({ key: fc.nat(3), computed: fc.nat(3), value: fc.nat(999) });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 20 }), async (batch) => {
        const view = randomUUID();
        const newest = new Map<string, FeatureRow>();
        const rows = batch.map(({ key, computed, value }) => rowOf(view, `k${key}`, 0, value, computed));
        for (const row of rows) {
          const held = newest.get(row.entityKey);
          if (held === undefined || held.computedAt <= row.computedAt) newest.set(row.entityKey, row);
        }
        await store.write(rows);
        assertSame(
          byKey(
            await store.newestOf(
              viewOf(view),
              [...newest.values()].map((row) => row.entityKey),
            ),
          ),
          byKey([...newest.values()]),
        );
      }),
      { numRuns: 15 },
    );
  },

  'rows with any characters come back, in a call of which some rows exist already, and in the next ones': async (
    store,
  ) => {
    const view = `${randomUUID()}\t\\`;
    const ids = [
      'tab\t',
      'line\n',
      'return\r',
      'back\\slash',
      '\\N',
      '\\.',
      'quote"',
      "it's",
      'é💧',
      ' ',
      '%',
      '_',
      '{}',
    ];
    const batchOf = (batch: number) =>
      ids.map((id) => ({
        ...rowOf(view, id, batch, 0, batch),
        values: { ...Object.fromEntries(ids.map((each) => [each, each])), batch, 'a\\"b': null },
      }));
    await store.write(batchOf(0));
    for (const batch of [1, 2, 3]) await store.write([...batchOf(batch), ...batchOf(0)]);
    assert.equal(await store.countRows(viewOf(view)), 4 * ids.length);
    const found = await store.newestOf(
      viewOf(view),
      ids.map((id) => keyOf(id)),
    );
    assertSame(byKey(found), byKey(batchOf(3)));
  },

  'what was known at a time stays as it was, whatever is written later; repetitions keep when a value became known':
    async (store) => {
      const entry = fc.record({
        ...{ key: fc.constantFrom('a', 'b'), hours: fc.integer({ min: 0, max: 3 }) },
        ...{ value: fc.integer({ min: 0, max: 2 }), computed: fc.integer({ min: 0, max: 5 }) },
      });
      await fc.assert(
        fc.asyncProperty(
          fc.array(entry, { minLength: 1, maxLength: 20 }),
          fc.integer({ min: -1, max: 30 }),
          async (written, knownBy) => {
            const view = randomUUID();
            // The slow oracle: all versions of each row, oldest first.
            const versions = new Map<string, FeatureRow[]>();
            let now = 0;
            for (const { key, hours, value, computed } of written) {
              now += computed;
              const candidate = rowOf(view, key, hours, value, now);
              const held = versions.get(`${key}${hours}`) ?? [];
              versions.set(`${key}${hours}`, held);
              const last = held.at(-1);
              await store.write([candidate]);
              if (last?.values.value === value) continue;
              if (last?.computedAt === candidate.computedAt) held.pop();
              held.push(candidate);
            }
            const moments = ['a', 'b'].flatMap((key) =>
              [0, 1, 2, 3].map((hours) => ({ entityKey: keyOf(key), eventTime: at(hours) })),
            );
            const expected = (rows: readonly FeatureRow[]) =>
              moments.map(({ entityKey, eventTime: ms }) =>
                firstOf(
                  rows.filter((row) => row.entityKey === entityKey && row.eventTime <= ms),
                  (x, y) => y.eventTime - x.eventTime || y.computedAt - x.computedAt,
                ),
              );
            const all = [...versions.values()];
            const by = known(knownBy);
            assertSame(
              await store.pointInTimeJoin(moments, { view: viewOf(view), knownBy: by }),
              expected(all.flat().filter(({ computedAt }) => computedAt <= by)),
            );
            assertSame(
              await store.pointInTimeJoin(moments, { view: viewOf(view) }),
              expected(all.map((rows) => rows.at(-1) as FeatureRow)),
            );
          },
        ),
        { numRuns: 25 },
      );
    },

  'the point-in-time join equals a brute-force one, across months, ttls and late computations': async (store) => {
    const entry = fc.record({
      ...{ key: fc.constantFrom('a', 'b'), hours: fc.integer({ min: 0, max: 90 }) },
      computed: fc.integer({ min: 0, max: 10 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 25 }),
        fc.array(entry, { minLength: 1, maxLength: 10 }),
        fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
        fc.option(fc.integer({ min: 0, max: 10 }), { nil: undefined }),
        fc.boolean(),
        async (written, asked, ttlHours, knownBy, knownAtMoment) => {
          const view = randomUUID();
          const unique = new Map<string, FeatureRow>();
          for (const [index, { key, hours, computed }] of written.entries()) {
            const candidate = rowOf(view, key, hours, index, computed);
            const held = unique.get(`${key}${hours}`);
            if (held === undefined || held.computedAt <= candidate.computedAt) unique.set(`${key}${hours}`, candidate);
          }
          await store.write([...unique.values()]);
          const by = knownBy === undefined ? undefined : known(knownBy);
          const ttlMs = ttlHours === undefined ? undefined : ttlHours * HOUR_MS;
          // Rows are computed ten days after the first of them: some moments come before.
          const moments = asked.map(({ key, hours, computed }) => ({
            ...{ entityKey: keyOf(key), eventTime: at(hours * 3 + computed) },
          }));
          const joined = await store.pointInTimeJoin(moments, {
            view: viewOf(view),
            ttlMs,
            knownBy: by,
            knownAtMoment,
          });
          const expected = moments.map(({ entityKey, eventTime: ms }) =>
            firstOf(
              [...unique.values()]
                .filter((row) => row.entityKey === entityKey && row.eventTime <= ms)
                .filter((row) => ttlMs === undefined || row.eventTime >= ms - ttlMs)
                .filter((row) => by === undefined || row.computedAt <= by)
                .filter((row) => !knownAtMoment || row.computedAt <= ms),
              (x, y) => y.eventTime - x.eventTime,
            ),
          );
          assertSame(joined, expected);
        },
      ),
      { numRuns: 25 },
    );
  },

  'a row exactly as old as the ttl is joined, an older one is not; ttl 0 joins rows of any age': async (store) => {
    const view = randomUUID();
    await store.write([rowOf(view, 'a', 0, 1)]);
    const valueAt = async (ms: number, ttlMs: number) => {
      const moments = [{ entityKey: keyOf('a'), eventTime: eventTime(at(0) + ms) }];
      return (await store.pointInTimeJoin(moments, { view: viewOf(view), ttlMs }))[0]?.value;
    };
    assert.equal(await valueAt(-1, 5_000), undefined);
    assert.equal(await valueAt(0, 5_000), 1);
    assert.equal(await valueAt(5_000, 5_000), 1);
    assert.equal(await valueAt(5_001, 5_000), undefined);
    assert.equal(await valueAt(4_000 * DAY_MS, 0), 1);
    assertSame(await store.pointInTimeJoin([], { view: viewOf(view) }), []);
  },

  'entities of two types with one id are two': async (store) => {
    const [view, id] = [randomUUID(), randomUUID()];
    const keys = ['', '|', '\\', '#5', ':x', '{}', '%', '_', "'", 'é'].flatMap((end) =>
      ['user', 'account'].map((name) => keyOf(`${id}${end}`, name)),
    );
    await store.write(keys.map((entityKey, index) => ({ ...rowOf(view, 'x', 0, index), entityKey })));
    const moments = keys.map((entityKey) => ({ entityKey, eventTime: at(1) }));
    const joined = async () =>
      (await store.pointInTimeJoin(moments, { view: viewOf(view) })).map((values) => values?.value);
    assertSame(
      await joined(),
      keys.map((_, index) => index),
    );
    for (const key of keys.slice(0, 6)) assert.equal(await store.eraseRowsComputedBy(key, known(0)), 1);
    assertSame(
      await joined(),
      keys.map((_, index) => (index < 6 ? undefined : index)),
    );
  },

  'rows that were computed by a time are erased with what they held before; those computed later stay': async (
    store,
  ) => {
    const [view, id] = [randomUUID(), randomUUID()];
    await store.write([rowOf(view, id, 0, 1, 0), rowOf(view, id, 1, 2, 0), rowOf(view, id, 2, 3, 9)]);
    await store.write([rowOf(view, id, 1, 20, 5)]);
    assert.equal(await store.eraseRowsComputedBy(keyOf(id), known(4)), 1);
    const values = async (knownBy?: number) => {
      const moments = [0, 1, 2].map((hours) => ({ entityKey: keyOf(id), eventTime: at(hours) }));
      const by = knownBy === undefined ? undefined : known(knownBy);
      return (await store.pointInTimeJoin(moments, { view: viewOf(view), knownBy: by })).map((each) => each?.value);
    };
    assertSame(await values(), [undefined, 20, 3]);
    assertSame(await values(4), [undefined, undefined, undefined]);
    assert.equal(await store.eraseRowsComputedBy(keyOf(id), Date.UTC(9999, 0)), 2);
    assertSame(await values(), [undefined, undefined, undefined]);
  },

  'values of every type come back as their type has them': async (store) => {
    const id = randomUUID();
    const row: FeatureRow = { ...rowOf(typedView.view, id, 0, 0), values: typedValues };
    const missing: FeatureRow = {
      ...rowOf(typedView.view, id, 1, 0),
      values: Object.fromEntries(Object.keys(typedValues).map((name) => [name, null])),
    };
    await store.write([row, missing]);
    const moments = [0, 1].map((hours) => ({ entityKey: keyOf(id), eventTime: at(hours) }));
    assertSame(await store.pointInTimeJoin(moments, { view: typedView }), [typedValues, missing.values]);
    assertSame(await store.newestBy(typedView, moments[0] as (typeof moments)[number]), row);
    assert.equal(await store.eraseRowsComputedBy(keyOf(id), known(0)), 2);
  },

  'some features of rows are written beside the others, which stay; what rows held before is still known': async (
    store,
  ) => {
    const view = randomUUID();
    await store.write([settled(view, 1, { old: 1, more: 1 }, 1), settled(view, 3, { old: 3, more: 3 }, 3)]);
    const computed = [0, 1, 2, 3].map((hours) => settled(view, hours, { old: 10 + hours, more: 10 + hours }, 9));
    const values = async (atHours: number, knownBy?: number) => {
      const moment = { entityKey: keyOf('a'), eventTime: at(atHours) };
      const by = knownBy === undefined ? undefined : processingTime(START + knownBy * HOUR_MS);
      return (await store.pointInTimeJoin([moment], { view: viewOf(view), knownBy: by }))[0];
    };
    for (let times = 0; times < 2; times += 1) {
      await store.writeFeatures(computed, ['more', 'fresh']);
      // There was no row before the first: it is written whole.
      assertSame(await values(0), { old: 10, more: 10, fresh: null });
      assertSame(await values(1), { old: 1, more: 11, fresh: null });
      assertSame(await values(2), { old: 1, more: 12, fresh: null });
      assertSame(await values(3), { old: 3, more: 13, fresh: null });
      assertSame(await values(3, 4), { old: 3, more: 3 });
    }
    // The stream's row was computed after the back-fill's: its other features stay.
    await store.write([settled(view, 3, { old: 4, more: 4 }, 12)]);
    await store.writeFeatures(computed, ['more']);
    assertSame(await values(3), { old: 4, more: 13 });
  },

  'what the stream wrote before it took a back-fill over is replaced, restored or removed; earlier rows stay': async (
    store,
  ) => {
    const view = randomUUID();
    // Of an earlier life of the view; then by the stream that does not know what was before.
    await store.write([settled(view, 0, { n: 9 }, 1)]);
    await store.write([1, 3, 4, 5].map((hours) => settled(view, hours, { n: -hours }, 51)));
    const computed = [2, 3, 5, 6].map((hours) => settled(view, hours, { n: hours }, 50.5));
    await store.write(computed, { backfill: 'b' });
    // The stream wrote one of them since.
    await store.write([settled(view, 6, { n: -6 }, 52)]);
    assert.equal(await store.settleBackfill(viewOf(view), SETTLEMENT), 2);
    const kept = [[0, { n: 9 }], [1, { n: -1 }], ...[2, 3, 5, 6].map((hours) => [hours, { n: hours }])];
    assertSame(await historyOf(store, view), kept);
    assert.equal(await store.settleBackfill(viewOf(view), SETTLEMENT), 0);
  },

  'a back-fill that has read all events since a time has none for earlier rows of the stream': async (store) => {
    const view = randomUUID();
    await store.write([1, 2, 4].map((hours) => settled(view, hours, { old: hours, n: -hours }, 51)));
    await store.write([settled(view, 3, { old: 3, n: 3 }, 53)], { backfill: 'b' });
    const since = (hours: number) => ({ ...SETTLEMENT, completeSinceMs: START + hours * HOUR_MS });
    assert.equal(await store.settleBackfill(viewOf(view), { ...since(2), features: ['n'] }), 2);
    assertSame(await historyOf(store, view), [
      [1, { old: 1, n: -1 }],
      [2, { old: 2, n: null }],
      [3, { old: 3, n: 3 }],
      [4, { old: 4, n: 3 }],
    ]);
    assert.equal(await store.settleBackfill(viewOf(view), since(2)), 2);
    assert.equal(await store.settleBackfill(viewOf(view), since(Number.NEGATIVE_INFINITY)), 1);
    assertSame(await historyOf(store, view), [[3, { old: 3, n: 3 }]]);
  },

  'of some features, theirs are those of the back-fill as of its time, the others stay': async (store) => {
    const view = randomUUID();
    await store.write([1, 2, 3].map((hours) => settled(view, hours, { old: hours }, hours)));
    await store.write([4, 5, 6].map((hours) => settled(view, hours, { old: hours, fresh: -1 }, 51)));
    const computed = [1, 3, 4, 6].map((hours) => settled(view, hours, { old: 0, fresh: hours }, 53));
    await store.writeFeatures(computed, ['fresh'], { backfill: 'b' });
    await store.write([settled(view, 6, { old: 7, fresh: -1 }, 54)]);
    assert.equal(await store.settleBackfill(viewOf(view), { ...SETTLEMENT, features: ['fresh'] }), 2);
    assertSame(await historyOf(store, view), [
      [1, { old: 1, fresh: 1 }],
      [2, { old: 2 }],
      [3, { old: 3, fresh: 3 }],
      [4, { old: 4, fresh: 4 }],
      [5, { old: 5, fresh: 4 }],
      [6, { old: 7, fresh: 6 }],
    ]);
  },

  'a row that equals that of the back-fill keeps when it was computed, and is not removed': async (store) => {
    const view = randomUUID();
    await store.write([1, 2].map((hours) => settled(view, hours, { n: hours }, 51)));
    await store.write(
      [1, 2].map((hours) => settled(view, hours, { n: hours }, 60)),
      { backfill: 'b' },
    );
    assert.equal(await store.settleBackfill(viewOf(view), SETTLEMENT), 0);
    const moment = { entityKey: keyOf('a'), eventTime: at(2) };
    const knownBy = processingTime(START + 51 * HOUR_MS);
    assertSame(await store.pointInTimeJoin([moment], { view: viewOf(view), knownBy }), [{ n: 2 }]);
  },
};

const SETTLEMENT: BackfillSettlement = {
  ...{ backfill: 'b', sinceMs: START + 50 * HOUR_MS, computedAt: processingTime(START + 70 * HOUR_MS) },
};

function settled(view: string, hours: number, values: FeatureRow['values'], computedHours: number): FeatureRow {
  return { ...rowOf(view, 'a', hours, 0), values, computedAt: processingTime(START + computedHours * HOUR_MS) };
}

async function historyOf(store: OfflineStore, view: string) {
  const rows = await store.rowsBetween(viewOf(view), { from: at(-1), to: at(100) }, { limit: 100, after: undefined });
  return rows.map(({ eventTime: ms, values }) => [(ms - START) / HOUR_MS, values]);
}

/** Returns what the features of the platform's own database and of a project's store do. `open` opens a store with {@link OFFLINE_CONTRACT_VIEWS}. */
export const offlineFeaturesContract = (
  open: () => Promise<OfflineStore>,
  close: (store: OfflineStore) => Promise<void> = async () => {},
): readonly ContractCase[] => casesOf(open, close, FEATURE_CASES);

/** What a project's store does besides. */
const OWN_CASES: Readonly<Record<string, Case<OwnOfflineStore>>> = {
  'rows before a time are counted, then deleted; the others stay': async (store) => {
    const view = randomUUID();
    // Before any row of another case.
    const years = 24 * 365;
    const before = at(-20 * years);
    await store.deleteBefore(before, false);
    await store.write([-30 * years, -25 * years, 0].map((hours) => rowOf(view, 'a', hours, hours)));
    await store.write([rowOf(view, 'a', -30 * years, 7, 5)]);
    assert.equal(await store.deleteBefore(before, true), 2);
    assert.equal(await store.countRows(viewOf(view)), 3);
    assert.equal(await store.deleteBefore(before, false), 2);
    assert.equal(await store.countRows(viewOf(view)), 1);
    assert.equal(await store.deleteBefore(before, false), 0);
    assertSame(
      await store
        .rowsOf(keyOf('a'), 'revisions', { offset: 0, limit: 1_000 })
        .then((rows) => rows.filter((row) => row.view === view)),
      [],
    );
  },

  'rows of an entity come with those of every view, and what they held before; erased, none are left': async (
    store,
  ) => {
    const [id, ...views] = [randomUUID(), randomUUID(), randomUUID()] as const;
    const rows = views.flatMap((view) => [0, 1].map((hours) => rowOf(view, id, hours, hours)));
    await store.write([...rows, rowOf(views[0], `${id}2`, 0, 1)]);
    const changed = rowOf(views[0], id, 0, 9, 5);
    await store.write([changed]);
    const read = async (kind: 'rows' | 'revisions') => {
      const found: FeatureRow[] = [];
      for (let offset = 0; ; offset = found.length) {
        const page = await store.rowsOf(keyOf(id), kind, { offset, limit: 3 });
        found.push(...page);
        if (page.length < 3) return found;
      }
    };
    const named = (list: readonly FeatureRow[]) => new Map(list.map((row) => [`${row.view} ${row.eventTime}`, row]));
    const found = await read('rows');
    assert.equal(found.length, 4);
    assertSame(named(found), named([...rows.slice(1), changed]));
    assertSame(await read('revisions'), [rows[0]]);
    assert.equal(await store.eraseRowsComputedBy(keyOf(id), Date.UTC(9999, 0)), 4);
    assertSame([await read('rows'), await read('revisions')], [[], []]);
    assert.equal(await store.countRows(viewOf(views[0])), 1);
  },
};

/**
 * Returns what every offline store of a project does.
 *
 * @param open - starts a store over the same data each time, as after a restart, with {@link OFFLINE_CONTRACT_VIEWS}
 */
export function offlineStoreContract(open: () => Promise<OwnOfflineStore>): readonly ContractCase[] {
  const restart: Case<OwnOfflineStore> = async (store) => {
    const view = randomUUID();
    const rows = [rowOf(view, 'a', 0, 1), rowOf(view, 'b', 1, 2)];
    await store.write(rows);
    await store.stop();
    const again = await open();
    try {
      assertSame(await again.newestRows(viewOf(view), { limit: 10 }), rows);
    } finally {
      await again.stop();
    }
  };
  const cases = {
    ...FEATURE_CASES,
    ...OWN_CASES,
    'rows are there after the store is stopped and opened again': restart,
  };
  return casesOf(open, (store) => store.stop(), cases);
}
