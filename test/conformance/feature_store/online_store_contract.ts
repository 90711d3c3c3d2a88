import { randomUUID } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { LARGEST_COUNT } from '#feature_store/errors';
import type { OnlineStore } from '#feature_store/online/online_store';
import { onlineStoreContract } from '#feature_store/testing/online_store_contract';
import { keyOf } from '../../support/entity_keys.ts';

export { contractView, foreverView } from '#feature_store/testing/online_store_contract';

/** Runs the contract that users' online stores have too, and what the platform's own do besides. `open` starts a store over the same data, as after a restart. */
export function describeOnlineStore(name: string, open: () => Promise<OnlineStore>): void {
  describe(`${name} keeps the contract of an online store`, () => {
    for (const { name: each, timeoutMs, run } of onlineStoreContract(open)) test(each, run, timeoutMs);

    test('a counter that would be too large for exact numbers is refused, and stays as it was', async () => {
      const store = await open();
      try {
        const entity = keyOf(randomUUID());
        const refused = { code: 'FEATURE_STORE_COUNTER_LIMIT' };
        expect(await store.increment(entity, 'attempts', LARGEST_COUNT - 1)).toBe(LARGEST_COUNT - 1);
        await expect(store.increment(entity, 'attempts', 2)).rejects.toMatchObject(refused);
        expect(await store.increment(entity, 'attempts', 1)).toBe(LARGEST_COUNT);
        await expect(store.increment(entity, 'attempts', 1)).rejects.toMatchObject(refused);
        expect(await store.readCounters(entity)).toEqual({ attempts: LARGEST_COUNT });
        expect(await store.increment(entity, 'attempts', -LARGEST_COUNT)).toBe(0);
      } finally {
        await store.stop();
      }
    });
  });
}
