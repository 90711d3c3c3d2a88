import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces } from '#feature_store/definitions/values/feature_row';
import { CachedOnlineStore } from '#feature_store/online/cached_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { eventTime, processingTime } from '#kernel/time';
import { createMetricsRegistry } from '#monitoring/metrics';
import { keyOf } from '../../../support/entity_keys.ts';
import { turns } from '../../../support/turns.ts';

const VIEW = { view: 'v', version: 1 };
const rowOf = (entityKey: EntityKey, at: number): FeatureRow => ({
  ...VIEW,
  ...{ entityKey, eventTime: eventTime(at), computedAt: processingTime(at), values: { at } },
});

/** A store whose answers are of when it was asked, and come some turns later. */
class SlowStore {
  readonly rows = new Map<EntityKey, FeatureRow>();
  readonly reads: (readonly EntityKey[])[] = [];
  readsTake = 0;
  writesTake = 0;

  async read(_: unknown, keys: readonly EntityKey[]): Promise<readonly (FeatureRow | undefined)[]> {
    this.reads.push(keys);
    const found = keys.map((key) => this.rows.get(key));
    await turns(this.readsTake);
    return found;
  }

  async write(rows: readonly FeatureRow[]): Promise<{ written: number; stale: number }> {
    const take = this.writesTake;
    for (const row of rows) {
      const held = this.rows.get(row.entityKey);
      if (held === undefined || replaces(row, held)) this.rows.set(row.entityKey, row);
    }
    await turns(take);
    return { written: rows.length, stale: 0 };
  }

  async erase(_: unknown, key: EntityKey): Promise<number> {
    this.rows.delete(key);
    return 1;
  }
}

const cachedOver = (inner: SlowStore): CachedOnlineStore =>
  new CachedOnlineStore(inner as unknown as OnlineStore, createMetricsRegistry({ process: false }), {
    ...{ maxEntries: 100, ttlMs: 3_600_000 },
  });

const key = fc.constantFrom('a', 'b', 'c');
const step = fc.oneof(
  fc.record({ kind: fc.constant('read' as const), keys: fc.array(key, { maxLength: 4 }), takes: fc.nat(4) }),
  fc.record({ kind: fc.constant('write' as const), key, at: fc.nat(20), takes: fc.nat(4) }),
  fc.record({ kind: fc.constant('erase' as const), key }),
  fc.record({ kind: fc.constant('turns' as const), count: fc.nat(4) }),
);

test('whatever is read while it is written or erased: afterwards the cache has what the store has', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const inner = new SlowStore();
      const store = cachedOver(inner);
      const underWay: Promise<unknown>[] = [];
      for (const one of steps) {
        if (one.kind === 'turns') await turns(one.count);
        else if (one.kind === 'erase') await store.erase([VIEW], keyOf(one.key));
        else if (one.kind === 'write') {
          inner.writesTake = one.takes;
          underWay.push(store.write([rowOf(keyOf(one.key), one.at)]));
        } else {
          inner.readsTake = one.takes;
          underWay.push(
            store.read(
              VIEW,
              one.keys.map((id) => keyOf(id)),
            ),
          );
        }
      }
      await Promise.all(underWay);
      const keys = ['a', 'b', 'c'].map((id) => keyOf(id));
      expect(await store.read(VIEW, keys)).toEqual(keys.map((each) => inner.rows.get(each)));
    }),
    { numRuns: 500 },
  );
});

test('what a batch lacks is read as one, each key once however many ask', async () => {
  const inner = new SlowStore();
  inner.readsTake = 3;
  const store = cachedOver(inner);
  await store.write(['a', 'b', 'c', 'd'].map((id, at) => rowOf(keyOf(id), at)));
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((id) => keyOf(id)) as [EntityKey, EntityKey, EntityKey, EntityKey];
  expect(await store.read(VIEW, [a])).toMatchObject([{ values: { at: 0 } }]);
  const [first, second] = await Promise.all([store.read(VIEW, [a, b, c, b]), store.read(VIEW, [c, d])]);
  expect(first.map((row) => row?.values.at)).toEqual([0, 1, 2, 1]);
  expect(second.map((row) => row?.values.at)).toEqual([2, 3]);
  expect(inner.reads).toEqual([[a], [b, c], [d]]);
});

test('a read that fails is the error of all that wait for it, and the next one reads again', async () => {
  const inner = new SlowStore();
  const { read } = inner;
  inner.read = async () => {
    await turns(2);
    throw new Error('away');
  };
  const store = cachedOver(inner);
  const [a, b] = ['a', 'b'].map((id) => keyOf(id)) as [EntityKey, EntityKey];
  const failed = await Promise.allSettled([store.read(VIEW, [a, b]), store.read(VIEW, [b])]);
  expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  inner.read = read;
  expect(await store.read(VIEW, [a, b])).toEqual([undefined, undefined]);
});
