import { describe, test } from '@jest/globals';
import type { OnlineStore } from '#feature_store/online/online_store';
import { onlineStoreContract } from '#feature_store/testing/online_store_contract';

export { contractView, foreverView } from '#feature_store/testing/online_store_contract';

/** Runs the contract that users' online stores have too. `open` starts a store over the same data, as after a restart. */
export function describeOnlineStore(name: string, open: () => Promise<OnlineStore>): void {
  describe(`${name} keeps the contract of an online store`, () => {
    for (const { name: each, timeoutMs, run } of onlineStoreContract(open)) test(each, run, timeoutMs);
  });
}
