import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { EntityKey } from '#feature_store/definitions/entity_key';
import { field, isWeekend } from '#feature_store/definitions/feature';
import type { FeatureRow } from '#feature_store/definitions/feature_row';
import type { OnlineStore } from '#feature_store/online/online_store';
import { DAY_MS, eventTime, processingTime } from '#kernel/time';
import { keyOf } from '../../support/entity_keys.ts';
import { testView } from '../../support/test_view.ts';

/** Three features and one that is missing, served for 30 days. */
export const contractView = testView(
  {
    value: field('amount', 'double', ''),
    text: field('currency', 'string', ''),
    flag: isWeekend(),
    missing: field('country', 'string', ''),
  },
  { name: 'contract', ttl: '30d' },
);
/** Its rows never expire. */
export const foreverView = testView({ value: field('amount', 'double', '') }, { name: 'forever', ttl: '0s' });
const view = { view: 'contract', version: 1 };
const nowMs = Date.now();

const rowOf = (entityKey: EntityKey, at: number, value: number): FeatureRow => ({
  ...view,
  entityKey,
  eventTime: eventTime(nowMs - 1_000_000 + at),
  computedAt: processingTime(nowMs),
  values: { value, text: 'é', flag: true, missing: null },
});

/** What every online store must do. `reopen` starts a store over the same data, as after a restart. */
export function describeOnlineStore(name: string, open: () => Promise<OnlineStore>): void {
  describe(`${name} keeps the contract of an online store`, () => {
    let store: OnlineStore;
    beforeAll(async () => {
      store = await open();
    }, 90_000);
    afterAll(() => store?.stop());

    test('whatever the order of writes, the newest event time wins; of equal times the one computed later, then the one written last', async () => {
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
              expect(result.written + result.stale).toBe(batch.length);
              refused += result.stale;
            }
            const keys = [`${run}-b`, `${run}-unknown`, `${run}-a`].map((id) => keyOf(id));
            expect(await store.read(view, keys)).toEqual(keys.map((key) => newest.get(key)));
            // A store need not tell which of a call's rows another one of them has replaced.
            if (batchSize === 1) expect(refused).toBe(stale);
            else expect(refused).toBeLessThanOrEqual(stale);
          },
        ),
        { numRuns: 30 },
      );
    }, 60_000);

    test('readers that ask at once each get what they have asked for', async () => {
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
        expect(rows.map((row) => row?.values.value)).toEqual(expected);
      }
    });

    test('a row past its ttl is not served', async () => {
      const key = keyOf(randomUUID());
      await store.write([{ ...rowOf(key, 0, 1), eventTime: eventTime(nowMs - 31 * DAY_MS) }]);
      expect(await store.read(view, [key])).toEqual([undefined]);
    });

    test('a row of a view with ttl 0 is served however old it is', async () => {
      const row = { ...rowOf(keyOf(randomUUID()), 0, 1), ...{ view: 'forever', values: { value: 1 } } };
      const old = { ...row, eventTime: eventTime(nowMs - 4_000 * DAY_MS) };
      await store.write([old]);
      expect(await store.read({ view: 'forever', version: 1 }, [row.entityKey])).toEqual([old]);
    });

    test('counters lose no increment, whoever counts at once, and outlive the process', async () => {
      const entity = keyOf(randomUUID());
      const clients = Array.from({ length: 50 }, async () => {
        for (let count = 0; count < 100; count += 1) await store.increment(entity, 'attempts', 1);
      });
      await Promise.all(clients);
      expect(await store.increment(entity, 'attempts', 0)).toBe(5_000);
      expect(await store.increment(entity, 'attempts', -5)).toBe(4_995);
      expect(await store.increment(entity, 'others', 2)).toBe(2);
      await store.stop();
      store = await open();
      expect(await store.increment(entity, 'attempts', 0)).toBe(4_995);
    }, 60_000);

    test('an entity that is erased is gone, with its counters, for good; others stay', async () => {
      const [gone, stays] = [keyOf(randomUUID()), keyOf(randomUUID())];
      await store.write([rowOf(gone, 3, 7), rowOf(stays, 3, 7)]);
      await store.increment(gone, 'attempts', 3);
      await store.increment(stays, 'attempts', 4);
      expect(await store.erase([view], gone)).toBe(1);
      expect(await store.erase([view], gone)).toBe(0);
      expect(await store.read(view, [gone, stays])).toEqual([undefined, rowOf(stays, 3, 7)]);
      await store.stop();
      store = await open();
      expect(await store.read(view, [gone, stays])).toEqual([undefined, rowOf(stays, 3, 7)]);
      expect([await store.increment(gone, 'attempts', 0), await store.increment(stays, 'attempts', 0)]).toEqual([0, 4]);
    });

    test('entities of two types with one id are two, whatever the id; so are ids that look like keys', async () => {
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
      expect(new Set(keys).size).toBe(keys.length);
      await store.write(keys.map((key, index) => rowOf(key, 0, index)));
      for (const [index, key] of keys.entries()) await store.increment(key, 'attempts', index);
      const values = async () => (await store.read(view, keys)).map((row) => row?.values.value);
      expect(await values()).toEqual(keys.map((_, index) => index));
      const gone = new Set(keys.filter((_, index) => index % 3 === 1));
      for (const key of gone) expect(await store.erase([view], key)).toBe(1);
      await store.stop();
      store = await open();
      expect(await values()).toEqual(keys.map((key, index) => (gone.has(key) ? undefined : index)));
      for (const [index, key] of keys.entries()) {
        expect(await store.increment(key, 'attempts', 0)).toBe(gone.has(key) ? 0 : index);
      }
    }, 60_000);

    test('rows outlive the process', async () => {
      const key = keyOf(randomUUID());
      const row = rowOf(key, 3, 7);
      await store.write([row]);
      await store.stop();
      store = await open();
      expect(await store.read(view, [key])).toEqual([row]);
    });
  });
}
