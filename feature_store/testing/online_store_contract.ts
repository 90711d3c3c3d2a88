import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { z } from 'zod';
import { field, isWeekend } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { entity, source } from '#feature_store/definitions/sources/source';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import type { ContractCase } from '#kernel/contract';
import { DAY_MS, eventTime, processingTime } from '#kernel/time';

const events = source('contract_events', {
  schema: z.strictObject({ id: z.string(), amount: z.number(), currency: z.string(), country: z.string() }),
  key: 'id',
});
const common = { version: 1, entity: entity('account', ['id']), source: events, owner: 'contract', description: '' };

/** Three features and one that is missing, served for 30 days. */
export const contractView: FeatureView = featureView({
  ...{ ...common, name: 'contract', ttl: '30d' },
  features: {
    value: field('amount', 'double', ''),
    text: field('currency', 'string', ''),
    flag: isWeekend(),
    missing: field('country', 'string', ''),
  },
});
/** Its rows never expire. */
export const foreverView: FeatureView = featureView({
  ...{ ...common, name: 'forever', ttl: '0s' },
  features: { value: field('amount', 'double', '') },
});
/** Views that a store under test is opened with. */
export const CONTRACT_VIEWS: readonly FeatureView[] = [contractView, foreverView];

const keyOf = (id: string, name = 'account'): EntityKey =>
  entityKeyFromId({ entity: { name, joinKeys: ['id'] }, joinKeyTypes: ['string'] }, id);

const view = { view: 'contract', version: 1 };
const nowMs = Date.now();
/** To open a store, ms. */
const OPEN_MS = 60_000;

/** Stops the store and opens it again. */
type Restart = () => Promise<OnlineStore>;

const rowOf = (entityKey: EntityKey, at: number, value: number): FeatureRow => ({
  ...view,
  entityKey,
  eventTime: eventTime(nowMs - 1_000_000 + at),
  computedAt: processingTime(nowMs),
  values: { value, text: 'é', flag: true, missing: null },
});

/**
 * Returns the cases of what every online store does.
 *
 * @param open - starts a store over the same data each time, as after a restart, with {@link CONTRACT_VIEWS}
 */
export function onlineStoreContract(open: () => Promise<OnlineStore>): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const test = (
    name: string,
    check: (opened: OnlineStore, restart: Restart) => Promise<void>,
    timeoutMs = 30_000,
  ): void => {
    const run = async (): Promise<void> => {
      let store = await open();
      try {
        await check(store, async () => {
          await store.stop();
          store = await open();
          return store;
        });
      } finally {
        await store.stop();
      }
    };
    cases.push({ name, timeoutMs: timeoutMs + OPEN_MS, run });
  };
  test('whatever the order of writes, the newest event time wins; of equal times the one computed later, then the one written last', async (store) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ key: fc.constantFrom('a', 'b'), at: fc.nat(3), computed: fc.nat(2) }), {
          maxLength: 20,
        }),
        fc.integer({ min: 1, max: 5 }),
        async (writes, batchSize) => {
          const run = randomUUID();
          const rows = writes.map(({ key, at, computed }, index) => ({
            ...rowOf(keyOf(`${run}-${key}`), at, index),
            computedAt: processingTime(nowMs + computed),
          }));
          const newest = new Map<string, FeatureRow>();
          let stale = 0;
          for (const row of rows) {
            const held = newest.get(row.entityKey);
            const isOlder =
              held !== undefined &&
              (row.eventTime < held.eventTime ||
                (row.eventTime === held.eventTime && row.computedAt < held.computedAt));
            if (!isOlder) newest.set(row.entityKey, row);
            else stale += 1;
          }
          let refused = 0;
          for (let start = 0; start < rows.length; start += batchSize) {
            const batch = rows.slice(start, start + batchSize);
            const result = await store.write(batch);
            assert.equal(result.written + result.stale, batch.length);
            refused += result.stale;
          }
          const keys = [`${run}-b`, `${run}-unknown`, `${run}-a`].map((id) => keyOf(id));
          assert.deepEqual(
            await store.read(view, keys),
            keys.map((key) => newest.get(key)),
          );
          // A store need not tell which of a call's rows another one of them has replaced.
          if (batchSize === 1) assert.equal(refused, stale);
          else assert.ok(refused <= stale);
        },
      ),
      { numRuns: 30 },
    );
  }, 60_000);

  test('readers at the same time each get the rows of their own keys', async (store) => {
    const run = randomUUID();
    const stored = Array.from({ length: 1_300 }, (_, index) => rowOf(keyOf(`${run}-${index}`), 0, index));
    await store.write(stored.filter((_, index) => index % 3 !== 0));
    const asked = stored.map(async ({ entityKey }, index) => {
      // Some a turn later, some two at a time.
      if (index % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
      const other = keyOf(`${run}-${(index * 7) % stored.length}`);
      return store.read(view, index % 11 === 0 ? [entityKey, other] : [entityKey]);
    });
    for (const [index, rows] of (await Promise.all(asked)).entries()) {
      const wanted = (at: number) => (at % 3 === 0 ? undefined : at);
      const expected = [wanted(index), ...(index % 11 === 0 ? [wanted((index * 7) % stored.length)] : [])];
      assert.deepEqual(
        rows.map((row) => row?.values.value),
        expected,
      );
    }
  });

  test('a row past its ttl is not served', async (store) => {
    const key = keyOf(randomUUID());
    await store.write([{ ...rowOf(key, 0, 1), eventTime: eventTime(nowMs - 31 * DAY_MS) }]);
    assert.deepEqual(await store.read(view, [key]), [undefined]);
  });

  test('a row of a view with ttl 0 is served however old it is', async (store) => {
    const row = { ...rowOf(keyOf(randomUUID()), 0, 1), ...{ view: 'forever', values: { value: 1 } } };
    const old = { ...row, eventTime: eventTime(nowMs - 4_000 * DAY_MS) };
    await store.write([old]);
    assert.deepEqual(await store.read({ view: 'forever', version: 1 }, [row.entityKey]), [old]);
  });

  test(
    'counters lose no increment of callers that count at once, and outlive the process',
    async (opened, restart) => {
      let store = opened;
      const entity = keyOf(randomUUID());
      const clients = Array.from({ length: 50 }, async () => {
        for (let count = 0; count < 100; count += 1) await store.increment(entity, 'attempts', 1);
      });
      await Promise.all(clients);
      assert.equal(await store.increment(entity, 'attempts', 0), 5_000);
      assert.equal(await store.increment(entity, 'attempts', -5), 4_995);
      assert.equal(await store.increment(entity, 'others', 2), 2);
      store = await restart();
      assert.equal(await store.increment(entity, 'attempts', 0), 4_995);
    },
    60_000,
  );

  test('an entity that is erased is gone, with its counters, for good; others stay', async (opened, restart) => {
    let store = opened;
    const [gone, stays] = [keyOf(randomUUID()), keyOf(randomUUID())];
    await store.write([rowOf(gone, 3, 7), rowOf(stays, 3, 7)]);
    await store.increment(gone, 'attempts', 3);
    await store.increment(stays, 'attempts', 4);
    assert.equal(await store.erase([view], gone), 1);
    assert.equal(await store.erase([view], gone), 0);
    assert.deepEqual(await store.read(view, [gone, stays]), [undefined, rowOf(stays, 3, 7)]);
    store = await restart();
    assert.deepEqual(await store.read(view, [gone, stays]), [undefined, rowOf(stays, 3, 7)]);
    assert.deepEqual([await store.increment(gone, 'attempts', 0), await store.increment(stays, 'attempts', 0)], [0, 4]);
  });

  test(
    'entities of two types with one id are two, whatever the id; so are ids that look like keys',
    async (opened, restart) => {
      let store = opened;
      const run = randomUUID();
      const ids = [
        '',
        '|',
        '\\',
        '#5',
        ':',
        'user:',
        'account:',
        '{',
        '}',
        '{}',
        ' ',
        '\n',
        '*',
        '?',
        'é',
        '😀',
        '__proto__',
      ];
      const keys = ids.flatMap((end) => ['user', 'account', 'card'].map((entity) => keyOf(`${run}${end}`, entity)));
      assert.equal(new Set(keys).size, keys.length);
      await store.write(keys.map((key, index) => rowOf(key, 0, index)));
      for (const [index, key] of keys.entries()) await store.increment(key, 'attempts', index);
      const values = async () => (await store.read(view, keys)).map((row) => row?.values.value);
      assert.deepEqual(
        await values(),
        keys.map((_, index) => index),
      );
      const gone = new Set(keys.filter((_, index) => index % 3 === 1));
      for (const key of gone) assert.equal(await store.erase([view], key), 1);
      store = await restart();
      assert.deepEqual(
        await values(),
        keys.map((key, index) => (gone.has(key) ? undefined : index)),
      );
      for (const [index, key] of keys.entries()) {
        assert.equal(await store.increment(key, 'attempts', 0), gone.has(key) ? 0 : index);
      }
    },
    60_000,
  );

  test('rows outlive the process', async (opened, restart) => {
    let store = opened;
    const key = keyOf(randomUUID());
    const row = rowOf(key, 3, 7);
    await store.write([row]);
    store = await restart();
    assert.deepEqual(await store.read(view, [key]), [row]);
  });
  return cases;
}
